"""A lab's scheduler in a thread of this process, while somebody here waits for jobs and no other process has it."""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from unweave.lab.queue.executor import Executor, Node
from unweave.lab.queue.keeper import Keeper, KeptAlready

if TYPE_CHECKING:
    from unweave.lab.lab import Lab
    from unweave.lab.queue.scheduler import Scheduler

TRY_EVERY = 0.5
"""Seconds between two attempts to take over from another process."""
LINGER = 30.0
"""Seconds without a job, and without anybody who waits for one, after which another process may take the queue."""


class Background:
    """Starts a scheduler when it is asked to ``keep`` the queue, and lets it go on while there is something to do."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.executor: Callable[[], Executor] | None = None
        """Makes what the jobs run on; warm workers of this machine where it is None."""
        self._thread: threading.Thread | None = None
        self._scheduler: Scheduler | None = None
        self._error: BaseException | None = None
        self._end = threading.Event()
        self._tried = 0.0
        self._asked = 0.0

    def keep(self) -> None:
        """Makes sure that some process runs the jobs. Raises what ended this one's scheduler, if something did."""
        self._asked = time.monotonic()
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        if self._thread is not None and self._thread.is_alive():
            return
        if time.monotonic() - self._tried < TRY_EVERY:
            return
        self._tried = time.monotonic()
        from unweave.lab.queue.scheduler import Scheduler

        keeper = Keeper(self.lab)
        try:
            keeper.take()
        except KeptAlready:
            return
        try:
            scheduler = Scheduler(self.lab, self.executor() if self.executor is not None else None, keeper=keeper)
        except BaseException:
            keeper.give_back()
            raise
        self._end.clear()
        self._scheduler = scheduler
        self._thread = threading.Thread(target=self._run, args=(scheduler,), name="scheduler", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def nodes(self) -> Sequence[Node]:
        """The machines of the scheduler that runs here; none where another process has it, or nobody."""
        scheduler = self._scheduler
        return scheduler.executor.nodes() if scheduler is not None and not scheduler.closing else ()

    def close(self) -> None:
        """Ends the scheduler; its jobs are interrupted."""
        atexit.unregister(self.close)
        self._end.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = self._scheduler = None

    def _run(self, scheduler: Scheduler) -> None:
        try:
            scheduler.run(lambda: self._end.is_set() or self._idle(scheduler))
        except BaseException as error:
            self._error = error
        finally:
            self.lab.close()

    def _idle(self, scheduler: Scheduler) -> bool:
        if scheduler.jobs:
            self._asked = max(self._asked, time.monotonic())
        return time.monotonic() - self._asked > LINGER
