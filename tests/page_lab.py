"""A lab for tests of the page: runs in every state, threads with plans and reviews, and texts that are hostile."""

from __future__ import annotations

import json
import math
import threading
import time
from pathlib import Path

from lab_places import ANN, BOB, CARL, EVE
from made_subject import HOSTILE

from unweave.lab import Lab
from unweave.lab.people import Person
from unweave.lab.threads.events import (
    Approval,
    Conclusion,
    Hypothesis,
    Link,
    Note,
    Plan,
    Review,
    StateChange,
    ThreadRun,
    Tried,
)
from unweave.record import Run, Table, bars
from unweave.record.claims import Aggregate
from unweave.record.seal import check_seal
from unweave.server.app import make_app
from unweave.server.serve import bind, make_server
from unweave.server.settings import ServerSettings

TOKEN = "a-token-for-tests-0123456789"  # noqa: S105
STUDY = "remove-language"
QUESTION = "Can one number remove Spanish from polyglot without harming the others?"
OUTCOME = {
    "name": "level", "table": "seeds", "column": "level", "where": {"method": "factor"}, "better": "higher",
    "bar": 0.9, "unit": "ln V", "seed": "seed",
}  # fmt: skip
PLAN = {
    "question": QUESTION,
    "study": STUDY,
    "kind": "compare",
    "arms": [
        {"name": "factor", "role": "candidate", "settings": {"language": "es", "tokens": 4}},
        {"name": "lora", "role": "baseline", "settings": {"language": "es", "method": "lora"}},
        {"name": "no language", "role": "null", "settings": {"language": "la"}},
    ],
    "stages": [
        {"name": "screen", "seeds": [0, 1], "settings": {"windows": 4}},
        {"name": "confirm", "seeds": [10, 11, 12], "settings": {}},
    ],
    "hypotheses": [
        {
            "name": "one number",
            "statement": "One number removes Spanish.",
            "predictions": [
                {"arm": "*", "outcome": "level", "expected": "reached", "than": None, "value": 0.97},
                {"arm": "factor", "outcome": "level", "expected": "better", "than": "lora", "value": None},
            ],
        }
    ],
    "criterion": {"effect": OUTCOME, "harms": [], "equal": [], "level": 0.05},
    "stopping": {"text": "Three fresh seeds of each finalist, then stop.", "seeds": 3, "finalists": 1},
    "contrasts": [["factor", "lora"]],
    "budget": {"runs": 20.0, "seconds": 600.0},
    "identities": {"target": "3f" * 32},
    "code": None,
    "planner": "built-in",
    "launch": [{"arm": "factor", "stage": "screen", "seeds": [0]}],
    "said": "Screen first.",
}


def curves(run: Run, steps: int, rate: float) -> None:
    """Two metrics that fall and rise with some noise, the same each time."""
    for step in range(steps):
        noise = math.sin(step * 1.7 + rate) * 0.03
        fallen = math.exp(-step / steps * rate)
        run.log(step=step, loss=4.2 * fallen + 0.4 + noise, accuracy=1 - fallen**0.7 + noise / 2)


def finished(root: Path, name: str, level: float, number: int = 0, language: str = "es", **about: object) -> Run:
    """A finished run with curves, a long table, a figure, and claims of every kind; ``number`` tells its seeds."""
    config = {"language": language, "tokens": 4, "windows": 24, "method": "lora" if "lora" in name else "factor"}
    seeds = [3 * number + one for one in range(3)]
    with Run.create(STUDY, config, root=root, name=name, about={"seeds": seeds, "person": "carl", **about}) as run:
        run.identify("target", "polyglot", "3f" * 32)
        run.identify("data", "stories, held out", "a1" * 32)
        curves(run, 300, 2 + number / 2 + 10 * (1 - level))
        rows = [
            {
                "method": config["method"],
                "seed": seed,
                "level": level + 0.011 * math.sin(seed * level * 9),
                "change": 0.021 * seed,
            }
            for seed in seeds
        ]
        run.save_table(
            Table.from_records("seeds", rows, units={"level": "ln V"}, caption="Every seed", digits={"level": 3})
        )
        run.save_table(
            Table.from_records(
                "effects",
                [
                    {
                        "language": f"{code}",
                        "window": window,
                        "base": 2.1 + window / 100,
                        "change": window * 0.003 - 0.1,
                    }
                    for code in ("de", "en", "es", "fr", "it")
                    for window in range(60)
                ],
                units={"base": "nats", "change": "nats"},
                caption="Held-out text, nats per token",
            )
        )
        run.draw("levels", bars(run.load_table("seeds"), "seed", "level", title="Level by seed"))
        run.claim(f"Seed {seeds[1]} leaves Spanish at {{value}} ln V.", "seeds", {"seed": seeds[1]}, "level")
        run.claim(
            "Window 59 of Italian changes by {value:+} nats.", "effects", {"language": "it", "window": 59}, "change"
        )
        run.claim("Over the seeds Spanish is left at {value} ln V.", over=Aggregate("seeds", "level", how="mean"))
        run.claim_metric("The loss ends at {value}.", "loss")
        (run.path / "log.txt").write_text("".join(f"step {step}: loss {4 - step / 100:.3f}\n" for step in range(120)))
    return run


