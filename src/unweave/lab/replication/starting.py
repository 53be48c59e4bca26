"""A thread from a paper: its rows as hypotheses, its runs as the plan, and those runs in the queue."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unweave.base.errors import UnweaveError
from unweave.lab.replication.paper import Paper, Row, paper_of, read_paper
from unweave.lab.replication.planned import PlannedRun, first_made, load_studies, planned_runs
from unweave.lab.threads.events import Hypothesis, PaperAdded, Plan, ThreadRun

if TYPE_CHECKING:
    from unweave.lab.lab import Lab
    from unweave.lab.people import Person
    from unweave.lab.threads.thread import Thread
    from unweave.record.run import Run


@dataclass(frozen=True)
class Started:
    """The thread, and the jobs that must end before it can be judged; none where all runs were there."""

    thread: str
    jobs: tuple[str, ...]


def start_replication(
    lab: Lab,
    paper: str | Path,
    *,
    by: Person | None = None,
    thread: str | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Started:
    """Opens a thread for ``paper`` (an id, or a ``.json`` file), or goes on with ``thread``, and submits its runs.

    ``settings`` replace the paper's own, such as the target. Runs that the thread has already are not made again.
    """
    read = read_paper(paper)
    source = load_studies(read, paper)
    author = by if by is not None else lab.people.here()
    author.must("run")
    planned = planned_runs(read, settings)
    id = thread or lab.threads.create(read.question, context=_context(read), by=author).id
    _template(lab, id, read, planned, settings or {}, author)
    there = thread_runs(lab, lab.threads.get(id))
    jobs = []
    for one in planned:
        run = _usable(one, there)
        if run is None:
            plan = {"study": one.study, "config": dict(one.config), "stage": "replication"}
            job = lab.queue.submit(one.study, dict(one.config), thread=id, person=author.name, plan=plan, source=source)
            lab.threads.add(id, ThreadRun(job.run, "replication"), author)
            jobs.append(job.id)
        elif run.status not in ("finished", "failed", "cancelled"):
            jobs += [job.id for job in lab.queue.list(thread=id) if job.run == run.id]
    return Started(id, tuple(jobs))


def thread_runs(lab: Lab, thread: Thread) -> list[Run]:
    """The runs of a thread that are there, in the order in which they came."""
    found = []
    for event in thread.runs:
        with suppress(UnweaveError):
            found.append(lab.runs.open(event.run))
    return found


def thread_paper(thread: Thread) -> tuple[Paper, Mapping[str, Any]]:
    """The paper that a thread replicates, and the settings that were given with it."""
    if thread.paper is None or thread.plan is None:
        raise UnweaveError(f"thread {thread.id!r} replicates no paper: start one with `unweave replicate PAPER`")
    settings = thread.plan.content.get("settings")
    paper = paper_of(dict(thread.paper.content), f"the paper of thread {thread.id!r}")
    return paper, settings if isinstance(settings, Mapping) else {}


def _template(
    lab: Lab, id: str, paper: Paper, planned: list[PlannedRun], settings: Mapping[str, Any], author: Person
) -> None:
    """What the thread lacks of the paper, of what is expected, and of the plan."""
    thread = lab.threads.get(id)
    if thread.paper is not None and thread.paper.content.get("id") != paper.id:
        raise UnweaveError(f"thread {id!r} replicates {thread.paper.content.get('id')!r}: leave --thread out")
    if thread.paper is None or thread.paper.sha256 != paper.sha256:
        lab.threads.add(id, PaperAdded(paper.content), author)
    known = {(one.name, one.predicted) for one in thread.hypotheses}
    for row in paper.rows:
        if row.testable and (row.id, _predicted(row)) not in known:
            lab.threads.add(id, Hypothesis(row.statement, _predicted(row), row.id), author)
    plan = Plan(
        {
            "paper": paper.id,
            "sha256": paper.sha256,
            "settings": dict(settings),
            "runs": [one.to_json() for one in planned],
        }
    )
    if thread.plan is None or thread.plan.sha256 != plan.sha256:
        lab.threads.add(id, plan, author)


def _predicted(row: Row) -> str:
    return row.allowed + (f": {row.reading}" if row.reading else "")


def _usable(planned: PlannedRun, runs: list[Run]) -> Run | None:
    """The run that is there already, unless it ended without a result."""
    run = first_made(planned, runs)
    return None if run is not None and run.status in ("failed", "cancelled") else run


def _context(paper: Paper) -> str:
    return f"Replicates “{paper.title}” by {paper.authors} ({paper.published}). {paper.known}"
