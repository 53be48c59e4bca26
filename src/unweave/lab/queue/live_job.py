"""A job while a worker has it: its clock, what it used, and how it is brought to an end."""

from __future__ import annotations

import time
from dataclasses import replace

from unweave.lab.queue.admission import Running
from unweave.lab.queue.executor import Executor, Usage
from unweave.lab.queue.job import Job
from unweave.lab.queue.limits import Spent, broken_limit

LOOK_EVERY = 0.25
START_SECONDS = 300.0
"""A worker that has not begun its job after so long is ended."""
CANCEL_SECONDS = 10.0
"""A cancelled job has so long to stop by itself, then as long as ``TERMINATE_SECONDS`` after SIGTERM."""
TERMINATE_SECONDS = 3.0


class LiveJob:
    """``earlier`` are the seconds of its earlier attempts, which count against its limit too."""

    def __init__(self, job: str, node: str, started: float, earlier: float = 0.0) -> None:
        self.job = job
        self.node = node
        self.claimed = self.started = started
        self.began = False
        self.earlier = earlier
        self.suspended = False
        self.verdict: str | None = None
        self.cancelled_at: float | None = None
        self._suspended_at = 0.0
        self._idle = 0.0
        self._stage = 0
        self._looked = started
        self._usage = Usage()
        self._peak = Usage()

    def begin(self) -> None:
        """Its study starts now: what the worker needed to come up is not its time."""
        self.began, self.started, self._idle = True, time.monotonic(), 0.0

    def seconds(self) -> float:
        """How long it has run in this attempt, without the time in which it was suspended."""
        if not self.began:
            return 0.0
        idle = self._idle + (time.monotonic() - self._suspended_at if self.suspended else 0.0)
        return time.monotonic() - self.started - idle

    def used(self) -> dict[str, float]:
        """What it has used in this attempt, as seen from outside."""
        peak = self._peak
        found = {
            "seconds": self.seconds(),
            "cpu_seconds": peak.cpu_seconds,
            "memory_gb": peak.memory_gb,
            "disk_gb": peak.disk_gb,
        }
        return {name: round(value, 4) for name, value in found.items()}

    def spent(self, job: Job) -> Spent:
        """What its limits are compared with."""
        return Spent(job, self._usage, self.earlier + self.seconds())

    def running(self, job: Job) -> Running:
        """What it holds: a suspended job gives back its threads."""
        if self.suspended:
            return Running(self.job, self.node, replace(job.needs, threads=0.0))
        return Running(self.job, self.node, job.needs, self.started + self._idle + job.needs.seconds)

    def suspend(self, executor: Executor) -> None:
        executor.suspend(self.job)
        self.suspended, self._suspended_at = True, time.monotonic()

    def unsuspend(self, executor: Executor) -> None:
        executor.unsuspend(self.job)
        self._idle += time.monotonic() - self._suspended_at
        self.suspended = False

    def cancel(self, executor: Executor) -> None:
        """Asks it to stop; ``watch`` insists."""
        if self.cancelled_at is None:
            self.cancelled_at = time.monotonic()
            executor.stop(self.job, "ask")
            if self.suspended:
                self.unsuspend(executor)

    def interrupt(self, executor: Executor) -> None:
        """Stops it as Ctrl-C does, because the scheduler ends."""
        if self.suspended:
            # Where it is, so that the time until it hears is no time in which it works.
            executor.stop(self.job, "interrupt")
            self.unsuspend(executor)
        else:
            executor.stop(self.job, "interrupt")

    def watch(self, job: Job, executor: Executor) -> None:
        """Looks at what it uses now and then, stops it at a limit, and insists on a cancellation."""
        now = time.monotonic()
        if now - self._looked < LOOK_EVERY or self.suspended:
            return
        self._looked = now
        if self.cancelled_at is not None:
            self._insist(now - self.cancelled_at, executor)
        if self.verdict is not None:
            return
        if not self.began and now - self.claimed > START_SECONDS:
            # Lost, as if it had died: it is tried again.
            executor.stop(self.job, "kill")
            return
        usage = executor.usage(self.job)
        if usage is None:
            return
        self._usage = usage
        self._peak = Usage(
            max(usage.memory_gb, self._peak.memory_gb),
            usage.disk_gb,
            max(usage.gpu_gb, self._peak.gpu_gb),
            max(usage.cpu_seconds, self._peak.cpu_seconds),
        )
        note = broken_limit(self.spent(job))
        if note is not None:
            self.condemn(note, executor)

    def condemn(self, note: str, executor: Executor) -> None:
        """Ends it for passing a limit."""
        self.verdict = note
        executor.stop(self.job, "kill")

    def _insist(self, since: float, executor: Executor) -> None:
        if self._stage == 0 and since > CANCEL_SECONDS:
            self._stage = 1
            executor.stop(self.job, "terminate")
        elif self._stage == 1 and since > CANCEL_SECONDS + TERMINATE_SECONDS:
            self._stage = 2
            executor.stop(self.job, "kill")
