"""Intervals, p values and verdicts of a comparison, made again from the values that it cites."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from unweave.lab.audit.finding import Finding
from unweave.record.run import Run
from unweave.record.table import Table

TABLES = ("values", "comparison")
_VALUES, _STATED = {"arm", "seed", "value", "run"}, {"arm", "seeds", "mean", "against", "verdict"}
"""Columns that the lab writes of every comparison."""
_UNNAMED = "\0="
"""Stands before the names of arms that are made again, where the settings are whose names they are."""


def load_statistics(folders: list[Path]) -> None:
    """Loads what the comparisons in some runs' folders are made again with, before nothing more can be loaded."""
    if any((folder / "tables" / f"{TABLES[1]}.csv").exists() for folder in folders):
        import scipy.stats  # noqa: F401

        import unweave.lab.sweeps.comparison_record
        import unweave.stats.noise  # noqa: F401


def compared_findings(run: Run) -> Iterator[Finding]:
    """Cells of the table ``comparison`` of a comparison or a sweep that do not follow from its table ``values``."""
    if run.study not in ("comparison", "sweep") or not set(TABLES) <= set(run.tables()):
        return
    values, stated = (run.load_table(name) for name in TABLES)
    # A person's own study may have such a name, and such tables with other columns.
    if not (set(values.columns) >= _VALUES and set(stated.columns) >= _STATED):
        return
    again = _again(values, str(_better(run.config)))
    if len(stated.rows) != len(again.rows):
        yield Finding("table", TABLES[1], "has another number of arms than the values that it is made of")
        return
    for row, (told, found) in enumerate(zip(stated.records(), again.records(), strict=True)):
        for column in (name for name in stated.columns if name in found):
            cell = found[column]
            wanted = cell.replace(_UNNAMED, "") if isinstance(cell, str) else cell
            if not _same(told[column], wanted):
                what = f"{told['arm']}, {column}: {told[column]!r} instead of {wanted!r}"
                yield Finding("table", f"{TABLES[1]}, row {row}", what)


def _again(values: Table, better: str) -> Table:
    from unweave.lab.sweeps.arms import Arm, Grouped
    from unweave.lab.sweeps.comparison import compare_arms
    from unweave.lab.sweeps.comparison_record import comparison_table
    from unweave.lab.sweeps.measure import Measure, Reading

    readings: dict[str, list[Reading]] = {}
    for record in values.records():
        reading = Reading(str(record["run"]), int(str(record["seed"])), float(str(record["value"])), "value")
        readings.setdefault(str(record["arm"]), []).append(reading)
    arms = tuple(Arm({_UNNAMED[0]: name}, tuple(found)) for name, found in readings.items())
    measure = Measure("value", better="lower" if better == "lower" else "higher")
    return comparison_table(compare_arms("", measure, Grouped(arms, (_UNNAMED[0],))))


def _better(config: Mapping[str, Any]) -> Any:
    measure = config.get("measure")
    return measure.get("better") if isinstance(measure, Mapping) else config.get("better")


def _same(told: Any, found: Any) -> bool:
    if isinstance(told, float) and isinstance(found, float):
        return math.isclose(told, found, rel_tol=1e-9, abs_tol=1e-12)
    return told == found
