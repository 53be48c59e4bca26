"""A study that does next to nothing, and says how long that took: what is left of a run is what the lab adds."""

from __future__ import annotations

import time
from dataclasses import dataclass

from unweave.record import Table
from unweave.studies.registry import study


@dataclass(frozen=True)
class Short:
    """A number and its square."""

    number: int = 0


@study("short", "What is a number's square?", Short)
def short(config, run=None):
    started = time.perf_counter()
    run.log(step=0, square=config.number**2)
    run.save_table(Table("square", ("number", "square"), ((config.number, config.number**2),)))
    run.save_table(Table("took", ("seconds",), ((time.perf_counter() - started,),)))
