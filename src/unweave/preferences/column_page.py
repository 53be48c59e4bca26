"""Predicted columns as the page shows them: the ranked table, and one column on its own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from unweave.preferences.behaviours.registry import all_behaviours
from unweave.preferences.firing_sides import SideCounts
from unweave.preferences.predictors.registry import all_predictors
from unweave.preferences.view_models import (
    ColumnEntry,
    PredictorEntry,
    PreferencesColumnAnswer,
    PreferencesColumnRequest,
    PreferencesColumnsAnswer,
    PreferencesColumnsRequest,
    PushingRow,
    SidesEntry,
    TopicSides,
)

if TYPE_CHECKING:
    from unweave.preferences.prediction_tables import PredictedColumn
    from unweave.preferences.subject import PreferenceSubject

MOST_FEATURES = 100


def columns_page(subject: PreferenceSubject, request: PreferencesColumnsRequest) -> PreferencesColumnsAnswer:
    """The columns that pass the filters, in order; what is not known comes last either way."""
    everything = [column_entry(subject, each) for each in subject.tables.columns]
    words = request.query.casefold().split()
    kept = [
        each
        for each in everything
        if (request.kind is None or each.kind == request.kind)
        and (request.stands is None or (each.stands is True) == request.stands)
        and (request.leans is None or each.leans == request.leans)
        and all(word in f"{each.column} {each.meaning} {each.topic or ''}".casefold() for word in words)
    ]
    key = _order(request.sort)
    known = [each for each in kept if key(each) is not None]
    known.sort(key=key, reverse=request.descending)
    rows = known + [each for each in kept if key(each) is None]
    sizes = [abs(value) for each in everything for value in (each.change, each.low, each.high) if value is not None]
    return PreferencesColumnsAnswer(
        total=len(rows),
        offset=request.offset,
        most=max(sizes, default=0.0),
        rows=rows[request.offset : request.offset + request.limit],
    )


def _order(sort: str) -> Callable[[ColumnEntry], Any]:
    return lambda each: getattr(each, sort)


def column_entry(subject: PreferenceSubject, column: PredictedColumn) -> ColumnEntry:
    """One line of the ranked table; without a lean where the pairs' store has no such column."""
    counts = subject.sides.counts(column.column) if column.column in subject.sides else None
    lean = counts.lean if counts is not None else None
    names = ("rank", "column", "kind", "meaning", "change", "low", "high", "stands", "p", "agrees", "topic", "half")
    return ColumnEntry(
        **{name: getattr(column, name) for name in names},
        leans=counts.leans_to if counts is not None else None,
        lean=lean.mean if lean is not None else None,
        lean_low=lean.low if lean is not None else None,
        lean_high=lean.high if lean is not None else None,
    )


def column_page(subject: PreferenceSubject, request: PreferencesColumnRequest) -> PreferencesColumnAnswer:
    """All that is known of one column. Raises ``UnweaveError`` with the nearest names for an unknown one."""
    tables, name = subject.tables, request.column
    column = tables.column(name)
    measured = name in subject.sides
    members = _members(subject, name)
    known = all_predictors()
    behaviour = all_behaviours().get(name)
    return PreferencesColumnAnswer(
        column=column_entry(subject, column),
        unit=behaviour.unit if behaviour is not None else "share of its features" if members else "",
        predictors=[
            PredictorEntry(name=each, meaning=known[each].meaning, change=change)
            for each, change in column.predictors.items()
        ],
        sides=_sides(subject.sides.counts(name)) if measured else None,
        topics=_by_topic(subject, name) if measured else [],
        topics_of=len(tables.topic_of),
        rows=[_pushing(subject, name, row) for row in tables.rows.get(name, ())[: request.rows]],
        removed=sum(row.get("column") == name for row in tables.removed),
        features=[subject.store.feature_name(each) for each in members[:MOST_FEATURES]],
        feature_count=len(members),
    )


def _members(subject: PreferenceSubject, name: str) -> tuple[int, ...]:
    cluster = cluster_number(name)
    return subject.members[cluster] if cluster is not None and cluster < len(subject.members) else ()


def cluster_number(name: str) -> int | None:
    """3 of ``cluster:3``; None for any other column."""
    number = name.removeprefix("cluster:")
    return int(number) if number != name and number.isascii() and number.isdecimal() else None


def _sides(counts: SideCounts) -> SidesEntry:
    lean = counts.lean
    return SidesEntry(
        chosen=counts.chosen,
        rejected=counts.rejected,
        both=counts.both,
        neither=counts.neither,
        more_chosen=counts.more_chosen,
        more_rejected=counts.more_rejected,
        lean=lean.mean if lean is not None else None,
        lean_low=lean.low if lean is not None else None,
        lean_high=lean.high if lean is not None else None,
    )


def _by_topic(subject: PreferenceSubject, name: str) -> list[TopicSides]:
    """Topics with most pairs that differ first."""
    found = []
    for topic, rows in rows_by_topic(subject).items():
        sides = _sides(subject.sides.counts(name, rows))
        found.append(TopicSides(topic=topic, rows=len(rows), sides=sides))
    return sorted(found, key=lambda each: -(each.sides.more_chosen + each.sides.more_rejected))


def rows_by_topic(subject: PreferenceSubject) -> dict[str, np.ndarray]:
    """The rows whose topic is known, by topic."""
    return subject.kept("rows by topic", lambda: _rows_by_topic(subject))


def _rows_by_topic(subject: PreferenceSubject) -> dict[str, np.ndarray]:
    found = defaultdict(list)
    for row, topic in subject.tables.topic_of.items():
        found[topic].append(row)
    return {topic: np.array(rows, np.int64) for topic, rows in found.items()}


def _pushing(subject: PreferenceSubject, column: str, row: Any) -> PushingRow:
    place, tables = int(row["row"]), subject.tables
    return PushingRow(
        row=place,
        id=subject.ids[place],
        rank=int(row.get("rank") or 0),
        share=row.get("share"),
        topic=None if row.get("topic") is None else str(row["topic"]),
        side=subject.sides.side(column, place) if column in subject.sides else None,
        removed=place in tables.removed_rows,
        prompt=str(row.get("prompt") or ""),
        chosen=row.get("chosen"),
        rejected=row.get("rejected"),
    )
