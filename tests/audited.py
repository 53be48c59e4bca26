"""Runs for the audit's tests: small, honest, and finished unless something is done to them first."""

from __future__ import annotations

import statistics

from unweave.base.files import path_hash
from unweave.record.aggregate import Aggregate
from unweave.record.bar_chart import bars
from unweave.record.run import Run
from unweave.record.table import Table

LEVELS = {0: 0.9547, 1: 0.9312, 2: 0.9125, 3: 0.971, 4: 0.9421}
CONFIG = {"language": "es", "tokens": 4, "seeds": 5}
OVER = Aggregate("cells", "level", {"method": "factor"})


def plan(**changes):
    """What the run below was planned as."""
    return {"study": "removal", "config": dict(CONFIG), "seeds": [0, 1, 2, 3, 4], **changes}


def started(root, name="one", levels=None, about=None, study="removal", config=None):
    """A run with a row for each seed, their median in a summary, and a figure of it; not finished."""
    about = {"seeds": list(LEVELS)} if about is None else about
    run = Run.create(study, CONFIG if config is None else config, root=root, name=name, about=about)
    rows = LEVELS if levels is None else levels
    for seed, level in rows.items():
        run.put_cell("cells", f"factor/{seed}", {"method": "factor", "seed": seed, "level": level})
        run.log(seed=seed, loss=1 - level)
    run.save_table(Table("cells", ("method", "seed", "level"), tuple(("factor", s, v) for s, v in rows.items())))
    summary = Table(
        "summary", ("method", "tokens", "level"), (("factor", 4, statistics.median(rows.values())),), caption="Median."
    )
    run.save_table(summary)
    run.draw("levels", bars(summary, "method", "level", title="Levels"))
    return run


def claimed(run, digits=2, **more):
    """The claim that the run is about."""
    row = {"method": "factor"}
    return run.claim(
        "One factor leaves Spanish at {value} ln V.", "summary", row, "level", digits=digits, over=OVER, **more
    )


def finished(root, name="one", **options):
    """The same with its claim, finished and sealed."""
    run = started(root, name, **options)
    claimed(run)
    run.finish()
    return run


def held_out(run, path, name="evaluation"):
    """Records the text that a run's numbers are measured on."""
    run.identify("held-out", name, path_hash(path), path=str(path))


def one_seed(root, seed, level, arm="factor", study="removal", thread="t", name=None, status="finished", **settings):
    """A finished run of one seed, as a queue would launch it."""
    config = {"language": "es", "arm": arm, "first_seed": seed, "seeds": 1, **settings}
    about = {"seeds": [seed], "thread": thread}
    run = Run.create(study, config, root=root, name=name or f"{arm}-{seed}", about=about)
    run.save_table(Table("cells", ("seed", "level"), ((seed, level),)))
    run.finish(status)
    return run


def findings(audit, *kinds):
    """What an audit found of some kinds, grave ones only."""
    return [str(one) for one in audit.findings if one.grave and (not kinds or one.kind in kinds)]
