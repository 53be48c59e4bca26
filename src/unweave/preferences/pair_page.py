"""Pairs as the page shows them: the list, and one pair with its words or tokens shaded by a column."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from unweave.base.errors import UnweaveError, nearest
from unweave.preferences.behaviours.registry import all_behaviours
from unweave.preferences.column_page import cluster_number, rows_by_topic
from unweave.preferences.encoding import last_user_turn
from unweave.preferences.highlights import Part, ReadText, behaviour_parts
from unweave.preferences.view_models import (
    FiringCluster,
    PairEntry,
    PairValue,
    PreferencesPairAnswer,
    PreferencesPairRequest,
    PreferencesPairsAnswer,
    PreferencesPairsRequest,
    SpanAnswer,
    TextPart,
    TurnAnswer,
)
from unweave.read.view_models import Available

if TYPE_CHECKING:
    from typing import Literal

    from unweave.corpora.pairs.value import PreferencePair
    from unweave.preferences.pair_index import PairIndex
    from unweave.preferences.subject import PreferenceSubject

EXCERPT = 240
TEXT = 20_000
"""Characters of a text that are shown."""


def pairs_page(subject: PreferenceSubject, request: PreferencesPairsRequest) -> PreferencesPairsAnswer:
    """The pairs that pass the filters, in the order of the data; without texts where the data are not there."""
    tables, ids = subject.tables, subject.ids
    rows = _filtered(subject, request)
    pairs, reason = _texts(subject)
    if request.text.strip():
        # Here the reason is a refusal: nothing can be searched.
        rows = list(subject.pairs.matching(request.text, rows))
    entries = []
    for row in rows[request.offset : request.offset + request.limit]:
        texts = ("", "", "")
        if pairs is not None:
            pair = pairs.pair(row)
            texts = (last_user_turn(pair.prompt), pair.chosen, pair.rejected)
        prompt, chosen, rejected = (text[:EXCERPT] for text in texts)
        entries.append(
            PairEntry(
                row=row,
                id=ids[row],
                topic=tables.topic_of.get(row),
                side=subject.sides.side(request.column, row) if request.column is not None else None,
                removed=row in tables.removed_rows,
                prompt=prompt,
                chosen=chosen,
                rejected=rejected,
            )
        )
    return PreferencesPairsAnswer(
        total=len(rows),
        offset=request.offset,
        texts=Available.unless(reason),
        rows=entries,
    )


def _filtered(subject: PreferenceSubject, request: PreferencesPairsRequest) -> list[int]:
    tables = subject.tables
    kept = np.ones(len(subject.store), bool)
    if request.column is not None:
        _check_column(subject, request.column)
    if request.side is not None:
        if request.column is None:
            raise UnweaveError(f"side {request.side!r} is where a column fires: name the column too")
        kept &= np.isin(np.arange(len(kept)), subject.sides.on(request.column, request.side))
    if request.topic is not None:
        by_topic = rows_by_topic(subject)
        if request.topic not in by_topic:
            raise UnweaveError(f"no row is of topic {request.topic!r}; {nearest(request.topic, by_topic)}")
        kept &= np.isin(np.arange(len(kept)), by_topic[request.topic])
    if request.removed is not None:
        kept &= np.isin(np.arange(len(kept)), sorted(tables.removed_rows)) == request.removed
    return np.flatnonzero(kept).tolist()


def _check_column(subject: PreferenceSubject, column: str) -> None:
    if column not in subject.sides:
        raise UnweaveError(f"column {column!r} was not measured in the pairs; {nearest(column, subject.sides.names)}")


def _texts(subject: PreferenceSubject) -> tuple[PairIndex | None, str]:
    """The pairs, or why there are no texts."""
    try:
        return subject.pairs, ""
    except UnweaveError as error:
        return None, str(error)


class _Read(NamedTuple):
    """What a pair's parts are, the spans, and why nothing is shaded."""

    what: Literal["words", "tokens", "nothing"]
    prompt: ReadText | None
    chosen: ReadText
    rejected: ReadText
    note: str = ""


