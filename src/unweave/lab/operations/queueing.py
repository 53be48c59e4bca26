"""Operations on the queue: what waits and runs, what the machine has, and starting, stopping and ordering runs."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from unweave.base.errors import UnweaveError
from unweave.base.files import read_json_inside
from unweave.base.needs import Needs
from unweave.lab.operations.finding import open_job, open_thread
from unweave.lab.operations.models import Amounts, RunProgress
from unweave.lab.operations.queue_models import (
    BudgetEntry,
    JobEntry,
    JobOfRunRequest,
    NodeEntry,
    PrioritiseRequest,
    QueueAnswer,
    QueueRequest,
    ResourcesAnswer,
    Started,
    StartRunRequest,
    WorkerEntry,
)
from unweave.lab.operations.registry import operation
from unweave.lab.operations.run_models import Nothing
from unweave.lab.operations.runs import progress_of
from unweave.record.environment import is_gone

if TYPE_CHECKING:
    from unweave.lab.lab import Lab
    from unweave.lab.people import Person
    from unweave.lab.queue.job import Job

AT_WORK = ("running", "paused")
HERE = "this machine"
NONE = Needs(0, 0, 0, 0, 0, 0, 0)


@operation(
    "queue", "the jobs that wait, run or have ended, the newest first", QueueRequest, QueueAnswer, "read", agent=True
)
def queue(lab: Lab, person: Person, request: QueueRequest) -> QueueAnswer:
    found = lab.queue.list(states=tuple(request.states), limit=request.limit)
    counted = lab.database.read("SELECT state, count(*) AS number FROM jobs GROUP BY state")
    return QueueAnswer(
        jobs=[job_entry(lab, job) for job in reversed(found)],
        by_state={row["state"]: row["number"] for row in counted},
        scheduler=is_scheduled(lab),
    )


@operation("start-run", "submits a run of a study", StartRunRequest, Started, "run")
def start_run(lab: Lab, person: Person, request: StartRunRequest) -> Started:
    if request.thread is not None:
        open_thread(lab, request.thread)
    job = lab.queue.submit(
        request.study,
        request.settings,
        needs=asked(request.needs.model_dump() if request.needs else {}),
        priority=request.priority,
        after=tuple(request.after),
        retries=request.retries,
        thread=request.thread,
        person=person.name,
        name=request.name,
    )
    return Started(jobs=[job_entry(lab, job)])


@operation("cancel-run", "stops a run that waits or works", JobOfRunRequest, JobEntry, "run")
def cancel_run(lab: Lab, person: Person, request: JobOfRunRequest) -> JobEntry:
    lab.queue.cancel(open_job(lab, request.run).id)
    return job_entry(lab, open_job(lab, request.run))


@operation("pause-run", "lets a run rest until it is resumed", JobOfRunRequest, JobEntry, "run")
def pause_run(lab: Lab, person: Person, request: JobOfRunRequest) -> JobEntry:
    lab.queue.pause(open_job(lab, request.run).id)
    return job_entry(lab, open_job(lab, request.run))


@operation("resume-run", "goes on with a run that rests or stopped early", JobOfRunRequest, JobEntry, "run")
def resume_run(lab: Lab, person: Person, request: JobOfRunRequest) -> JobEntry:
    lab.queue.resume(open_job(lab, request.run).id)
    return job_entry(lab, open_job(lab, request.run))


@operation("prioritise-run", "changes a run's place in the queue", PrioritiseRequest, JobEntry, "run")
def prioritise_run(lab: Lab, person: Person, request: PrioritiseRequest) -> JobEntry:
    lab.queue.prioritise(open_job(lab, request.run).id, request.priority)
    return job_entry(lab, open_job(lab, request.run))


@operation(
    "resources", "what this machine has for runs, and what they use", Nothing, ResourcesAnswer, "read", agent=True
)
def resources(lab: Lab, person: Person, request: Nothing) -> ResourcesAnswer:
    from unweave.lab.queue.resources import machine

    running = lab.queue.list(("running",))
    waiting = lab.database.read("SELECT count(*) FROM jobs WHERE state = 'waiting'")[0][0]
    nodes = {node.name: node.total for node in lab.queue.background.nodes()} or {HERE: machine(lab.root)}
    lines = lab.database.read("SELECT account, resource, granted, reserved, spent FROM spending ORDER BY 1, 2")
    return ResourcesAnswer(
        scheduler=is_scheduled(lab),
        nodes=[NodeEntry(name=name, total=Amounts(**total.to_json())) for name, total in nodes.items()],
        capacity=Amounts(**sum(nodes.values(), NONE).to_json()),
        used=Amounts(**sum((_held(job.needs) for job in running), NONE).to_json()),
        waiting=waiting,
        running=len(running),
        workers=[_worker(job) for job in running],
        disk_free_gb=shutil.disk_usage(lab.root).free / 1e9,
        budgets=[BudgetEntry(**dict(row)) for row in lines],
    )


def is_scheduled(lab: Lab) -> bool:
    """Whether a process that lives starts the jobs that wait."""
    from unweave.lab.queue.keeper import keeper_of

    keeper = keeper_of(lab.home)
    return keeper is not None and not is_gone(dict(keeper))


def job_entry(lab: Lab, job: Job) -> JobEntry:
    """A job as an answer has it."""
    return JobEntry(
        id=job.id,
        kind=job.kind,
        run=job.run,
        study=job.study,
        state=job.state,
        priority=job.priority,
        after=list(job.after),
        attempt=job.attempt,
        losses=job.losses,
        retries=job.retries,
        thread=job.thread,
        person=job.person,
        account=job.account,
        sandboxed=job.sandboxed,
        note=job.note,
        wish=job.wish,
        needs=Amounts(**job.needs.to_json()),
        usage=dict(job.usage),
        submitted=job.submitted,
        started=job.started,
        ended=job.ended,
        progress=_progress(lab, job) if job.state in AT_WORK else None,
    )


def _progress(lab: Lab, job: Job) -> RunProgress | None:
    try:
        said = read_json_inside(lab.root / job.run, "progress.json")
    except (UnweaveError, OSError):
        return None
    return progress_of(said) if isinstance(said, dict) else None


def asked(given: dict[str, Any]) -> dict[str, float] | None:
    """What was asked for; the rest is estimated."""
    found = {name: amount for name, amount in given.items() if amount is not None}
    return found or None


def _held(needs: Needs) -> Needs:
    """What a running job holds of the machine: a limit on time or money is nothing that it holds."""
    return Needs(needs.threads, needs.memory_gb, needs.gpu_gb, needs.disk_gb, 0, 0, 0)


def _worker(job: Job) -> WorkerEntry:
    worker = job.worker or {}
    used = {name: float(value) for name, value in job.usage.items() if name in Amounts.model_fields}
    return WorkerEntry(
        name=str(worker.get("host") or HERE),
        process=worker.get("pid"),
        job=job.id,
        run=job.run,
        since=job.started,
        used=Amounts(**used) if used else None,
    )