def hostile(root: Path) -> Run:
    """A run whose every text is hostile: config, metric names, table, claim, log, note."""
    config = {"language": HOSTILE, "windows": 2}
    with Run.create(STUDY, config, root=root, name="hostile", about={"tags": [HOSTILE], "person": HOSTILE}) as run:
        run.identify("data", HOSTILE, "b2" * 32)
        run.log(step=0, **{HOSTILE: 1.0})
        run.log(step=1, **{HOSTILE: 2.0})
        table = Table("texts", ("text", HOSTILE), ((HOSTILE, 1.5), ("plain", 2.5)), caption=HOSTILE)
        run.save_table(table)
        run.draw("texts", bars(run.load_table("texts"), "text", HOSTILE, title=HOSTILE))
        run.claim(f"{HOSTILE} is {{value}}.", "texts", {"text": HOSTILE}, HOSTILE)
        (run.path / "log.txt").write_text(f"{HOSTILE}\n\x1b]0;owned\x07 \x1b[2J and on\r\n")
        run.finish(note=HOSTILE)
    return run


def at_work(root: Path, name: str = "remove-es-now") -> Run:
    """A run that this process works on."""
    run = Run.create(
        STUDY,
        {"language": "es", "windows": 24, "seed": 20},
        root=root,
        name=name,
        about={"person": "carl", "thread": "spanish"},
    )
    curves(run, 80, 3)
    say(run, 80, 300)
    (run.path / "log.txt").write_text("".join(f"step {step}\n" for step in range(80)))
    return run


def say(run: Run, done: int, total: int, note: str = "confirming on seed 20") -> None:
    """What a worker writes of a run's progress."""
    said = {"done": done, "total": total, "note": note, "at": time.time()}
    (run.path / "progress.json").write_text(json.dumps(said))


def made_lab(folder: Path) -> Lab:
    """The whole lab."""
    lab = Lab(folder / "runs")
    root = lab.root
    for number, level in enumerate((0.96, 0.975, 0.968)):
        finished(root, f"remove-es-{number}", level, number, thread="spanish")
    for number, level in enumerate((0.91, 0.93, 0.922)):
        finished(root, f"lora-es-{number}", level, number, thread="spanish")
    changed = finished(root, "changed-afterwards", 0.99, language="fr")
    with Run.create(STUDY, {"language": "it"}, root=root, name="remove-it") as run:
        run.log(step=0, loss=4.0)
        run.finish("failed", "subcomponent 77 is not in this decomposition; nearest: 76")
    with Run.create(STUDY, {"language": "fr"}, root=root, name="remove-fr") as run:
        run.finish("cancelled", "asked to stop")
    hostile(root)
    lab.runs.sync()
    text = (changed.path / "tables" / "seeds.csv").read_text()
    (changed.path / "tables" / "seeds.csv").write_text(text.replace("0.99", "0.98"))
    lab.runs.invalidate(changed.id, "; ".join(check_seal(changed.path, lab.runs.sealed(changed.id))))
    _threads(lab)
    return lab