def pair_page(subject: PreferenceSubject, request: PreferencesPairRequest) -> PreferencesPairAnswer:
    """One pair. Raises ``UnweaveError`` for an unknown id or column, and where the data are not there."""
    pairs, tables = subject.pairs, subject.tables
    if (request.id is None) == (request.row is None):
        raise UnweaveError("give the id of a pair, or its row")
    row = pairs.row(request.id) if request.id is not None else int(request.row or 0)
    pair = pairs.pair(row)
    if request.column is not None:
        _check_column(subject, request.column)
    read = _read(subject, pair, request)
    return PreferencesPairAnswer(
        row=row,
        id=pair.id,
        topic=tables.topic_of.get(row),
        side=subject.sides.side(request.column, row) if request.column is not None else None,
        removed=row in tables.removed_rows,
        why=[str(each.get("why") or "") for each in tables.removed if each["row"] == row],
        pairs=len(pairs),
        turns=[
            TurnAnswer(role=turn.role, content=turn.content[:TEXT], cut=len(turn.content) > TEXT)
            for turn in pair.prompt
        ],
        read=read.what,
        note=read.note,
        prompt=_span(read.prompt) if read.prompt is not None else None,
        chosen=_span(read.chosen),
        rejected=_span(read.rejected),
        values=_values(subject, row),
    )


def _read(subject: PreferenceSubject, pair: PreferencePair, request: PreferencesPairRequest) -> _Read:
    column = request.column
    cluster = cluster_number(column) if column is not None else None
    try:
        if cluster is not None or (column is None and request.tokens):
            return _Read("tokens", *subject.reader.read(pair, cluster))
        if column is not None:
            return _words(pair, column)
    except UnweaveError as error:
        return _Read("nothing", None, _plain(pair.chosen), _plain(pair.rejected), str(error))
    return _Read("nothing", None, _plain(pair.chosen), _plain(pair.rejected))


def _words(pair: PreferencePair, column: str) -> _Read:
    known = all_behaviours()
    if column not in known:
        # One of a person's own file, which only a run that names it executes.
        raise UnweaveError(f"behaviour {column!r} is not one of this package's, so words cannot be tried for it here")
    asked = last_user_turn(pair.prompt)
    replies = (pair.chosen, pair.rejected)
    chosen, rejected = (
        ReadText(parts, cut or len(text) > TEXT)
        for text, (parts, cut) in ((text, behaviour_parts(known[column], text[:TEXT], asked)) for text in replies)
    )
    return _Read("words", None, chosen, rejected)


def _plain(text: str) -> ReadText:
    return ReadText((Part(text[:TEXT], 0.0),), len(text) > TEXT)


def _span(read: ReadText) -> SpanAnswer:
    return SpanAnswer(
        parts=[
            TextPart(
                text=part.text,
                value=part.value,
                firing=[
                    FiringCluster(column=f"cluster:{each.cluster}", share=each.share, activation=each.activation)
                    for each in part.firing
                ],
            )
            for part in read.parts
        ],
        cut=read.cut,
    )


def _values(subject: PreferenceSubject, row: int) -> list[PairValue]:
    chosen, rejected = (subject.store.row_values(side, row, subject.members) for side in ("chosen", "rejected"))
    known = subject.tables.by_name
    found = []
    for name, one, other in zip(subject.sides.names, chosen.tolist(), rejected.tolist(), strict=True):
        if not one and not other:
            continue
        column = known.get(name)
        found.append(
            PairValue(
                column=name,
                kind=column.kind if column is not None else "",
                chosen=one,
                rejected=other,
                stands=column.stands if column is not None else None,
                change=column.change if column is not None else None,
            )
        )
    return sorted(found, key=lambda each: known[each.column].rank if each.column in known else len(known) + 1)
