"""The queue of a lab: submitting runs, looking at them, and changing one's mind about them, from any process."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unweave.base.errors import UnweaveError, nearest
from unweave.base.needs import Needs
from unweave.base.progress import Progress, Silent
from unweave.lab.queue.agreement import end_folder_too, end_job, end_run, make_folder
from unweave.lab.queue.background import Background
from unweave.lab.queue.budget import set_aside
from unweave.lab.queue.estimate import estimate
from unweave.lab.queue.job import ENDED, Job, Kind, State
from unweave.lab.queue.rows import add_job, change_job, change_spec, job_rows, now, row_job
from unweave.lab.queue.submission import MOST_SECONDS, check_fits, check_limits, checked_config, plain, terms
from unweave.lab.queue.waiting import Watch
from unweave.record.environment import this_process
from unweave.record.life import check_new
from unweave.record.table import check_name

if TYPE_CHECKING:
    from unweave.lab.lab import Lab


class Queue:
    """Jobs of one lab. Several processes may use it at once; one of them runs the jobs, see ``wait``."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.background = Background(lab)

    def submit(
        self,
        study: str,
        config: Mapping[str, Any],
        *,
        kind: Kind = "study",
        needs: Needs | Mapping[str, float] | None = None,
        priority: int = 0,
        after: Sequence[str] = (),
        retries: int = 1,
        thread: str | None = None,
        person: str | None = None,
        account: str | None = None,
        name: str | None = None,
        plan: Mapping[str, Any] | None = None,
        seeds: Sequence[int] | None = None,
        parents: Sequence[str] = (),
        tags: Sequence[str] = (),
        source: str | os.PathLike[str] | None = None,
        sandboxed: bool = False,
    ) -> Job:
        """Puts a run into the queue and makes its folder. Nothing is written when anything is refused.

        ``needs`` are limits where they are given; what they leave out is estimated. ``account`` (by default that of
        ``thread``) pays. ``source`` is a Python file that registers ``study``; a ``sandboxed`` one is not read here.
        A job that is larger than the machine is refused; where nobody knows yet how large that is, it fails later.
        """
        registered, settings = checked_config(study, config, kind, source, sandboxed)
        account = account or (f"thread:{thread}" if thread else None)
        agreed = terms(self.lab, study, registered, settings, kind, needs, account)
        check_fits(self.lab, study, agreed.needs, self.background.nodes())
        made = datetime.now(UTC)
        check_name(study, "study")
        run = name or f"{study}-{made:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
        check_new(self.lab.root, run)
        job = Job(
            id=run,
            kind=kind,
            run=run,
            study=study,
            config=plain(settings),
            needs=agreed.needs,
            given=agreed.given,
            priority=int(priority),
            after=tuple(after),
            retries=int(retries),
            thread=thread,
            person=person,
            account=account,
            reserved=agreed.reserved,
            source=str(Path(source).resolve()) if source is not None else None,
            sandboxed=sandboxed,
            folder=os.getcwd(),
            submitted=now(),
        )
        facts = {"job": run, "thread": thread, "person": person, "plan": plan, "source": job.source}
        facts |= {"seeds": list(seeds) if seeds is not None else None, "parents": list(parents), "tags": list(tags)}
        about = {key: value for key, value in facts.items() if value not in (None, [])}
        with self.lab.database.write() as connection:
            self._check_after(job)
            if connection.execute("SELECT 1 FROM jobs WHERE id = ?", (run,)).fetchone():
                raise UnweaveError(f"run {run!r} is in the queue already: choose another name")
            if account is not None:
                set_aside(connection, account, agreed.reserved)
            number = add_job(connection, job, about, this_process())
        job = replace(job, number=number)
        try:
            make_folder(self.lab, job)
        except BaseException as error:
            with self.lab.database.write() as connection:
                end_job(connection, job, "failed", f"its run's folder could not be made: {error}", {})
            raise
        with self.lab.database.write(derived=True) as connection:
            change_job(connection, job.id, ready=1)
        end_folder_too(self.lab, job.id)
        return job

    def estimate(self, study: str, config: Mapping[str, Any]) -> tuple[Needs, str]:
        """What a run would need, and where that comes from."""
        registered, settings = checked_config(study, config, "study", None, False)
        return estimate(self.lab.database, study, registered, settings)

    def get(self, job: str) -> Job:
        """A job by its id, which is its run's. Raises ``UnweaveError`` with the nearest."""
        found = job_rows(self.lab.database, "id = ?", (job,))
        if not found:
            known = [row["id"] for row in self.lab.database.read("SELECT id FROM jobs ORDER BY number DESC LIMIT 1000")]
            raise UnweaveError(f"there is no job {job!r} in the queue of {self.lab.root}; {nearest(job, known)}")
        return found[0]

    def list(self, states: Collection[State] = (), thread: str | None = None, limit: int | None = None) -> list[Job]:
        """Jobs in the order of submission, the last ``limit`` of them; in ``states`` and of ``thread`` where given."""
        clauses, values = ["1"], list(states)
        if states:
            clauses.append(f"state IN ({', '.join('?' * len(values))})")
        if thread is not None:
            clauses.append("thread = ?")
            values.append(thread)  # type: ignore[arg-type]
        order = f"number DESC LIMIT {-1 if limit is None else int(limit)}"
        return job_rows(self.lab.database, " AND ".join(clauses), values, order)[::-1]

    def cancel(self, job: str) -> Job:
        """Ends a job: at once where it waits, politely and then less so where it runs. An ended one stays as it is."""
        return self._wish(job, "cancel")

    def pause(self, job: str) -> Job:
        """Keeps a waiting job from starting, and stops the processes of a running one where they are."""
        return self._wish(job, "pause")

    def resume(self, job: str, needs: Mapping[str, float] | None = None) -> Job:
        """Lets a paused job go on; one that failed or was cancelled waits again, with what it had done.

        ``needs`` replace those of a job that was stopped at a limit. What it used before is not counted again.
        """
        found = self.get(job)
        if needs and not found.has_ended:
            raise UnweaveError(f"job {job!r} is {found.state}: only one that has ended can be given other needs")
        if found.state == "finished":
            raise UnweaveError(f"job {job!r} is finished: there is nothing to resume")
        if not found.has_ended:
            return self._wish(job, "resume")
        with self.lab.database.write() as connection:
            columns = {"state": "waiting", "ready": 0, "maker": this_process(), "losses": 0, "note": None, "usage": {}}
            if not change_job(connection, job, ENDED, ended=None, wish=None, **columns):
                # Somebody else was faster, and has paid for it.
                return self.get(job)
            found = row_job(connection.execute("SELECT * FROM jobs WHERE id = ?", (job,)).fetchone())
            if needs:
                found = replace(found, needs=Needs.from_json({**found.needs.to_json(), **needs}))
                found = replace(found, given=tuple({**dict.fromkeys(found.given), **needs}))
                limit = min(found.needs.seconds, MOST_SECONDS)
                found = replace(found, reserved={name: limit if name == "seconds" else 1.0 for name in found.reserved})
                check_limits(found.needs, found.given)
                check_fits(self.lab, found.study, found.needs, self.background.nodes())
                change_spec(connection, found)
            if found.account is not None:
                set_aside(connection, found.account, found.reserved)
        make_folder(self.lab, found)
        with self.lab.database.write(derived=True) as connection:
            change_job(connection, job, ready=1)
        end_folder_too(self.lab, job)
        return self.get(job)

    def prioritise(self, job: str, priority: int) -> Job:
        """Sets how early a waiting job goes: higher first."""
        self.get(job)
        with self.lab.database.write() as connection:
            change_job(connection, job, priority=int(priority))
        return self.get(job)

    def wait(
        self,
        jobs: Collection[str] | None = None,
        seconds: float | None = None,
        progress: Progress | None = None,
        any_of: bool = False,
    ) -> list[Job]:
        """Waits until all of ``jobs`` (every one that has not ended, if None) have ended, or one of them (``any_of``).

        The jobs are run by this process, in the background, unless another one keeps the lab's queue; if that one
        ends, this one takes over. What still runs when this returns goes on as long as this process lives. Ctrl-C stops
        the background too: its jobs are interrupted, and go on when the queue is next waited for. After ``seconds`` the
        jobs are returned as they are.
        """
        names = [job.id for job in self.list() if not job.has_ended] if jobs is None else list(jobs)
        until = None if seconds is None else time.monotonic() + seconds
        watch = Watch(self.lab, names, progress or Silent())
        try:
            while not watch.over(any_of) and (until is None or time.monotonic() < until):
                self.background.keep()
                watch.pause(0.01 if until is None else min(0.01, max(0.0, until - time.monotonic())))
        except KeyboardInterrupt:
            self.background.close()
            raise
        return [self.get(name) for name in names]

    def use_ray(self, address: str | None = None) -> None:
        """Runs jobs, where this process keeps the queue, on a Ray cluster too; see ``RayPool``."""
        from unweave.lab.queue.ray_pool import RayPool

        self.background.executor = lambda: RayPool(self.lab.home, address)

    def close(self) -> None:
        """Ends the background's scheduler, if this process has it; what runs is interrupted."""
        self.background.close()

    def _wish(self, job: str, wish: str) -> Job:
        found = self.get(job)
        if found.has_ended:
            return found
        if found.state in ("waiting", "interrupted") or (found.state == "paused" and not found.worker):
            self._change_waiting(found, wish)
        else:
            if wish == "pause" and found.state == "paused":
                return found
            with self.lab.database.write() as connection:
                # To pause what was paused to be resumed takes that back.
                change_job(connection, job, ("running", "paused"), wish=wish)
        return self.get(job)

    def _change_waiting(self, job: Job, wish: str) -> None:
        with self.lab.database.write() as connection:
            fresh = connection.execute("SELECT state, worker FROM jobs WHERE id = ?", (job.id,)).fetchone()
            if fresh["state"] == "running" or fresh["worker"]:
                # The scheduler was faster.
                change_job(connection, job.id, wish=wish)
            elif wish == "cancel":
                note = "cancelled before it started" if not job.attempt else "cancelled while it waited"
                said, note_said = end_run(self.lab, job, "cancelled", note, job.usage)
                end_job(connection, job, said, note_said, job.usage)
            else:
                # An interrupted one goes on by itself, with the next scheduler.
                before: tuple[State, ...] = ("waiting", "interrupted") if wish == "pause" else ("paused",)
                change_job(connection, job.id, before, state="paused" if wish == "pause" else "waiting", wish=None)

    def _check_after(self, job: Job) -> None:
        for other in job.after:
            state = self.get(other).state
            if state in ENDED and state != "finished":
                raise UnweaveError(f"job {other!r} is {state}, and this one would wait for it for ever")
