"""Who schedules a lab: one process at a time, by a lock that the system gives back when that process dies."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from unweave.base.errors import UnweaveError, oserror_line
from unweave.base.files import read_json, write_json
from unweave.lab.queue.rows import now
from unweave.record.environment import this_process

if TYPE_CHECKING:
    from unweave.lab.lab import Lab


class KeptAlready(UnweaveError):
    """Another process schedules this lab."""


class Keeper:
    """The right to schedule a lab. ``take`` gives it to this process, ``give_back`` and death end it."""

    def __init__(self, lab: Lab) -> None:
        self.home = lab.home
        # Taken in one thread and given back in another one, when a program ends.
        self._lock = FileLock(self.home / "scheduler.lock", mode=0o600, thread_local=False)

    def take(self) -> None:
        """Raises ``KeptAlready``, with who it is, where another one has it."""
        try:
            self._lock.acquire(timeout=0)
        except Timeout as error:
            other = keeper_of(self.home)
            who = f"process {other['pid']} on {other['host']} since {other['since'][:19]}" if other else "another one"
            raise KeptAlready(f"this lab's queue is kept by {who}: it runs what is submitted here too") from error
        except OSError as error:
            raise oserror_line(error, self.home / "scheduler.lock") from error
        # What workers said whose scheduler was killed: nobody will ask for it.
        for left in (self.home / "workers").glob("*.txt"):
            left.unlink(missing_ok=True)
        write_json(self.home / "keeper.json", {**this_process(), "since": now()}, private=True)

    @property
    def taken(self) -> bool:
        """Whether this object has it."""
        return self._lock.is_locked

    def give_back(self) -> None:
        """Lets another process take it."""
        if self._lock.is_locked:
            (self.home / "keeper.json").unlink(missing_ok=True)
            self._lock.release()


def keeper_of(home: os.PathLike[str]) -> Mapping[str, Any] | None:
    """Who last took the right: ``host``, ``pid``, ``started``, ``since``; None where nobody has it or says so."""
    path = os.path.join(home, "keeper.json")
    try:
        found = read_json(path)  # type: ignore[arg-type]
    except UnweaveError:
        return None
    return found if isinstance(found, dict) and {"pid", "host", "since"} <= set(found) else None
