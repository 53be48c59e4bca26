"""A process with all that it started: who they are, what they use, and how all of them are ended."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterable, Mapping
from typing import Any

import psutil

from unweave.record.environment import is_gone, this_process

MARK = "UNWEAVE_WORKER"
"""Environment variable that a worker's descendants inherit, those too that left its session and its tree."""
GONE = (psutil.NoSuchProcess, psutil.AccessDenied)


def family(pid: int) -> list[psutil.Process]:
    """The process and all its descendants that live."""
    found, pending = [], [pid]
    while pending:
        each = pending.pop()
        with contextlib.suppress(*GONE):
            found.append(psutil.Process(each))
            pending += children(each)
    return found


def children(pid: int) -> list[int]:
    """Process ids of the children, quickly where the system lists them (Linux)."""
    try:
        tasks = os.listdir(f"/proc/{pid}/task")
        found = []
        for task in tasks:
            with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as file:
                found += [int(each) for each in file.read().split()]
        return found
    except OSError:
        try:
            return [each.pid for each in psutil.Process(pid).children()]
        except GONE:
            return []


def marked(token: str) -> list[psutil.Process]:
    """Every process of this user that inherited ``token``."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(*GONE, OSError):
            if process.environ().get(MARK) == token:
                found.append(process)
    return found


def resident(processes: Iterable[psutil.Process]) -> int:
    """Bytes of memory that the processes hold together; pages that they share are counted for each."""
    total = 0
    for process in processes:
        with contextlib.suppress(*GONE):
            total += process.memory_info().rss
    return total


def cpu_seconds(processes: Iterable[psutil.Process]) -> float:
    """CPU seconds of the processes and of the children that they have waited for."""
    total = 0.0
    for process in processes:
        with contextlib.suppress(*GONE):
            spent = process.cpu_times()
            total += spent.user + spent.system
            total += getattr(spent, "children_user", 0.0) + getattr(spent, "children_system", 0.0)
    return total


def end_family(pid: int, token: str | None = None, seconds: float = 10.0) -> bool:
    """Kills a process, its descendants, its process group if it leads one, and whatever carries ``token``.

    Repeats until none is left, since what is being killed may be starting others. True once all are gone.
    """
    until = time.monotonic() + seconds
    leads = _leads_group(pid)
    while True:
        left = family(pid) + (marked(token) if token else [])
        left = [process for process in left if process.pid != os.getpid() and _runs(process)]
        if not left:
            return True
        for process in left:
            # Stopped first, so that it cannot start another while its children are being killed.
            with contextlib.suppress(*GONE, OSError):
                process.suspend()
        if leads:
            with contextlib.suppress(OSError):
                os.killpg(pid, signal.SIGKILL)
        for process in left:
            with contextlib.suppress(*GONE, OSError):
                process.kill()
        # Not psutil's wait, which would take the exit code from whoever started the process.
        patience = time.monotonic() + 0.5
        while any(map(_runs, left)) and time.monotonic() < patience:
            time.sleep(0.002)
        if time.monotonic() > until:
            return False


def end_stranger(process: Mapping[str, Any]) -> bool:
    """Ends the worker that another scheduler of this machine left behind; True once it is certainly gone."""
    pid = process.get("pid")
    if not isinstance(pid, int):
        return True
    gone = is_gone(dict(process))
    if gone or process.get("host") != this_process()["host"]:
        end_marked(process.get("token"))
        return gone
    return end_family(pid, process.get("token"))


def end_marked(token: str | None) -> None:
    """Kills whatever carries ``token``: what a dead worker had started."""
    if token:
        for process in marked(token):
            end_family(process.pid)


def how_it_ended(code: int | None) -> str:
    """An exit code in words."""
    if code is None:
        return "no exit code"
    if code < 0:
        try:
            return f"signal {-code} ({signal.Signals(-code).name})"
        except ValueError:
            return f"signal {-code}"
    return f"exit code {code}"


def _leads_group(pid: int) -> bool:
    if sys.platform == "win32":
        return False
    try:
        return os.getpgid(pid) == pid and pid != os.getpid()
    except OSError:
        return False


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except GONE:
        return False
