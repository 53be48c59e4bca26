"""A small real lab: runs of a user's study with tables, figures, metrics and claims, and a thread about them."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

from unweave.lab.lab import Lab
from unweave.lab.threads.events import Hypothesis, Note, ThreadRun
from unweave.record import Run, Table, bars

STUDY = dedent(
    '''
    """A study of a person's own: a measured effect that grows with strength, over seeds."""

    import random
    from dataclasses import dataclass

    from unweave.record import Table
    from unweave.studies.registry import study


    @dataclass(frozen=True)
    class Push:
        """What is pushed."""

        strength: float = 1.0
        """How hard."""
        seed: int = 0
        word: str = "x"
        fail: bool = False
        sleep: float = 0.0


    @study("push", "Does pushing move it?", Push)
    def push(config, run=None):
        import time

        noise = random.Random(config.seed)
        print("pushing", config.word, flush=True)
        for step in range(20):
            run.progress.update(step + 1, 20, "pushing")
            run.stop_if_cancelled()
            run.log(step=step, moved=config.strength * step + noise.random(), word=config.word)
            time.sleep(config.sleep)
        if config.fail:
            raise ValueError("it does not move")
        moved = config.strength * 10 + noise.random()
        run.save_table(Table("summary", ("seed", "moved"), ((config.seed, moved),), units={"moved": "cm"}))
        run.claim("It moved by {value} cm.", "summary", {"seed": config.seed}, "moved", digits=2)
    '''
).lstrip()


INQUIRY = dedent(
    """
    from unweave.studies.inquiry import Inquiry, Knob, Outcome

    INQUIRY = Inquiry(
        ("push", "pushing", "move", "moves"),
        Outcome("moved", "summary", "moved", bar=15.0, unit="cm"),
        (Knob("strength", (1.0, 2.0, 4.0), searched=True),),
        null={"strength": 0.0},
        first_seed="seed",
        seeds=None,
    )
    """
).lstrip()


def write_study(folder: Path, planned: bool = False) -> Path:
    """The study's file; a ``planned`` one says how a planner may ask it."""
    path = Path(folder) / "push.py"
    text = STUDY
    if planned:
        text = text.replace("@dataclass(frozen=True)", f"{INQUIRY}\n\n@dataclass(frozen=True)")
        text = text.replace('move it?", Push)', 'move it?", Push, inquiry=INQUIRY)')
    path.write_text(text, encoding="utf-8")
    return path


def add_run(lab: Lab, name: str, rows: int = 4, steps: int = 30, note: str = "", **about) -> Run:
    """A finished run that came by no queue, with everything that a run can hold."""
    with Run.create("measure-word", {"word": name, "rows": rows}, lab.root, name, about=about) as run:
        for step in range(steps):
            run.log(step=step, loss=1.0 / (1 + step), level=float(step % 7), text="no number")
        table = Table(
            "summary",
            ("arm", "seed", "level"),
            tuple((f"arm-{number % 2}", number, number / 3) for number in range(rows)),
            units={"level": "nats"},
            caption=note or "What was measured",
        )
        run.save_table(table)
        run.draw("levels", bars(table, "level", "seed", title="Levels"))
        run.claim("Seed 1 reached {value} nats.", "summary", {"seed": 1}, "level")
        run.claim_metric("The loss ended at {value}.", "loss")
        (run.path / "report.html").write_text("<html></html>", encoding="utf-8")
    return run


def make_lab(root: Path) -> Lab:
    """A lab with two runs and a thread."""
    lab = Lab(root)
    add_run(lab, "first")
    add_run(lab, "second", rows=6)
    thread = lab.threads.create("Does a word go?", id="words")
    lab.threads.add(thread.id, Hypothesis("It goes.", "the level falls", "h1"))
    lab.threads.add(thread.id, ThreadRun("first", "confirm", "h1"))
    lab.threads.add(thread.id, Note("# What was seen\n\nIt **went**."))
    lab.runs.sync()
    return lab
