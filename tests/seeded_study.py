"""A study in a file of its own, for runs that are started, killed and gone on with: a few steps of training a seed."""

from __future__ import annotations

import os
import signal
import statistics
from dataclasses import dataclass

from unweave.record.aggregate import Aggregate
from unweave.record.table import Table
from unweave.studies.registry import study


@dataclass(frozen=True)
class Seeded:
    """Fits noise."""

    first_seed: int = 0
    """The first seed."""
    seeds: int = 3
    """How many."""
    steps: int = 25
    """Steps of training."""
    killed_at: int | None = None
    """Seed before which the process is killed, the first time it gets there."""


@study("seeded", "What is left of noise after some steps?", Seeded)
def seeded(config: Seeded, run=None):
    import torch

    kept = run.cells("cells")
    run.use_seeds(range(config.first_seed, config.first_seed + config.seeds))
    for seed in range(config.first_seed, config.first_seed + config.seeds):
        if str(seed) in kept:
            continue
        if seed == config.killed_at and not run.state()["resumed"]:
            os.kill(os.getpid(), signal.SIGKILL)
        generator = torch.Generator().manual_seed(seed)
        x, y = (torch.randn(64, 8, generator=generator) for _ in range(2))
        weight = torch.zeros(8, 8, requires_grad=True)
        optimiser = torch.optim.Adam([weight], lr=0.05)
        for _ in range(config.steps):
            optimiser.zero_grad()
            loss = (x @ weight - y).square().mean()
            loss.backward()
            optimiser.step()
        run.log(seed=seed, loss=loss.item())
        run.put_cell("cells", str(seed), {"arm": "fit", "seed": seed, "loss": loss.item()})
    rows = tuple((row["arm"], row["seed"], row["loss"]) for row in run.cells("cells").values())
    run.save_table(Table("cells", ("arm", "seed", "loss"), rows))
    run.save_table(Table("summary", ("arm", "loss"), (("fit", statistics.median(row[2] for row in rows)),)))
    over = Aggregate("cells", "loss", {"arm": "fit"})
    run.claim("The loss is left at {value}.", "summary", {"arm": "fit"}, "loss", over=over)