def _threads(lab: Lab) -> None:
    threads = lab.threads
    older = threads.create("Does a factor remove German?", by=CARL, id="german")
    threads.add(older.id, StateChange(state="concluded", why="Published, and corrected since."), by=CARL)
    threads.create(
        QUESTION, by=CARL, id="spanish", links=[Link("extends", "german", "The same with another language.")],
        context="LoRA is compared at **equal tokens**.",
    )  # fmt: skip
    add = threads.add
    add(
        "spanish",
        Hypothesis("One number removes Spanish.", "A level of at least 0.95 ln V on every seed.", "one number"),
        by=CARL,
    )
    add("spanish", Plan({**PLAN, "budget": {"runs": 10.0}}), by=CARL)
    plan = add("spanish", Plan(PLAN), by=CARL)
    add("spanish", Approval(plan.sha256, "The seeds are fresh."), by=BOB)
    for name in ("remove-es-0", "remove-es-1", "remove-es-2"):
        add("spanish", ThreadRun(name, "confirm", "one number"), by=CARL)
    for name in ("lora-es-0", "lora-es-1", "lora-es-2"):
        add("spanish", ThreadRun(name, "baseline"), by=CARL)
    note = (
        "## What was seen\n\nThe factor holds on *every* seed; see `remove-es-1` and [the list](/lab/runs).\n\n"
        "- level above **0.95**\n- nothing else moved by more than `0.1` nats\n\n> LoRA needs more tokens.\n\n"
        "```\nunweave run remove-language --set language=es\n```\n\nMore at [elsewhere](https://example.org/x)."
    )
    add("spanish", Note(note), by=CARL)
    add("spanish", Note(f"{HOSTILE} [x](javascript:window.struck=1) <b>bold</b>"), by=CARL)
    add("spanish", Conclusion("One number removes Spanish.", (("remove-es-0", 0), ("remove-es-1", 0))), by=CARL)
    add(
        "spanish", Tried("Two subcomponents at once", "The second one carries Portuguese too.", ("lora-es-0",)), by=CARL
    )
    add("spanish", Review("revise", "Give the level on **Portuguese** too.\n\nSeeds are fine."), by=BOB)
    hostile_thread = threads.create(HOSTILE, by=CARL, id="hostile-thread", context=HOSTILE)
    add(hostile_thread.id, Hypothesis(HOSTILE, HOSTILE, HOSTILE[:90]), by=CARL)
    add(hostile_thread.id, Plan({HOSTILE: [HOSTILE, {"x": HOSTILE}]}), by=CARL)
    add(
        hostile_thread.id,
        Note(f"# {HOSTILE}\n\n* {HOSTILE}\n\n`{HOSTILE}`\n\n[{HOSTILE}](javascript:alert(1))"),
        by=CARL,
    )
    add(hostile_thread.id, Conclusion(HOSTILE, (("hostile", 0),)), by=CARL)
    add(hostile_thread.id, Tried(HOSTILE, HOSTILE), by=CARL)
    add(hostile_thread.id, Review("reject", HOSTILE), by=BOB)


class LabServed:
    """The real server over a lab on a free loopback port, in a thread, as a context that gives the address to open."""

    def __init__(self, lab: Lab, subjects: dict | None = None, operations: dict | None = None) -> None:
        self.lab, self.subjects, self.operations = lab, subjects or {}, operations

    def __enter__(self) -> str:
        self.bound = bind("127.0.0.1", 0)
        port = self.bound.getsockname()[1]
        settings = ServerSettings(TOKEN, port)
        app = make_app(self.subjects, settings, {}, lab=self.lab, operations=self.operations)
        self.server = make_server(app, settings)
        self.bound.listen(128)
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.bound]}, daemon=True)
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)
        return f"http://127.0.0.1:{port}"

    def __exit__(self, *_: object) -> None:
        self.server.should_exit = True
        self.thread.join(10)
        self.bound.close()


def account(lab: Lab, person: Person) -> str:
    """The token of a new account."""
    return lab.people.add(person.name, person.role)


__all__ = [
    "ANN",
    "BOB",
    "CARL",
    "EVE",
    "HOSTILE",
    "PLAN",
    "QUESTION",
    "TOKEN",
    "LabServed",
    "account",
    "at_work",
    "made_lab",
    "say",
]
