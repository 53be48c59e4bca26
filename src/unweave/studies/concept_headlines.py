"""What a run of ``concept-geometry`` found, in a few numbers: which scores stand at the head of its report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from unweave.studies.concept_tables import NULL

if TYPE_CHECKING:
    from unweave.record.report import Headline

LEVEL = 0.05
MOST = 6
RINGS_FIRST = ("weekdays", "months")
"""Concepts of which circles are published: the order round theirs is told first."""


def headlines(summary: Sequence[dict[str, Any]]) -> list[Headline]:
    """A concept's best score each, at most six, what the null does not reach first.

    Weekdays' and months' order round the ring comes first where it was tested, told from its null or not; then the
    other concepts by how far their r is above what 5 % of its null reach. Where that is not told at .05 after Holm a
    score is left out, unless nothing at all is told: then the first are shown. Each says what its null reaches, its p,
    and where it is not told from it.
    """
    from unweave.shapes.concepts.shape import DISTANCE, RING_R

    scored = [row for row in summary if row["score"] in (DISTANCE, RING_R) and row[NULL] is not None]
    first = [row for name in RINGS_FIRST for row in scored if (row["concept"], row["score"]) == (name, RING_R)]
    first.sort(key=lambda row: not _told(row))
    rest = sorted(scored, key=lambda row: (not _told(row), row[NULL] - row["mean"]))
    best: dict[str, dict[str, Any]] = {}
    for row in [*first, *rest]:
        best.setdefault(row["concept"], row)
    shown = [row for row in best.values() if row in first or _told(row)] or list(best.values())
    return [_headline(row, summary) for row in shown[:MOST]]


def _told(row: dict[str, Any]) -> bool:
    return row["adjusted p"] <= LEVEL and row["mean"] > row[NULL]


def _headline(row: dict[str, Any], summary: Sequence[dict[str, Any]]) -> Headline:
    from unweave.record.report import Headline
    from unweave.shapes.concepts.shape import DISTANCE, RING

    concept, told = row["concept"], _told(row)
    what = "distances of {} follow the known ones, r" if row["score"] == DISTANCE else "order of {} round the ring, r"
    note = f"null 95 %: {row[NULL]:.2f}, p {row['adjusted p']:.2g} (Holm)"
    if not told:
        note = f"not told from its null: {note}"
    elif row["score"] != DISTANCE:
        ring = next((each for each in summary if (each["concept"], each["score"]) == (concept, RING)), None)
        if ring is not None and ring["adjusted p"] > LEVEL:
            note += f"; that it is a ring is not told, p {ring['adjusted p']:.2g}"
    return Headline(what.format(concept), "summary", {"concept": concept, "score": row["score"]}, "mean", note=note)
