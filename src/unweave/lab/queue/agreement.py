"""Keeping a job and its run's folder of one mind: the folder's final word is written first, and it wins."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from unweave.base.errors import UnweaveError
from unweave.base.files import remove_partial
from unweave.base.secrets import scrub_file
from unweave.lab.queue.budget import count_the_dead_as_spent, spend
from unweave.lab.queue.job import ACTIVE, ENDED, Job
from unweave.lab.queue.processes import end_stranger
from unweave.lab.queue.rows import about_job, change_job, job_rows, now
from unweave.record.environment import is_gone
from unweave.record.run import Run

if TYPE_CHECKING:
    from unweave.lab.lab import Lab

SILENT_SECONDS = 60.0
MOST_STARTS = 10
"""Starts of a job, beyond its retries, after which one more killed scheduler fails it."""


def make_folder(lab: Lab, job: Job) -> None:
    """The run's folder, waiting: new, or one that stopped early and is to go on."""
    path = lab.root / job.run
    if not (path / "run.json").is_file():
        about = about_job(lab.database, job.id)
        Run.create(job.study, job.config, lab.root, job.run, about=about, status="waiting")
        return
    run = Run.open(path)
    if run.status not in ("waiting", "running", "finished"):
        remove_partial(path / "run.json")
        run.wait()


def end_folder_too(lab: Lab, job: str) -> None:
    """Ends the run of a job that was cancelled while its folder was being made, and so is written nowhere else."""
    for ended in job_rows(lab.database, "id = ?", (job,)):
        if ended.has_ended:
            end_run(lab, ended, ended.state, ended.note, ended.usage)


def end_run(lab: Lab, job: Job, status: str, note: str | None, usage: Mapping[str, float]) -> tuple[str, str | None]:
    """Writes how a run ended that no process works on any more, unless it says so itself; returns what it says."""
    path = lab.root / job.run
    scrub_log(lab, job)
    try:
        run = Run.open(path)
        said = run.status
        if said in ENDED:
            return said, run.state().get("note")
        if job.sandboxed:
            _take_what_is_left(lab, job)
        remove_partial(path / "run.json")
        run.measure = lambda: usage
        run.finish(status, note)
        note = run.state().get("note")
    except UnweaveError as error:
        return status, f"{note or status} ({error})"
    return status, note


def scrub_log(lab: Lab, job: Job) -> None:
    """Hides keys in the log of a job whose worker was killed, and did not do so itself."""
    with suppress(OSError):
        scrub_file(lab.root / job.run / "log.txt")


def _take_what_is_left(lab: Lab, job: Job) -> None:
    from unweave.lab.sandbox.collect import collect_left
    from unweave.lab.sandbox.study import limits_of

    # A disk that is full keeps it for the next attempt.
    with suppress(UnweaveError):
        collect_left(lab.home, lab.root / job.run, limits_of(job.needs, job.given))


def end_job(
    connection: sqlite3.Connection, job: Job, status: str, note: str | None, usage: Mapping[str, float]
) -> None:
    """Inside a transaction: the job has ended as its run's folder says, and its budget is settled."""
    done = change_job(
        connection, job.id, ACTIVE, state=status, note=note, usage=usage, ended=now(), wish=None, worker=None
    )
    if done and job.account is not None:
        # One that submits others waits for them, and they have paid for those seconds.
        seconds = usage.get("seconds", 0.0) if job.kind == "study" or "seconds" in job.reserved else 0.0
        spent = {"runs": 1.0 if job.attempt else 0.0, "seconds": seconds}
        spend(connection, job.account, job.reserved, spent)


def reconcile(lab: Lab) -> None:
    """What the last scheduler left, however it ended: workers that outlived it are ended, and jobs follow their runs.

    A job whose run has a final word ends with that; every other one that ran waits again.
    """
    from unweave.lab.sandbox.collect import remove_orphaned

    with lab.database.write(derived=True) as connection:
        count_the_dead_as_spent(connection)
    remove_orphaned(lab.home, lab.root)
    finish_submissions(lab)
    states = "state IN ('waiting', 'running', 'paused', 'interrupted')"
    for job in job_rows(lab.database, f"ready = 1 AND {states}"):
        recover(lab, job)


def recover(lab: Lab, job: Job) -> None:
    """Ends the worker of a job that no scheduler has, and lets the job follow its run.

    One on another machine ends by itself, with the process there that started it: until then the job stays as it is.
    """
    if job.worker and not end_stranger(job.worker) and not _silent(lab, job):
        return
    if job.state == "running" and job.attempt >= MOST_STARTS + job.retries:
        # It may be what brings the machine down, and would do so for ever.
        note = (
            f"it was started {job.attempt} times, and each time it or its scheduler was killed: resume it to try again"
        )
        said, note_said = end_run(lab, job, "failed", note, job.usage)
        with lab.database.write(derived=True) as connection:
            end_job(connection, job, said, note_said, job.usage)
        return
    follow_run(lab, job)


def _silent(lab: Lab, job: Job) -> bool:
    """Whether the run's log has had no sign of life for a while: a worker touches it every few seconds."""
    try:
        return time.time() - (lab.root / job.run / "log.txt").stat().st_mtime > SILENT_SECONDS
    except OSError:
        return True


def follow_run(lab: Lab, job: Job) -> None:
    """Brings a job that has no worker in line with its run."""
    path = lab.root / job.run
    scrub_log(lab, job)
    try:
        run = Run.open(path)
        said, state = run.status, run.state()
        note = state.get("note")
        if said == "running" and job.worker and state["process"].get("pid") == job.worker.get("pid"):
            # Its worker is gone, which cannot be seen from this machine.
            said = "interrupted"
    except UnweaveError as error:
        with lab.database.write(derived=True) as connection:
            end_job(connection, job, "failed", f"its run's folder cannot be read: {error}", job.usage)
        return
    if said in ENDED:
        usage = run.state().get("usage") or job.usage
        with lab.database.write(derived=True) as connection:
            end_job(connection, job, said, note, usage)
    elif job.wish == "cancel":
        said, note = end_run(lab, job, "cancelled", "cancelled while no worker had it", job.usage)
        with lab.database.write(derived=True) as connection:
            end_job(connection, job, said, note, job.usage)
    elif said == "running":
        # Somebody goes on with it outside of the queue.
        with lab.database.write(derived=True) as connection:
            change_job(connection, job.id, ACTIVE, state="interrupted", worker=None, wish=None)
    else:
        if said != "waiting":
            remove_partial(path / "run.json")
            run.wait("interrupted, and waits for a worker to go on with it", lost=True)
        if job.state == "waiting" and job.wish is None:
            return
        paused = job.wish == "pause" or (job.state == "paused" and job.wish != "resume")
        state = "paused" if paused else "waiting"
        with lab.database.write(derived=True) as connection:
            change_job(connection, job.id, ACTIVE, state=state, worker=None, wish=None)


def finish_submissions(lab: Lab) -> None:
    """Makes the folders of jobs whose submitter died after it wrote the job and before it said so."""
    for row in lab.database.read("SELECT id, maker FROM jobs WHERE ready = 0"):
        if not is_gone(json.loads(row["maker"])):
            continue
        for job in job_rows(lab.database, "id = ?", (row["id"],)):
            try:
                make_folder(lab, job)
            except UnweaveError as error:
                with lab.database.write(derived=True) as connection:
                    end_job(connection, job, "failed", f"its run's folder could not be made: {error}", {})
                continue
            with lab.database.write(derived=True) as connection:
                change_job(connection, job.id, ready=1)
            end_folder_too(lab, job.id)
