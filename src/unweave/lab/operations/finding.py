"""Runs, tables, threads and jobs by the ids that requests give; what is not there is said as such."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unweave.base.errors import nearest
from unweave.lab.operations.registry import Missing

if TYPE_CHECKING:
    from unweave.lab.lab import Lab
    from unweave.lab.queue.job import Job
    from unweave.lab.threads.thread import Thread
    from unweave.record.run import Run
    from unweave.record.table import Table


def open_run(lab: Lab, id: str) -> Run:
    """The run of that id. Raises ``Missing`` where the lab has none."""
    folder = lab.root / id
    description = folder / "run.json"
    # A link in the place of a folder or a file leads out of the lab.
    if folder.is_symlink() or description.is_symlink() or not description.is_file():
        known = [row.id for row in lab.runs.list(limit=1000).rows]
        raise Missing(f"there is no run {id!r} in this lab; {nearest(id, known)}")
    return lab.runs.open(id)


def open_table(run: Run, name: str) -> Table:
    """A table of the run. Raises ``Missing`` where it has none of that name."""
    files = [run.path / "tables" / f"{name}{suffix}" for suffix in (".csv", ".json")]
    if not all(file.is_file() and not file.is_symlink() for file in files):
        raise Missing(f"run {run.id!r} has no table {name!r}; {nearest(name, run.tables())}")
    return run.load_table(name)


def open_thread(lab: Lab, id: str) -> Thread:
    """The thread of that id. Raises ``Missing`` where the lab has none."""
    if not (lab.threads.root / id).is_dir():
        raise Missing(f"there is no thread {id!r} in this lab; {nearest(id, [row.id for row in lab.threads.list()])}")
    return lab.threads.get(id)


def find_job(lab: Lab, run: str) -> Job | None:
    """The job that fills a run, which has its id; None for a run that did not come through the queue."""
    known = lab.database.read("SELECT 1 FROM jobs WHERE id = ?", (run,))
    return lab.queue.get(run) if known else None


def open_job(lab: Lab, run: str) -> Job:
    """The job that fills a run. Raises ``Missing`` for a run that did not come through the queue."""
    found = find_job(lab, run)
    if found is None:
        open_run(lab, run)
        raise Missing(f"run {run!r} did not come through the queue: whoever started it can stop it")
    return found
