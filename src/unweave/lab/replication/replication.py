"""Replicating a paper from beginning to end: a thread, its runs in the queue, and a verdict on every row."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unweave.base.errors import UnweaveError
from unweave.lab.replication.judging import judge_replication
from unweave.lab.replication.paper import Paper, read_paper
from unweave.lab.replication.starting import start_replication, thread_paper
from unweave.lab.threads.events import RowVerdict

if TYPE_CHECKING:
    from unweave.base.progress import Progress
    from unweave.lab.lab import Lab
    from unweave.lab.people import Person


@dataclass(frozen=True)
class Replication:
    """A paper, the thread that replicates it, the settings given with it, and the verdicts so far by row."""

    paper: Paper
    thread: str
    settings: Mapping[str, Any]
    verdicts: Mapping[str, RowVerdict]


def replicate(
    lab: Lab,
    paper: str | Path,
    *,
    by: Person | None = None,
    thread: str | None = None,
    settings: Mapping[str, Any] | None = None,
    seconds: float | None = None,
    progress: Progress | None = None,
) -> Replication:
    """Starts the paper's runs, waits for them (``seconds`` at most), and judges its rows.

    Going on with a ``thread`` makes only the runs that it lacks.
    """
    started = start_replication(lab, paper, by=by, thread=thread, settings=settings)
    if started.jobs:
        lab.queue.wait(started.jobs, seconds=seconds, progress=progress)
    verdicts = judge_replication(lab, started.thread, by)
    return Replication(read_paper(paper), started.thread, settings or {}, verdicts)


def replications(lab: Lab) -> list[Replication]:
    """Every thread of the lab that replicates a paper, the last changed first."""
    found = []
    for row in lab.threads.list():
        # A damaged thread, and one of another unweave, are told of where they are shown.
        with suppress(UnweaveError):
            thread = lab.threads.get(row.id)
            if thread.paper is not None:
                paper, settings = thread_paper(thread)
                found.append(Replication(paper, row.id, settings, thread.verdicts))
    return found
