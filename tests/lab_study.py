"""A study that takes no time: seeds of two methods with known levels, and a figure."""

from __future__ import annotations

from dataclasses import dataclass

from unweave.base.errors import UnweaveError
from unweave.record.bar_chart import bars
from unweave.record.table import Table
from unweave.studies.registry import study


@dataclass(frozen=True)
class Planted:
    """Levels that are planted, and not measured."""

    level: float = 1.0
    """The first method's level."""
    other: float = 0.5
    """The second method's level."""
    seeds: int = 3
    fails: bool = False


@study("planted", "What level was planted?", Planted)
def planted(config, run=None):
    if config.fails:
        raise UnweaveError("this one was to fail")
    rows = [
        {"method": method, "seed": seed, "level": level + step * (seed - 1)}
        for method, level, step in (("ours", config.level, 0.01), ("theirs", config.other, 0.02))
        for seed in range(config.seeds)
    ]
    run.save_table(Table.from_records("seeds", rows))
    run.save_table(Table.from_records("parts", [{"part": f"p{n}", "share": n / 4} for n in range(4)]))
    run.draw("levels", bars(run.load_table("seeds"), "seed", "level", group="method", title="Levels"))
