"""Writing the static copy of a run, or of a thread with its runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from unweave.base.errors import UnweaveError, nearest
from unweave.base.files import atomic_path
from unweave.lab.static_copy.page import page_html
from unweave.lab.static_copy.run_part import run_html
from unweave.lab.static_copy.thread_part import thread_sections
from unweave.lab.threads.conclusions import conclusion_text

if TYPE_CHECKING:
    from unweave.lab.lab import Lab


def static_copy(lab: Lab, id: str, out: Path | str | None = None) -> Path:
    """Writes the run or thread ``id`` as one HTML file (``ID.html`` by default) and returns its path.

    An ``out`` that does not end in ``.html`` is a new folder, and the file its ``index.html``. The file needs nothing
    beside it: it asks no network, runs no script, and shows what others wrote as text. Every run in it is audited as
    it is written.
    """
    path = Path(out) if out is not None else Path(f"{id}.html")
    path = path if path.suffix == ".html" else path / "index.html"
    if path.exists():
        raise UnweaveError(f"{path} already exists: choose another --out, or remove it first")
    threads = {row.id: row for row in lab.threads.list()}
    lab.runs.sync()
    if id in threads:
        page = _thread(lab, id)
    elif lab.runs.list(ids=[id]).total:
        page = _run(lab, id)
    else:
        known = [*threads, *(row.id for row in lab.runs.list(limit=1000).rows)]
        raise UnweaveError(f"there is no run or thread {id!r} in {lab.root}; {nearest(id, known)}")
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return path


def _run(lab: Lab, id: str) -> str:
    run = lab.runs.open(id)
    state = run.state()
    lead = lab.runs.get(id).headline or f"A run of {run.study}."
    said = [f"Run {id}", str(state["created"])[:19], run.status]
    return page_html(run.study, id, lead, said, {"run": ("The run", run_html(lab, run))})


def _thread(lab: Lab, id: str) -> str:
    thread = lab.threads.get(id)
    sections = thread_sections(lab, thread)
    for one in thread.runs:
        try:
            run = lab.runs.open(one.run)
            sections[f"run-{one.run}"] = (f"Run {one.run}", run_html(lab, run))
        except UnweaveError:
            continue
    lead = f"{thread.state.capitalize()}, without a conclusion."
    if thread.conclusions:
        lead = conclusion_text(lab.root, thread.conclusions[-1])
    said = [f"Thread {id}", f"asked by {thread.by} on {thread.created[:10]}", thread.state]
    return page_html("a thread of research", thread.question, lead, said, sections)
