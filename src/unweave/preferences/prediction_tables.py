"""The tables that a prediction leaves, as a page reads them: columns ranked, topics, rows, what was removed, maps.

Only ``predictions`` must be there. Cells that a table has no column for are None.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from unweave.base.errors import UnweaveError, nearest

if TYPE_CHECKING:
    from unweave.record.run import Run
    from unweave.record.table import Table

PREDICTIONS, TOPICS, ROWS, REMOVED = "predictions", "topics", "rows", "removed"
MapOf = Literal["rows", "features"]
MAPS: dict[MapOf, str] = {"rows": "row-map", "features": "feature-map"}
Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class PredictedColumn:
    """What is predicted of one behaviour or cluster of features; ``rank`` counts from 1."""

    rank: int
    column: str
    kind: str
    meaning: str
    change: float | None
    low: float | None
    high: float | None
    stands: bool | None
    p: float | None
    agrees: bool | None
    """Both halves of the prompts point the same way."""
    topic: str | None
    """Whose rows push it most."""
    half: int | None
    """The fewest rows that hold half of all pushes with the change."""
    predictors: Mapping[str, float | None]
    """Each other predictor's change, in its own units."""


class PredictionTables:
    """The tables of one run, each read when it is first asked for."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.names = frozenset(run.tables())

    def table(self, name: str) -> Table | None:
        """None for one that this run did not save."""
        return self.run.load_table(name) if name in self.names else None

    @cached_property
    def caption(self) -> str:
        found = self.table(PREDICTIONS)
        return found.caption if found is not None else ""

    @cached_property
    def unit(self) -> str:
        """Of a predicted change; empty where the table does not say."""
        found = self.table(PREDICTIONS)
        return found.units.get("change", "") if found is not None else ""

    @cached_property
    def columns(self) -> tuple[PredictedColumn, ...]:
        """Ranked as the run ranked them. Raises ``UnweaveError`` without the table, or its column of names."""
        found = self.table(PREDICTIONS)
        if found is None or "column" not in found.columns:
            raise UnweaveError(f"run {self.run.id!r} has no table of predictions by column: predict again")
        from unweave.preferences.predictors.registry import all_predictors

        predictors = [name for name in all_predictors() if name in found.columns]
        return tuple(_column(rank, row, predictors) for rank, row in enumerate(found.records(), 1))

    @cached_property
    def by_name(self) -> dict[str, PredictedColumn]:
        return {each.column: each for each in self.columns}

    def column(self, name: str) -> PredictedColumn:
        """Raises ``UnweaveError`` with the nearest names for a column that was not predicted."""
        if name not in self.by_name:
            raise UnweaveError(f"column {name!r} was not predicted; {nearest(name, self.by_name)}")
        return self.by_name[name]

    @cached_property
    def topics(self) -> dict[str, int | None]:
        """Topics by their words with how many rows each has, in the table's order."""
        return {str(row["words"]): _whole(row.get("rows")) for row in self._records(TOPICS, "words")}

    @cached_property
    def rows(self) -> dict[str, Rows]:
        """By column, the rows that push it most, the strongest first."""
        found: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
        for row in self._records(ROWS, "column", "row"):
            found[str(row["column"])].append(row)
        return {name: sorted(rows, key=lambda row: row.get("rank") or 0) for name, rows in found.items()}

    @cached_property
    def removed(self) -> Rows:
        """Rows that the cleaned data lack, each with the column and why."""
        return self._records(REMOVED, "row")

    @cached_property
    def removed_rows(self) -> frozenset[int]:
        return frozenset(int(row["row"]) for row in self.removed)

    @cached_property
    def topic_of(self) -> dict[int, str]:
        """The topics of the rows that are on the map."""
        return {int(row["row"]): str(row["topic"]) for row in self.points("rows") if row.get("topic") is not None}

    def points(self, of: MapOf) -> Rows:
        """The points of a map, with ``x`` and ``y``; none where it was not drawn."""
        return self._maps[of]

    @cached_property
    def _maps(self) -> dict[MapOf, Rows]:
        return {
            "rows": self._records(MAPS["rows"], "row", "x", "y"),
            "features": self._records(MAPS["features"], "feature", "x", "y"),
        }

    def _records(self, name: str, *needed: str) -> Rows:
        found = self.table(name)
        if found is None:
            return ()
        if missing := [each for each in needed if each not in found.columns]:
            raise UnweaveError(f"table {name!r} of run {self.run.id!r} has no column {missing[0]!r}: predict again")
        return [row for row in found.records() if all(row[each] is not None for each in needed)]


def _column(rank: int, row: Mapping[str, Any], predictors: Sequence[str]) -> PredictedColumn:
    return PredictedColumn(
        rank=rank,
        column=str(row["column"]),
        kind=str(row.get("kind") or ""),
        meaning=str(row.get("meaning") or ""),
        change=row.get("change"),
        low=row.get("low"),
        high=row.get("high"),
        stands=row.get("stands"),
        p=row.get("p"),
        agrees=row.get("halves agree"),
        topic=None if row.get("topic") is None else str(row["topic"]),
        half=_whole(row.get("rows for half")),
        predictors={name: row.get(name) for name in predictors},
    )


def _whole(value: Any) -> int | None:
    return None if value is None else int(value)
