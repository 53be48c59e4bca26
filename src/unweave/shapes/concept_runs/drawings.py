"""What a run's tables say of a concept or a way of steering, in the form in which it is drawn."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from unweave.base.errors import UnweaveError, nearest
from unweave.shapes.concept_runs.view_models import (
    AnswerLine,
    AnswerPoint,
    ConceptValue,
    DrawnCurve,
    Point,
    SteeredWay,
    TableColumn,
    TableRows,
)

if TYPE_CHECKING:
    from unweave.record.run import Run
    from unweave.record.table import Table, Value

Row = Mapping[str, "Value"]
CONCEPT, TASK = "concept", "task"
_HEX = re.compile(r"#[0-9a-fA-F]{6}")
_CLOSES = 0.05


class RunTables:
    """The tables of a run, each loaded once; one that the run has not is None."""

    def __init__(self, run: Run) -> None:
        self._run, self._names = run, set(run.tables())
        self._loaded: dict[str, Table] = {}

    def __getitem__(self, name: str) -> Table | None:
        if name not in self._names:
            return None
        if name not in self._loaded:
            self._loaded[name] = self._run.load_table(name)
        return self._loaded[name]

    def rows(self, name: str, **where: Any) -> list[Row]:
        """Rows of a table that hold these values; none where it lacks one of the columns, or the run the table."""
        table = self[name]
        if table is None or any(column not in table.columns for column in where):
            return []
        return [row for row in table.records() if all(row[column] == value for column, value in where.items())]

    def shown(self, name: str, **where: Any) -> TableRows | None:
        """Rows as they are shown, without the columns that were chosen by."""
        table = self[name]
        rows = self.rows(name, **where)
        if table is None or not rows:
            return None
        kept = [at for at, column in enumerate(table.columns) if column not in where]
        columns = [
            TableColumn(
                name=table.columns[at],
                kind=table.kinds[at],
                unit=table.units.get(table.columns[at]),
                digits=table.digits.get(table.columns[at]),
            )
            for at in kept
        ]
        cells = [[row[table.columns[at]] for at in kept] for row in rows]
        return TableRows(name=name, caption=table.caption, columns=columns, rows=cells)

    def layers(self, name: str, **where: Any) -> list[int]:
        """The depths of a table's rows, in its order."""
        return [int(str(layer)) for layer in distinct(self.rows(name, **where), "layer")]


def best_layer(tables: RunTables, concept: str) -> int:
    """The depth at which a concept's families were compared, of those that it was drawn at; else the first of these."""
    drawn = tables.layers("centroids", concept=concept)
    compared = [layer for layer in tables.layers("families", concept=concept) if layer in drawn]
    return (compared or drawn)[0]


def distinct(rows: Sequence[Row], column: str) -> list[Value]:
    """A column's different values, in the order in which they come."""
    return list(dict.fromkeys(row[column] for row in rows if row.get(column) is not None))


def chosen(what: str, wanted: Any, known: Sequence[Any]) -> Any:
    """What is wanted, or the first; raises ``UnweaveError`` for what is not known."""
    if not known:
        raise UnweaveError(f"the run drew no {what}: run the study again")
    if wanted is None:
        return known[0]
    if wanted not in known:
        raise UnweaveError(f"{what} {wanted!r} was not drawn; {nearest(str(wanted), list(map(str, known)))}")
    return wanted


def concept_values(tables: RunTables, layer: int, **owner: str) -> list[ConceptValue]:
    """The centroids of the values of a concept or a task, with the labels and the colours that the run gives them."""
    about = {row["value"]: row for row in tables.rows("values", **owner)}
    return [
        ConceptValue(
            value=str(row["value"]),
            label=str(row.get("label") or about.get(row["value"], {}).get("label") or row["value"]),
            place=_place(row),
            colour=_colour(about.get(row["value"], {})),
            theta=_number(row.get("theta")),
        )
        for row in tables.rows("centroids", layer=layer, **owner)
    ]


def concept_curves(tables: RunTables, layer: int, **owner: str) -> list[DrawnCurve]:
    """The curves that were fitted through the centroids of a concept or a task, the chosen family's first.

    A tree is drawn in parts, its edges; any other curve is one.
    """
    families = tables.rows("families", layer=layer, **owner)
    best = {row["family"] for row in families if row.get("chosen") is True}
    rows = _stepped(tables.rows("curve", layer=layer, **owner))
    by_family: dict[str, dict[Value, list[Row]]] = {}
    for row in rows:
        by_family.setdefault(str(row.get("family") or ""), {}).setdefault(row.get("part"), []).append(row)
    curves = []
    for family, parts in by_family.items():
        points = [[_place(row) for row in part] for part in parts.values()]
        theta = [_number(row.get("theta")) for part in parts.values() for row in part]
        curves.append(
            DrawnCurve(
                family=family,
                closed=len(points) == 1 and _closes(points[0]),
                chosen=family in best,
                parts=points,
                theta=[one for one in theta if one is not None],
            )
        )
    return sorted(curves, key=lambda one: not one.chosen)


def steered_ways(tables: RunTables, task: str, layer: int, pair: str) -> list[SteeredWay]:
    """The ways from one value of a pair to the other: where they lead through, and what is answered along them."""
    paths = tables.rows("paths", task=task, layer=layer, pair=pair)
    answers = tables.rows("answers", task=task, layer=layer, pair=pair)
    found = []
    for way in distinct([*paths, *answers], "way"):
        given = [row for row in answers if row["way"] == way]
        lines = [
            AnswerLine(answer=str(answer), points=[_answer(row) for row in _stepped(given) if row["answer"] == answer])
            for answer in distinct(given, "answer")
        ]
        path = [_place(row) for row in _stepped([row for row in paths if row["way"] == way])]
        found.append(SteeredWay(way=str(way), path=path, answers=lines))
    return found


def axes(tables: RunTables, **where: Any) -> tuple[str, str, str]:
    """Captions of the three axes, with the share of variance that each explains where the run says so."""
    rows = tables.rows("axes", **where)
    shares = [row.get("explained") for row in rows[:3]]
    names = [
        f"PC{number + 1}" + (f" ({float(str(share)):.0%} of variance)" if share is not None else "")
        for number, share in enumerate([*shares, None, None, None][:3])
    ]
    return names[0], names[1], names[2]


def _answer(row: Row) -> AnswerPoint:
    probability, deviation = float(str(row["probability"])), float(str(row.get("sd") or 0.0))
    return AnswerPoint(
        t=float(str(row["t"])),
        probability=probability,
        low=max(0.0, probability - deviation),
        high=min(1.0, probability + deviation),
    )


def _stepped(rows: Sequence[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: int(str(row["step"])))


def _place(row: Row) -> Point:
    x, y, z = (float(str(row[axis])) for axis in "xyz")
    return x, y, z


def _number(value: Value) -> float | None:
    return None if value is None else float(str(value))


def _colour(row: Row) -> str | None:
    return next((value.lower() for value in row.values() if isinstance(value, str) and _HEX.fullmatch(value)), None)


def _closes(points: Sequence[Point]) -> bool:
    """Whether a drawn curve ends where it begins."""
    drawn = np.array(points)
    extent = float(np.linalg.norm(np.ptp(drawn, axis=0)))
    return len(drawn) > 2 and float(np.linalg.norm(drawn[-1] - drawn[0])) < _CLOSES * extent
