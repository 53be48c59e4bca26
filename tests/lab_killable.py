"""Processes of a lab that are killed with SIGKILL in the middle of what they do: ``test_lab_store_faults.py`` runs it.

    python lab_killable.py STORY FOLDER ROUNDS

What is heavy is imported once, and each process is a fork of this one. A process says over a pipe what it was told is
written (a line each); then it is killed, and what is there is compared with what it said. Prints a JSON object a round.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
import traceback
from pathlib import Path

from unweave.base.errors import UnweaveError
from unweave.lab import Lab
from unweave.lab.people import Person
from unweave.lab.store import database as database_module
from unweave.lab.store.database import Database
from unweave.record import Run, Table, bars

ME = Person("me", "owner")
NEWER = 6


def killed(work, chance, acknowledged, torn=False):
    """Runs ``work(say)`` in a process that is killed some time after it has said so many lines; returns the lines.

    With ``torn`` it is killed by itself, with half of what it was writing at that moment in the file.
    """
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        code = 70
        try:
            os.close(reading)
            said = 0

            def say(line):
                nonlocal said
                said += 1
                if torn and said == acknowledged:
                    tear()
                honest_write(writing, f"{line}\n".encode())

            work(say)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(writing)
    content = b""
    while not torn and content.count(b"\n") < acknowledged:
        more = os.read(reading, 65536)
        if not more:
            break
        content += more
    if not torn:
        time.sleep(chance.uniform(0, 0.004))
        os.kill(process, signal.SIGKILL)
    while more := os.read(reading, 65536):
        content += more
    os.close(reading)
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    return code, content.decode().split("\n")[:-1]


honest_write = os.write


def tear():
    """The next write to a file is cut in half by the death of the process."""

    def half(descriptor, content):
        honest_write(descriptor, content[: len(content) // 2])
        os.kill(os.getpid(), signal.SIGKILL)

    os.write = half


def log(folder, chance, number):
    """Metrics."""

    def work(say):
        run = Run.create("s", {}, root=folder, name=f"run-{number}")
        for step in range(100_000):
            run.log(step=step, loss=0.5, text="x" * chance.randint(0, 200))
            say(step)

    code, said = killed(work, chance, chance.randint(1, 40), torn=number % 3 == 0)
    run = Run.open(folder / f"run-{number}")
    before, torn = run.status, (run.path / "metrics.jsonl").read_bytes()[-1:] != b"\n"
    steps = [row["step"] for row in run.metrics()]
    resumed = Run.resume(run.path)
    resumed.log(step=-1)
    return {
        "code": code,
        "said": len(said),
        "lost": len(said) - len(set(map(int, said)) & set(steps)),
        "in_order": steps == list(range(len(steps))),
        "extra": len(steps) - len(said),
        "status": before,
        "torn": torn,
        "after": [row["step"] for row in resumed.metrics()] == [*steps, -1],
    }


def artefact(folder, chance, number):
    """Cells, a table that is saved again and again, its figure, and claims."""

    def work(say):
        run = Run.create("s", {}, root=folder, name=f"run-{number}")
        for step in range(100_000):
            run.put_cell("cells", str(step), {"n": step})
            say(f"cell {step}")
            table = Table("t", ("n", "value"), tuple((n, n / 2) for n in range(step + 1)))
            run.save_table(table)
            say(f"table {step}")
            run.draw("f", bars(table, "n", "value"))
            run.claim(f"Number {step} is {{value}}.", "t", {"n": step}, "value")
            say(f"claim {step}")

    code, said = killed(work, chance, chance.randint(1, 12), torn=number % 3 == 0)
    run = Run.open(folder / f"run-{number}")
    before = run.status
    told = {
        kind: [int(line.split()[1]) for line in said if line.startswith(kind)] for kind in ("cell", "table", "claim")
    }
    cells = {int(key) for key in run.cells("cells")}
    rows = len(run.load_table("t").rows) if told["table"] else None
    claims = [claim.sentence for claim in run.claims()]
    lost = len(set(told["cell"]) - cells)
    lost += sum(f"Number {step} is {step / 2:.3f}." not in claims for step in told["claim"])
    lost += bool(told["table"]) and rows < told["table"][-1] + 1
    resumed = Run.resume(run.path)
    resumed.save_table(Table("t", ("n",), ((1,),)))
    resumed.finish()
    return {"code": code, "said": len(said), "lost": lost, "status": before, "after": resumed.status == "finished"}


def migration(folder, chance, number):
    """A file of an earlier schema that is brought up to date by several migrations."""
    path = folder / f"lab-{number}" / "lab.db"
    old = Database(path)
    with old.write() as connection:
        connection.executemany("INSERT INTO seals VALUES (?, 'd', 't')", [(f"r-{n}",) for n in range(200)])
    old.close()
    first = len(database_module.MIGRATIONS)

    def added(step):
        def migrate(connection):
            connection.execute(f"CREATE TABLE more_{step} (n INTEGER)")
            for n in range(100):
                connection.execute(f"INSERT INTO more_{step} VALUES (?)", (n,))  # noqa: S608
            time.sleep(0.001)

        return migrate

    kept = database_module.MIGRATIONS
    database_module.MIGRATIONS = (*kept, *(added(step) for step in range(NEWER)))
    try:

        def work(say):
            say("begun")
            time.sleep(chance.uniform(0, 0.02))
            Database(path)
            say("done")
            time.sleep(60)

        code, said = killed(work, chance, 1)
        time_taken = time.monotonic()
        found = Database(path)
        time_taken = time.monotonic() - time_taken
        rows = [found.read(f"SELECT count(*) FROM more_{step}")[0][0] for step in range(NEWER)]  # noqa: S608
        lost = 200 - found.read("SELECT count(*) FROM seals")[0][0] + sum(count != 100 for count in rows)
        copy = path.parent / "backups" / f"lab-{first}.db"
        after = found.version() == first + NEWER and found.problems() == [] and copy.exists()
        found.close()
    finally:
        database_module.MIGRATIONS = kept
    return {"code": code, "said": len(said), "lost": lost, "after": after, "waited": time_taken}


def index(folder, chance, number):
    """Rows of the database, deeds, and the index of runs beside folders that come and change."""
    root = folder / f"runs-{number}"
    Run.create("s", {}, root=root, name="first").finish()

    def work(say):
        lab = Lab(root)
        for step in range(100_000):
            with lab.database.write() as connection:
                connection.execute("INSERT INTO spending (account, resource) VALUES (?, 'runs')", (f"a-{step}",))
            say(f"row {step}")
            lab.people.record(ME, f"deed-{step}")
            say(f"deed {step}")
            Run.create("s", {}, root=root, name=f"run-{step}")
            lab.runs.sync()
            say(f"run {step}")

    code, said = killed(work, chance, chance.randint(1, 30))
    with Lab(root) as lab:
        started = time.monotonic()
        lab.runs.sync()
        waited = time.monotonic() - started
        there = {f"row {row[0][2:]}" for row in lab.database.read("SELECT account FROM spending")}
        there |= {deed.deed.replace("deed-", "deed ") for deed in lab.people.deeds(limit=1000)}
        there |= {row.id.replace("run-", "run ") for row in lab.runs.list(limit=1000).rows}
        statuses = {row.status for row in lab.runs.list(limit=1000).rows if row.id != "first"}
        sound = lab.database.problems() == [] and lab.runs.get("first").valid and statuses <= {"interrupted"}
        lab.people.record(ME, "after")
    return {"code": code, "said": len(said), "lost": len(set(said) - there), "after": sound, "waited": waited}


def together(folder, chance, number):
    """Sixteen processes that log ``number`` rows each, to runs of their own and to one that they all joined."""
    shared = Run.create("s", {}, root=folder, name="shared")

    def work(which):
        own = Run.create("s", {}, root=folder, name=f"own-{which}")
        joined = Run.join(shared.path)
        for step in range(number):
            own.log(which=which, step=step)
            joined.log(which=which, step=step)
        own.finish()

    processes = []
    for which in range(16):
        process = os.fork()
        if process == 0:
            code = 70
            try:
                work(which)
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        processes.append(process)
    codes = [os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process in processes]
    rows = shared.metrics()
    in_order = all([row["step"] for row in rows if row["which"] == which] == list(range(number)) for which in range(16))
    own = [len(Run.open(folder / f"own-{which}").metrics()) for which in range(16)]
    times = [row["time"] for row in rows]
    shared.finish()
    with Lab(folder) as lab:
        lab.runs.sync()
        counts = lab.runs.counts()
    return {
        "codes": codes,
        "rows": len(rows),
        "own": own,
        "in_order": in_order and times == sorted(times),
        "finished": counts.by_status,
        "invalid": counts.invalid,
    }


def main(story, folder, rounds):
    folder = Path(folder)
    stories = {"log": log, "artefact": artefact, "migration": migration, "index": index}
    if story == "together":
        print(json.dumps(together(folder, None, int(rounds))))
        return
    for number in range(int(rounds)):
        chance = random.Random(f"{story} {number}")
        try:
            print(json.dumps(stories[story](folder, chance, number)))
        except UnweaveError as error:
            print(json.dumps({"refused": str(error)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
