"""A study for tests of sweeps: a number that its config decides, with noise by the seed."""

import os
import random
import time
from dataclasses import dataclass

from unweave.base.errors import UnweaveError
from unweave.record import Table
from unweave.studies.registry import study


@dataclass(frozen=True)
class Curve:
    """A parabola in ``x``, measured."""

    x: float = 0.0
    """Best at 2."""
    kind: str = "plain"
    """``broken`` fails at seed 1, ``empty`` saves no table."""
    effort: int = 8
    """The more, the less noise."""
    gate: str = ""
    """A file that all but the first wait for."""
    first_seed: int = 0
    seeds: int = 1
    mark: str = ""
    """A file to which each execution adds a line."""

    def __post_init__(self):
        if self.x > 100:
            raise UnweaveError(f"x is {self.x}, and it must be at most 100")


@study("curve", "Where is the curve lowest?", Curve)
def curve(config, run=None):
    if config.mark:
        with open(config.mark, "a", encoding="utf-8") as file:
            file.write(f"{config.x} {config.effort} {config.first_seed} {os.getpid()}\n")
    seeds = range(config.first_seed, config.first_seed + config.seeds)
    while config.gate and config.x > 0 and not os.path.exists(config.gate):
        run.stop_if_cancelled()
        time.sleep(0.01)
    if config.kind == "broken" and 1 in seeds:
        raise UnweaveError("out of luck at seed 1")
    if config.kind == "empty":
        return
    rows = [(seed, (config.x - 2) ** 2 + noise(config, seed)) for seed in seeds]
    for seed, level in rows:
        run.log(step=seed, level=level)
    run.save_table(Table("summary", ("seed", "level"), tuple(rows)))


def noise(config, seed):
    return random.Random(f"{seed} {config.x}").gauss(0, 0.8 / config.effort)
