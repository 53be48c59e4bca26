"""Processes of one tracked run: how a rank finds the run of the first one, and how that one waits for the others."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import time
from contextlib import suppress
from pathlib import Path

from unweave.base.errors import UnweaveError, oserror_line
from unweave.base.files import read_json, write_json
from unweave.base.settings import launched_process
from unweave.record.environment import is_gone, this_process
from unweave.record.run import Run

RUN = "UNWEAVE_TRACKED_RUN"
"""Where a process finds the run of the one that started it."""
JOIN_SECONDS = 60.0
LEAVE_SECONDS = 10.0
_POLL = 0.05
_starts = 0


def parent_run() -> Run | None:
    """The run of the process that this one was started by, if that is still at work."""
    path = os.environ.get(RUN)
    if not path:
        return None
    with suppress(UnweaveError):
        return Run.join(Path(path))
    return None


def is_child() -> bool:
    """Whether ``multiprocessing`` started this process, so that it works for the one that did."""
    return multiprocessing.parent_process() is not None


def announce(run: Run) -> None:
    """Lets the processes that this one starts, and the other ranks of a torchrun launch, find ``run``."""
    os.environ[RUN] = str(run.path.resolve())
    meeting = _meeting(run.path.parent)
    if meeting is not None:
        _make(meeting.parent)
        write_json(meeting, {"run": run.id}, private=True)


def await_first_rank(root: Path, seconds: float | None = None) -> Run | None:
    """The run that rank 0 of this torchrun launch announces, or None where this is rank 0 or no rank at all.

    Raises ``UnweaveError`` when it announces none in time.
    """
    rank, _ = launched_process()
    meeting = _meeting(root)
    if rank == 0 or meeting is None:
        return None
    until = time.monotonic() + (JOIN_SECONDS if seconds is None else seconds)
    while True:
        # What an earlier launch left there names a run that is at work no more.
        with suppress(UnweaveError):
            return Run.join(root / read_json(meeting)["run"])
        if time.monotonic() > until:
            raise UnweaveError(f"rank {rank} found no run of rank 0 in {root}: call init in rank 0 too, and before")
        time.sleep(_POLL)


def count_start() -> None:
    """Counts the runs that this process begins or joins: every rank's n-th is the same one."""
    global _starts
    _starts += 1


class Presence:
    """A file that says that a process which joined a run may still log to it."""

    def __init__(self, run: Run) -> None:
        self.path = _presences(run.path) / f"{os.getpid()}-{time.monotonic_ns()}.json"
        _make(self.path.parent)
        write_json(self.path, this_process(), private=True)

    def end(self) -> None:
        """This process will log no more."""
        with suppress(OSError):
            self.path.unlink()


def await_others(run: Run, seconds: float | None = None) -> int:
    """Waits until every process that joined ``run`` has finished or is gone; how many had not in time."""
    folder = _presences(run.path)
    until = time.monotonic() + (LEAVE_SECONDS if seconds is None else seconds)
    while True:
        left = [path for path in folder.glob("*.json") if not _left(path)]
        if not left or time.monotonic() > until:
            break
        time.sleep(_POLL)
    with suppress(OSError):
        folder.rmdir()
    return len(left)


def retract(run: Run) -> None:
    """Undoes ``announce`` once the run has ended."""
    if os.environ.get(RUN) == str(run.path.resolve()):
        del os.environ[RUN]
    meeting = _meeting(run.path.parent)
    if meeting is not None:
        with suppress(OSError):
            meeting.unlink()


def _left(path: Path) -> bool:
    try:
        process = read_json(path)
    except UnweaveError:
        return not path.exists()
    if not is_gone(process):
        return False
    with suppress(OSError):
        path.unlink()
    return True


def _make(folder: Path) -> None:
    for each in reversed([folder, *folder.parents][:3]):
        try:
            each.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise oserror_line(error, each) from error


def _presences(run: Path) -> Path:
    return run.parent / ".lab" / "ranks" / run.name


def _meeting(root: Path) -> Path | None:
    _, count = launched_process()
    if count == 1:
        return None
    facts = [os.environ.get(name, "") for name in ("MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_RUN_ID")]
    facts += [os.environ.get("TORCHELASTIC_RESTART_COUNT", ""), str(_starts)]
    return Path(root) / ".lab" / "ranks" / f"{hashlib.sha256(repr(facts).encode()).hexdigest()[:16]}.json"
