"""Labs for tests: people, and small finished runs with tables, a figure and claims, made by the real recorder."""

from __future__ import annotations

from unweave.lab import Lab
from unweave.lab.people import Person
from unweave.record import Run, Table, bars

ANN = Person("ann", "owner")
BOB = Person("bob", "reviewer")
CARL = Person("carl", "runner")
EVE = Person("eve", "reader")


def small_lab(folder, **runs):
    """A lab in ``folder`` with a finished run for each ``name=level``."""
    lab = Lab(folder / "runs")
    for name, level in runs.items():
        small_run(lab.root, name, level)
    return lab


def small_run(root, name, level=0.98, seeds=3, study="remove-language", config=None):
    """A finished run: ``seeds`` seeds with the levels around ``level``, a figure, and one claim for each seed."""
    with Run.create(study, config or {"language": "de"}, root=root, name=name) as run:
        rows = [
            {"method": "factor", "seed": seed, "level": level + 0.01 * (seed - 1), "change": 0.02 * seed}
            for seed in range(seeds)
        ]
        run.save_table(Table.from_records("seeds", rows, units={"level": "ln V"}, caption="Every seed"))
        run.draw("levels", bars(run.load_table("seeds"), "seed", "level", title="Level by seed"))
        for seed in range(seeds):
            run.claim(f"Seed {seed} leaves German at {{value}} ln V.", "seeds", {"seed": seed}, "level")
    return run
