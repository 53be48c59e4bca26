"""All that is known of one feature, as the page shows it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from unweave.base.errors import UnweaveError
from unweave.read.feature_table import number
from unweave.read.labels.store import SCORES
from unweave.read.view_models import (
    ExampleWindow,
    FeatureAnswer,
    FeatureRequest,
    Histogram,
    Label,
    LabelDensity,
    Neighbour,
    Partner,
    PlaceAnswer,
    TokenReading,
    TokenRow,
)

if TYPE_CHECKING:
    from unweave.read.directions import Side
    from unweave.read.harvest.value import Example, TokenTable
    from unweave.read.subject import Subject


def feature_page(subject: Subject, request: FeatureRequest) -> FeatureAnswer:
    """Label, statistics, examples and neighbours; raises ``UnweaveError`` for a feature that is not here.

    Directions need the dictionary's file: where it cannot be opened the rest is answered, and a note says why.
    """
    harvest, table = subject.harvest, subject.table
    row = harvest.row(request.name)
    directions = _directions(subject, row, request.partners)
    examples = [one for held in (False, True) for one in harvest.examples(row, held)[: request.examples]]
    return FeatureAnswer(
        feature=table.rows([row])[0],
        corpus_labels=list(table.corpus_labels),
        label=_label(subject, row),
        activation_positive=number(harvest.activation_positive[row]) if harvest.firing[row] else None,
        importance_histogram=_histogram(harvest.IMPORTANCE_EDGES, harvest.importance_histogram[row]),
        activation_histogram=_histogram(harvest.ACTIVATION_EDGES, harvest.activation_histogram[row]),
        background_histogram=_histogram(harvest.ACTIVATION_EDGES, harvest.background_histogram[row]),
        tokens_in=_tokens(subject, harvest.input_table(row), request.tokens),
        tokens_out=_tokens(subject, harvest.output_table(row), request.tokens),
        shown_tokens=int(np.asarray(harvest.vocabulary.count).sum()),
        by_label=_by_label(subject, row),
        by_position=harvest.firing_by_position[row].tolist(),
        examples=[_example(subject, one) for one in examples],
        partners=_partners(subject, row, request.partners),
        pool_tokens=int(harvest.pool.tokens.size),
        reads=directions.reads,
        writes=directions.writes,
        nearest_read=list(directions.nearest_read),
        nearest_write=list(directions.nearest_write),
        directions_note=directions.directions_note,
    )


def _label(subject: Subject, row: int) -> Label | None:
    entry = subject.labels.entries.get(row)
    if entry is None:
        return None
    measured = {each: [each, f"{each}_low", f"{each}_high", f"{each}_trials"] for each in SCORES}
    scores = {
        name: value
        for each, names in measured.items()
        if getattr(entry, each) is not None
        for name in names
        if (value := getattr(entry, name)) is not None
    }
    return Label(
        text=entry.text,
        reads=entry.reads,
        writes=entry.writes,
        confidence=entry.confidence,  # type: ignore[arg-type]
        reason=entry.reason,
        predicate=json.loads(entry.predicate) if entry.predicate else None,
        labeler=entry.labeler,
        scores=scores,
    )


def _histogram(edges: np.ndarray, counts: np.ndarray) -> Histogram:
    return Histogram(edges=np.asarray(edges).tolist(), counts=np.asarray(counts).tolist())


def _tokens(subject: Subject, table: TokenTable, count: int) -> list[TokenRow]:
    text = subject.harvest.vocabulary.text
    columns = (table.tokens, table.counts, table.precision, table.recall, table.pmi)
    return [
        TokenRow(
            token=int(token),
            text=text[token],
            count=int(times),
            precision=number(precision),
            recall=number(recall),
            pmi=number(pmi),
        )
        for token, times, precision, recall, pmi in zip(*(column[:count] for column in columns), strict=True)
    ]


def _by_label(subject: Subject, row: int) -> list[LabelDensity]:
    harvest = subject.harvest
    return [
        LabelDensity(
            label=label,
            tokens=int(harvest.tokens_by_label[place]),
            firing=int(harvest.firing_by_label[row, place]),
            density=number(harvest.firing_by_label[row, place] / tokens) if tokens else None,
            importance=number(harvest.importance_by_label[row, place]) if tokens else None,
        )
        for place, (label, tokens) in enumerate(zip(harvest.facts.labels, harvest.tokens_by_label, strict=True))
    ]


def _example(subject: Subject, one: Example) -> ExampleWindow:
    text = subject.harvest.vocabulary.text
    readings = zip(one.tokens.tolist(), one.importance.tolist(), one.activation.tolist(), strict=True)
    return ExampleWindow(
        window=one.window,
        position=one.position,
        offset=one.offset,
        label=subject.harvest.facts.labels[one.label],
        held=one.held,
        tokens=[
            TokenReading(token=token, text=text[token], importance=importance, activation=activation)
            for token, importance, activation in readings
        ],
    )


def _partners(subject: Subject, row: int, count: int) -> list[Partner]:
    found, names, labels = subject.harvest.partners(row), subject.table.names, subject.labels.text
    columns = (found.partner, found.together, found.jaccard, found.pmi)
    return [
        Partner(
            row=int(partner),
            name=names[partner],
            label=labels[partner],
            together=int(together),
            jaccard=float(jaccard),
            pmi=number(pmi),
        )
        for partner, together, jaccard, pmi in zip(*(column[:count] for column in columns), strict=True)
    ]


class _Directions(NamedTuple):
    reads: PlaceAnswer | None = None
    writes: PlaceAnswer | None = None
    nearest_read: Sequence[Neighbour] = ()
    nearest_write: Sequence[Neighbour] = ()
    directions_note: str = ""


def _directions(subject: Subject, row: int, count: int) -> _Directions:
    try:
        directions = subject.directions
        reads, writes = subject.places(subject.table.groups[subject.table.group[row]])
    except UnweaveError as error:
        return _Directions(directions_note=str(error))
    names, labels = subject.table.names, subject.labels.text

    def nearest(side: Side) -> list[Neighbour]:
        return [
            Neighbour(row=other, name=names[other], label=labels[other], cosine=cosine)
            for other, cosine in directions.nearest(row, side, count)
        ]

    return _Directions(reads, writes, nearest("read"), nearest("write"))
