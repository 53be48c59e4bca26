"""The runs that a paper's rows need: one for all rows that have the same study and settings."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unweave.base.configs import plain_config
from unweave.base.errors import UnweaveError
from unweave.lab.replication.paper import Paper
from unweave.studies.registry import find_study

if TYPE_CHECKING:
    from unweave.lab.threads.thread import Thread
    from unweave.record.run import Run


@dataclass(frozen=True)
class PlannedRun:
    """A study with every setting, and the ids of the rows that read it."""

    study: str
    config: Mapping[str, Any]
    rows: tuple[str, ...] = field(compare=False)

    def made(self, run: Run) -> bool:
        """Whether ``run`` is one of this study with these settings."""
        return run.study == self.study and run.config == dict(self.config)

    def to_json(self) -> dict[str, Any]:
        """The run as a thread's plan holds it."""
        return {"study": self.study, "config": dict(self.config), "rows": list(self.rows)}


def planned_runs(paper: Paper, settings: Mapping[str, Any] | None = None) -> list[PlannedRun]:
    """The runs in the order of the rows. ``settings`` replace the paper's own; a row's own stay as they are."""
    found: dict[str, PlannedRun] = {}
    for row in paper.rows:
        if not row.study:
            continue
        study = find_study(row.study)
        known = {one.name for one in study.fields()}
        common = {name: value for name, value in {**paper.settings, **(settings or {})}.items() if name in known}
        try:
            config = plain_config(study.configure({**common, **row.settings}))
        except UnweaveError as error:
            raise UnweaveError(f"row {row.id!r} of paper {paper.id!r}: {error}") from error
        key = json.dumps([row.study, config], sort_keys=True)
        rows = (*(found[key].rows if key in found else ()), row.id)
        found[key] = PlannedRun(row.study, config, rows)
    unread = sorted(set(settings or {}) - {name for one in found.values() for name in one.config})
    if unread:
        raise UnweaveError(f"no study of paper {paper.id!r} has a setting {unread[0]!r}: leave it out")
    return list(found.values())


def runs_of_plan(thread: Thread) -> list[PlannedRun]:
    """The runs that the thread's plan names; the studies themselves need not be known here."""
    entries = thread.plan.content.get("runs") if thread.plan is not None else None
    try:
        return [
            PlannedRun(str(one["study"]), dict(one["config"]), tuple(map(str, one["rows"]))) for one in entries or ()
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise UnweaveError(
            f"the plan of thread {thread.id!r} names no runs of a paper: replicate the paper anew"
        ) from error


def load_studies(paper: Paper, path: str | Path) -> Path | None:
    """Registers the studies of the Python file that a paper in a file of the reader's own names; returns its path."""
    from unweave.studies.discover import load_source

    if not paper.source:
        return None
    if Path(path).suffix != ".json" or "/" in paper.source or "\\" in paper.source or paper.source.startswith("."):
        raise UnweaveError(f"paper {paper.id!r} names the source {paper.source!r}: put it beside the paper's own file")
    source = Path(path).parent / paper.source
    load_source(source)
    return source


def first_made(planned: PlannedRun, runs: Iterable[Run]) -> Run | None:
    """The last of ``runs`` that is of this study with these settings."""
    return next((run for run in reversed(list(runs)) if planned.made(run)), None)
