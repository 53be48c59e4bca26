"""Warm workers on this machine."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Literal

from unweave.base.files import file_hash
from unweave.base.memory import may_have_gpu
from unweave.base.needs import Needs
from unweave.lab.queue.executor import Event, Node, Usage, Work
from unweave.lab.queue.processes import cpu_seconds, resident
from unweave.lab.queue.resources import GB, folder_bytes, machine, memory_left
from unweave.lab.queue.worker_process import WorkerProcess
from unweave.record.run import Run

IDLE_SECONDS = 600.0
"""A worker that has had nothing to do for so long is ended: it holds memory."""
STAMP_EVERY = 2.0
"""Seconds between two looks at whether this package's code has changed."""
LOOK_EVERY = 0.25
"""Seconds between two looks at whether the workers live; the end of a pipe says it at once, as a rule."""


class LocalPool:
    """Runs each job in a worker process that ran others before it, so that it need not wait for imports.

    A worker keeps its count of threads, and after the first job from a user's file it serves only that file. ``home``
    is a folder for what workers say outside of a job; ``capacity`` is reckoned from the machine unless given,
    with no more than ``threads``.
    """

    def __init__(
        self, home: Path, capacity: Needs | None = None, name: str = "here", threads: float | None = None
    ) -> None:
        self.home = Path(home)
        self.name = name
        self._threads = threads
        self.heard = threading.Event()
        """Set when there is something to ``poll``, for who waits without polling."""
        self._given = capacity
        self._workers: list[WorkerProcess] = []
        self._jobs: dict[str, WorkerProcess] = {}
        self._inbox: SimpleQueue[tuple[WorkerProcess, dict[str, Any] | None]] = SimpleQueue()
        self._looked = 0.0
        self._gpu_gb: float | None = None if may_have_gpu() else 0.0
        self._stamp: int | None = None
        self._stamped = -STAMP_EVERY

    def nodes(self) -> Sequence[Node]:
        if self._given is None and self._gpu_gb is None:
            self._gpu_gb = self._ask_for_gpu()
        total = self._given if self._given is not None else machine(self.home, self._gpu_gb or 0.0)
        if self._threads is not None:
            total = replace(total, threads=min(self._threads, total.threads))
        return (Node(self.name, total, memory_left() / GB),)

    def claim(self, work: Work, node: str) -> Mapping[str, Any]:
        del node
        # What runs in the sandbox is not loaded by the worker itself, which only watches it.
        source = file_hash(Path(work.source)) if work.source and not work.sandboxed else None
        worker = self._idle(work.threads, source) or self._hire(work.threads)
        worker.work, worker.began, worker.source = work, False, source or worker.source
        worker.cpu_before = cpu_seconds(worker.family()[:1])
        self._jobs[work.job] = worker
        return worker.identity

    def start(self, job: str) -> None:
        worker = self._jobs[job]
        if worker.work is not None:
            worker.begin(worker.work)

    def release(self, job: str) -> None:
        self._jobs.pop(job).work = None

    def jobs(self) -> list[str]:
        """The jobs that workers have been claimed for."""
        return list(self._jobs)

    def poll(self, seconds: float) -> list[Event]:
        self.heard.clear()
        events: list[Event] = []
        waits = seconds
        while True:
            try:
                worker, message = self._inbox.get(timeout=waits) if waits > 0 else self._inbox.get_nowait()
            except Empty:
                break
            waits = 0.0
            events += self._heard(worker, message)
        if time.monotonic() - self._looked > LOOK_EVERY:
            self._looked = time.monotonic()
            events += self._look()
        return events

    def usage(self, job: str) -> Usage | None:
        worker = self._jobs.get(job)
        if worker is None or worker.work is None:
            return None
        family = worker.family()
        disk = folder_bytes(worker.work.folder) / GB
        return Usage(resident(family) / GB, disk, cpu_seconds=max(0.0, cpu_seconds(family) - worker.cpu_before))

    def stop(self, job: str, how: Literal["ask", "interrupt", "terminate", "kill"]) -> None:
        worker = self._jobs.get(job)
        if worker is None or worker.work is None:
            return
        if how == "ask":
            Run(worker.work.folder).cancel()
        elif how == "interrupt":
            worker.order(do="interrupt")
        elif how == "terminate":
            worker.process.terminate()
        else:
            worker.kill()

    def suspend(self, job: str) -> None:
        self._jobs[job].suspend()

    def unsuspend(self, job: str) -> None:
        self._jobs[job].unsuspend()

    def close(self) -> None:
        for worker in self._workers:
            worker.dismiss()
        until = time.monotonic() + 1.0
        for worker in self._workers:
            while worker.alive() and worker.work is None and time.monotonic() < until:
                time.sleep(0.002)
            if worker.alive():
                worker.kill()
            worker.bury()
        self._workers.clear()
        self._jobs.clear()

    def _idle(self, threads: int, source: str | None) -> WorkerProcess | None:
        stamp = self._stamp
        if time.monotonic() - self._stamped > STAMP_EVERY:
            stamp, self._stamped = code_stamp(), time.monotonic()
        if self._stamp is None:
            self._stamp = stamp
        if stamp != self._stamp:
            # Half of a changed package in a process that has imported the other half is no version at all.
            self._stamp = stamp
            for worker in [each for each in self._workers if each.work is None]:
                worker.worn = True
                worker.dismiss()
        fitting = [
            worker
            for worker in self._workers
            if worker.work is None
            and not worker.worn
            and worker.threads == threads
            and worker.source in (None, source)
            and worker.alive()
        ]
        # One that has loaded the file already; else the one that worked last, whose memory is at hand.
        return max(fitting, key=lambda worker: (worker.source is not None, worker.idle_since), default=None)

    def _hire(self, threads: int) -> WorkerProcess:
        worker = WorkerProcess(threads, self._hear, self.home)
        self._workers.append(worker)
        return worker

    def _hear(self, worker: WorkerProcess, message: dict[str, Any] | None) -> None:
        self._inbox.put((worker, message))
        self.heard.set()

    def _heard(self, worker: WorkerProcess, message: dict[str, Any] | None) -> list[Event]:
        if message is None:
            return self._buried(worker)
        work = worker.work
        if message.get("is") == "gpu":
            self._gpu_gb = float(message["gb"])
        if work is None or message.get("job") != work.job:
            return []
        if message["is"] == "began":
            worker.began = True
            return [Event(work.job, "began")]
        if message["is"] != "ended":
            return []
        worker.work, worker.idle_since = None, time.monotonic()
        self._jobs.pop(work.job, None)
        if message["worn"]:
            worker.worn = True
            worker.dismiss()
        return [Event(work.job, "ended", message["status"], message["note"], message["usage"])]

    def _buried(self, worker: WorkerProcess) -> list[Event]:
        if worker not in self._workers:
            return []
        self._workers.remove(worker)
        if worker.alive():
            # Its pipe ended and it did not: nothing can be asked of it any more.
            worker.kill()
        how = worker.bury()
        if worker.work is None:
            return []
        self._jobs.pop(worker.work.job, None)
        return [Event(worker.work.job, "lost", note=how)]

    def _look(self) -> list[Event]:
        events: list[Event] = []
        for worker in list(self._workers):
            if not worker.alive():
                # A child that it forked may hold its end of the pipe open. What it said last is heard first.
                time.sleep(0.01)
                while True:
                    try:
                        events += self._heard(*self._inbox.get_nowait())
                    except Empty:
                        break
                events += self._buried(worker)
            elif worker.work is None and not worker.worn and time.monotonic() - worker.idle_since > IDLE_SECONDS:
                worker.worn = True
                worker.dismiss()
        return events

    def _ask_for_gpu(self) -> float:
        worker = self._hire(1)
        worker.order(do="gpu")
        until = time.monotonic() + 120
        while self._gpu_gb is None and worker.alive() and time.monotonic() < until:
            try:
                self._heard(*self._inbox.get(timeout=0.1))
            except Empty:
                continue
        worker.idle_since = time.monotonic()
        return self._gpu_gb or 0.0


def code_stamp() -> int:
    """What changes when a file of this package does: the newest time of a change."""
    package = Path(__file__).resolve().parents[2]
    return max(path.stat().st_mtime_ns for path in package.rglob("*.py"))
