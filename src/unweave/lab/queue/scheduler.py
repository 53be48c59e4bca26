"""The scheduler: starts the jobs of one lab as the machine has room for them, and writes down how each ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from unweave.base.errors import UnweaveError
from unweave.base.needs import Needs
from unweave.lab.queue.admission import admit, lacks_disk, unfit
from unweave.lab.queue.agreement import end_job, end_run, finish_submissions, follow_run, reconcile, recover, scrub_log
from unweave.lab.queue.executor import Event, Executor, Node, Work
from unweave.lab.queue.job import ACTIVE, ENDED, Job
from unweave.lab.queue.keeper import Keeper
from unweave.lab.queue.limits import furthest_above
from unweave.lab.queue.live_job import LOOK_EVERY, LiveJob
from unweave.lab.queue.meter import together
from unweave.lab.queue.pool import LocalPool
from unweave.lab.queue.rows import change_job, job_rows, newest, now, row_job
from unweave.record.run import Run

if TYPE_CHECKING:
    from unweave.lab.lab import Lab

TURN = 0.02
"""Seconds between two looks at what others wrote into the queue; what workers say is heard at once."""
HEAL_EVERY = 1.0
JOINING_SECONDS = 10.0
"""For how long a job that no machine is large enough for waits for another machine to join."""
CLOSING_SECONDS = 5.0


class Scheduler:
    """Runs what is submitted to a lab; one process at a time may (``KeptAlready`` says who does).

    When it ends, its workers end with it, and their jobs are interrupted: the next scheduler goes on with them.
    """

    def __init__(
        self,
        lab: Lab,
        executor: Executor | None = None,
        capacity: Needs | None = None,
        keeper: Keeper | None = None,
    ) -> None:
        self.lab = lab
        self.executor: Executor = executor or LocalPool(lab.home, capacity)
        self.keeper = keeper or Keeper(lab)
        self.jobs: dict[str, Job] = {}
        self.live: dict[str, LiveJob] = {}
        self.closing = False
        self._seen = -1
        self._revision = -1
        self._blocked: dict[str, float] = {}
        self._unfit: dict[str, float] = {}
        self._healed = self._looked = 0.0
        self._finished: set[str] = set()
        self._changed = True

    def run(self, until: Callable[[], bool] | None = None) -> None:
        """Works until ``until`` is true, for ever without one."""
        if not self.keeper.taken:
            self.keeper.take()
        try:
            reconcile(self.lab)
            while until is None or not until():
                self.turn()
        finally:
            try:
                self._close()
            finally:
                self.keeper.give_back()

    def turn(self) -> None:
        """One round: hear what was asked, start what fits, wait a moment for what workers say, hold jobs to limits."""
        self._read()
        self._heed_wishes()
        self._admit()
        events = self.executor.poll(TURN)
        self._hear(events)
        self._watch()
        self._heal()

    def _read(self) -> None:
        database = self.lab.database
        seen = newest(database)
        if seen == self._seen:
            return
        self._seen, self._changed = seen, True
        for row in database.read("SELECT * FROM jobs WHERE revision > ?", (self._revision,)):
            self._revision = max(self._revision, row["revision"])
            if row["state"] in ACTIVE and row["ready"]:
                self.jobs[row["id"]] = row_job(row)
            elif row["ready"]:
                self.jobs.pop(row["id"], None)

    def _change(self, changes: Mapping[str, Mapping[str, Any]]) -> None:
        if not changes:
            return
        with self.lab.database.write(derived=True) as connection:
            for job, columns in changes.items():
                change_job(connection, job, **columns)
        for job, columns in changes.items():
            self.jobs[job] = replace(self.jobs[job], **columns)
        self._changed = True

    def _heed_wishes(self) -> None:
        for job in [job for job in self.jobs.values() if job.wish is not None]:
            live = self.live.get(job.id)
            if live is None:
                # It has not been started here, or its worker was just lost.
                if job.state != "running":
                    follow_run(self.lab, job)
                    self._seen = -1
                continue
            if job.wish == "cancel":
                live.cancel(self.executor)
            elif job.wish == "pause" and not live.suspended:
                live.suspend(self.executor)
                self._change({job.id: {"state": "paused", "wish": None}})

    def _admit(self) -> None:
        if not self._changed and not self._blocked and not self._unfit:
            return
        self._changed = False
        waiting = [job for job in list(self.jobs.values()) if self._may_start(job)]
        waiting.sort(key=lambda job: (-job.priority, job.number))
        if not waiting:
            self._blocked.clear()
            self._unfit.clear()
            return
        clock, nodes = time.monotonic(), self.executor.nodes()
        held = [live.running(self.jobs[job]) for job, live in self.live.items()]
        decision = admit(self._fitting(waiting, nodes, clock), held, nodes, clock, self._blocked)
        self._blocked = {decision.blocked: self._blocked.get(decision.blocked, clock)} if decision.blocked else {}
        self._start([(job, node) for job, node in decision.starts if job.id not in self.live])
        for job, _ in decision.starts:
            if (live := self.live.get(job.id)) is not None and live.suspended:
                live.unsuspend(self.executor)
                self._change({job.id: {"state": "running", "wish": None}})

    def _fitting(self, waiting: list[Job], nodes: Sequence[Node], clock: float) -> list[Job]:
        """Those that a machine is large enough for. The others fail, once none has joined that is.

        One that lacks nothing but disk waits, and holds up nobody: space may be freed at any time.
        """
        reasons = {job.id: reason for job in waiting if (reason := unfit(job, nodes)) is not None}
        short = {job.id for job in waiting if job.id not in reasons and lacks_disk(job, nodes)}
        self._unfit = {job: self._unfit.get(job, clock) for job in (*reasons, *short)}
        for job in waiting:
            if job.id in reasons and clock - self._unfit[job.id] >= JOINING_SECONDS:
                self._ended(job, *end_run(self.lab, job, "failed", reasons[job.id], job.usage), job.usage)
            note = f"waits for {job.needs.disk_gb:.3g} GB of free disk"
            if job.id in short and job.note != note:
                self._change({job.id: {"note": note}})
        return [job for job in waiting if job.id not in self._unfit]

    def _may_start(self, job: Job) -> bool:
        if job.state == "paused":
            return job.wish == "resume" and job.id in self.live
        if job.state != "waiting" or job.wish is not None:
            return False
        left = [other for other in job.after if other not in self._finished]
        if any(other in self.jobs for other in left):
            return False
        for other in job_rows(self.lab.database, f"id IN ({', '.join('?' * len(left))})", left) if left else ():
            if other.state == "finished":
                self._finished.add(other.id)
            else:
                if other.has_ended:
                    self._cancel_waiting(job, f"{other.id!r}, which it waits for, was not finished but {other.state}")
                return False
        return True

    def _cancel_waiting(self, job: Job, note: str) -> None:
        said, note_said = end_run(self.lab, job, "cancelled", note, job.usage)
        self._ended(job, said, note_said, job.usage)

    def _start(self, starts: list[tuple[Job, str]]) -> None:
        if not starts:
            return
        claimed: dict[str, Mapping[str, Any]] = {}
        for job, node in starts:
            try:
                claimed[job.id] = self.executor.claim(Work.of(job, self.lab.root), node)
            except (UnweaveError, OSError) as error:
                said, note = end_run(self.lab, job, "failed", f"no worker could be started: {error}", job.usage)
                self._ended(job, said, note, job.usage)
        going: list[str] = []
        with self.lab.database.write(derived=True) as connection:
            for job, node in starts:
                if job.id not in claimed:
                    continue
                columns = {
                    "state": "running",
                    "attempt": job.attempt + 1,
                    "worker": claimed[job.id],
                    "started": job.started or now(),
                    "note": None,
                }
                # Somebody may have cancelled or paused it since it was read.
                if change_job(connection, job.id, ("waiting",), only_ready=True, **columns):
                    self.jobs[job.id] = replace(job, **columns)
                    self.live[job.id] = LiveJob(job.id, node, time.monotonic(), job.usage.get("seconds", 0.0))
                    going.append(job.id)
        for job in claimed:
            if job in going:
                self.executor.start(job)
            else:
                self.executor.release(job)
                self._seen = -1

    def _hear(self, events: list[Event]) -> None:
        for event in events:
            job, live = self.jobs.get(event.job), self.live.get(event.job)
            if job is None or live is None:
                continue
            if event.kind == "began":
                live.begin()
                continue
            del self.live[event.job]
            self._changed = True
            usage = event.usage or together(job.usage, live.used())
            if event.kind == "ended" and event.status in ENDED:
                said, note = event.status, event.note
                if not self._folder_says(job, said):
                    said, note = end_run(self.lab, job, said, note, usage)
                self._ended(job, said, note, usage)
            elif live.verdict is not None:
                self._ended(job, *end_run(self.lab, job, "failed", live.verdict, usage), usage)
            elif live.cancelled_at is not None:
                how = "cancelled" if event.kind == "ended" else "cancelled, and ended when it did not stop by itself"
                self._ended(job, *end_run(self.lab, job, "cancelled", how, usage), usage)
            else:
                self._lost(job, event.note or event.status, usage)

    def _lost(self, job: Job, how: str, usage: Mapping[str, float]) -> None:
        run = Run(self.lab.root / job.run)
        scrub_log(self.lab, job)
        try:
            said = run.status
        except UnweaveError:
            said = "failed"
        if said in ENDED:
            self._ended(job, *end_run(self.lab, job, said, None, usage), usage)
        elif self.closing:
            _, note = end_run(
                self.lab, job, "interrupted", "the queue was stopped: it goes on with the next one", usage
            )
            self._change({job.id: {"state": "interrupted", "note": note, "worker": None, "usage": usage}})
        elif job.losses < job.retries:
            note = f"its worker was lost ({how}): started again, {job.losses + 1} of {job.retries}"
            if said != "waiting":
                run.wait(note, lost=True)
            self._change(
                {job.id: {"state": "waiting", "losses": job.losses + 1, "note": note, "worker": None, "usage": usage}}
            )
        else:
            times = f" {job.losses + 1} times" if job.losses else ""
            note = f"its worker was lost{times}: {how}"
            self._ended(job, *end_run(self.lab, job, "failed", note, usage), usage)

    def _folder_says(self, job: Job, status: str) -> bool:
        try:
            return Run(self.lab.root / job.run).status == status
        except UnweaveError:
            return False

    def _ended(self, job: Job, status: str, note: str | None, usage: Mapping[str, float]) -> None:
        with self.lab.database.write(derived=True) as connection:
            end_job(connection, job, status, note, usage)
        self.jobs.pop(job.id, None)
        self._changed = True

    def _watch(self) -> None:
        for job, live in list(self.live.items()):
            live.watch(self.jobs[job], self.executor)
        if not self.live or time.monotonic() - self._looked < LOOK_EVERY:
            return
        self._looked = time.monotonic()
        for node in self.executor.nodes():
            here = [live.spent(self.jobs[job]) for job, live in self.live.items() if live.node == node.name]
            stopped = furthest_above([one for one in here if self.live[one.job.id].verdict is None], node)
            if stopped is not None:
                self.live[stopped[0]].condemn(stopped[1], self.executor)

    def _heal(self) -> None:
        if time.monotonic() - self._healed < HEAL_EVERY:
            return
        self._healed = time.monotonic()
        if self.lab.database.read("SELECT 1 FROM jobs WHERE ready = 0 LIMIT 1"):
            finish_submissions(self.lab)
            self._seen = -1
        # Interrupted ones, and those of a worker that could not be ended when this scheduler began.
        for job in [job for job in self.jobs.values() if job.state != "waiting" and job.id not in self.live]:
            if job.state == "interrupted" or job.worker:
                recover(self.lab, job)
                self._seen = -1

    def _close(self) -> None:
        self.closing = True
        for live in self.live.values():
            live.interrupt(self.executor)
        until = time.monotonic() + CLOSING_SECONDS
        while self.live and time.monotonic() < until:
            self._hear(self.executor.poll(TURN))
        for job in list(self.live):
            self.executor.stop(job, "kill")
        until = time.monotonic() + CLOSING_SECONDS
        while self.live and time.monotonic() < until:
            self._hear(self.executor.poll(TURN))
        self.executor.close()
