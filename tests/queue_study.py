"""A study of its user's own, for tests of the queue: it does what its config says."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from unweave.base.errors import NothingFound, UnweaveError
from unweave.record import Table
from unweave.studies.registry import study


@dataclass(frozen=True)
class Act:
    """What to do."""

    do: str = "nothing"
    """One of the functions below."""
    seconds: float = 0.0
    """How long to take."""
    seed: int = 0
    """Goes into the table."""
    amount: float = 0.0
    """Gigabytes to fill, or lines to print."""
    mark: str = ""
    """A file to which each execution adds a line."""


@study("act", "Does the queue do what it should?", Act)
def act(config, run=None):
    if config.mark:
        # A second process in the same run would find the first one alive.
        holder = run.path / "holder"
        twice = holder.exists() and lives(int(holder.read_text() or 0))
        holder.write_text(str(os.getpid()))
        with open(config.mark, "a", encoding="utf-8") as file:
            file.write(f"{run.id} {os.getpid()}{' twice' * twice}\n")
    print("doing", config.do)
    ACTS[config.do](config, run)
    run.save_table(Table("result", ("seed", "pid"), ((config.seed, os.getpid()),)))
    if config.mark:
        holder.unlink()


def lives(pid):
    try:
        return pid != os.getpid() and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def nothing(config, run):
    del run
    time.sleep(config.seconds)


def look_around(config, run):
    """Steps of a hundredth of a second, between which it asks whether it was cancelled."""
    steps = int(config.seconds * 100)
    done = run.cells("steps")
    for step in range(steps):
        if str(step) in done:
            continue
        run.stop_if_cancelled()
        time.sleep(0.01)
        run.log(step=step, value=step)
        run.put_cell("steps", str(step), {"pid": os.getpid()})
        run.progress.update(step + 1, steps, "steps")


def deaf(config, run):
    """Ignores SIGTERM and SIGINT, and every request to stop."""
    del run
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, signal.SIG_IGN)
    time.sleep(config.seconds)


def fail(config, run):
    raise UnweaveError("no window has 64 tokens: use longer text")


def find_nothing(config, run):
    raise NothingFound("nothing beats the null")


def die(config, run):
    os._exit(7)


def die_once(config, run):
    if not run.cells("steps"):
        run.put_cell("steps", "0", {"pid": os.getpid()})
        os.kill(os.getpid(), signal.SIGKILL)


def fill_memory(config, run):
    held = []
    for _ in range(int(config.amount * 100)):
        held.append(b"x" * 10_000_000)
        time.sleep(0.005)
    time.sleep(config.seconds)


KEPT = []


def keep(config, run):
    """Holds memory after its end."""
    KEPT.append(b"x" * int(config.amount * 1e9))


def fill_disk(config, run):
    with open(run.path / "filler", "wb") as file:
        for _ in range(int(config.amount * 100)):
            file.write(b"x" * 10_000_000)
            file.flush()
            time.sleep(0.02)
    time.sleep(config.seconds)


def flood(config, run):
    """Lines on standard error, and the same from a child."""
    subprocess.run([sys.executable, "-c", f"print('child\\n' * {int(config.amount)})"], check=True)
    for _ in range(int(config.amount)):
        os.write(2, b"a line of the study\n" * 100)
    time.sleep(config.seconds)


def have_children(config, run):
    """A child, one in a session of its own, and one whose parent has ended; then it takes its time."""
    sleeper = [sys.executable, "-c", "import time; time.sleep(600)"]
    plain = subprocess.Popen(sleeper)
    apart = subprocess.Popen(sleeper, start_new_session=True)
    code = f"import subprocess; print(subprocess.Popen({sleeper!r}, start_new_session=True, stdout=-3, stderr=-3).pid)"
    orphan = int(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
    (run.path / "children.txt").write_text(f"{plain.pid} {apart.pid} {orphan}")
    for process in (plain, apart):
        process.returncode = 0  # so that Python does not warn of them
    time.sleep(config.seconds)


def surroundings(config, run):
    """Changes what a job must not find changed, and saves what it found."""
    import random
    import warnings

    found = (os.getcwd(), os.environ.get("CHANGED", ""), random.random(), len(warnings.filters))
    run.save_table(Table("found", ("folder", "variable", "draw", "filters"), (found,)))
    os.chdir("/")
    os.environ["CHANGED"] = "yes"
    random.seed(config.seed)
    warnings.simplefilter("ignore")


def threads(config, run):
    import torch

    asked = os.environ["OMP_NUM_THREADS"]
    run.save_table(Table("threads", ("omp", "torch"), ((int(asked), torch.get_num_threads()),)))


def read_input(config, run):
    run.save_table(Table("input", ("read",), ((sys.stdin.read() if sys.stdin else "",),)))


ACTS = {
    each.__name__: each
    for each in (
        nothing, look_around, deaf, fail, find_nothing, die, die_once, fill_memory, keep, fill_disk, flood,
        have_children, surroundings, threads, read_input,
    )
}  # fmt: skip
SOURCE = Path(__file__)
