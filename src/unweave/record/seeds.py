"""The seeds of a run: those that it said it would use, and those that it wrote something of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unweave.base.errors import UnweaveError
from unweave.record import jsonl
from unweave.record.aggregate import seed_order
from unweave.record.metric import metric_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from unweave.record.run import Run


def planned_seeds(run: Run) -> list[str]:
    """The seeds of the run's description, else those of its plan; empty where neither names any."""
    state = run.state()
    plan = state.get("plan")
    seeds = state.get("seeds") or (plan.get("seeds") if isinstance(plan, dict) else None) or []
    return seed_order(map(str, seeds)) if isinstance(seeds, list) else []


def logged_seeds(run: Run, seed: str = "seed", where: Mapping[str, Any] | None = None) -> list[str]:
    """The seeds in what the run kept and logged while it worked: its cells and its metrics.

    With ``where`` only those of rows that say nothing against it: a row that lacks one of its columns counts.
    """
    wanted = {name: choice for name, choice in (where or {}).items() if name != seed}
    return seed_order(
        str(row[seed])
        for row in _rows(run)
        if row.get(seed) is not None and all(_fits(row[name], wanted[name]) for name in wanted if name in row)
    )


def _rows(run: Run) -> Iterator[dict[str, Any]]:
    for path in sorted((run.path / "cells").glob("*.jsonl")):
        kept = {record.get("key"): record.get("row") for record in jsonl.read(path)}
        yield from (row for row in kept.values() if isinstance(row, dict))
    try:
        yield from metric_rows(run.path)
    except UnweaveError:
        # Metrics that cannot be read are told of where they are claimed from or sealed.
        return


def _fits(value: Any, wanted: Any) -> bool:
    return value in wanted if isinstance(wanted, list) else value == wanted
