"""Rows whose definition is newer than the run that they are judged by: their goalposts may have been moved."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from unweave.lab.threads.events import PaperAdded

if TYPE_CHECKING:
    from unweave.lab.threads.thread import Thread
    from unweave.record.run import Run

MOVED = "the row was given what it must come to at {}, when its run was there: it may have been fitted to the run"
_WORDING = ("statement", "where", "known", "notes")
"""What may be said otherwise without another verdict."""


def moved(thread: Thread, row: str, run: Run) -> str | None:
    """When ``row`` was last given another number, tolerance, reading or cell, if ``run`` was there by then.

    A row that was added then, or taken out and put back, is one whose definition is of that time. The run was there
    where it had been created or was in the thread already.
    """
    given = _defined(thread, row)
    if given is None:
        return None
    joined = min((event.seq for event in thread.runs if event.run == run.id), default=given.seq)
    created = datetime.fromisoformat(run.state()["created"])
    late = joined < given.seq or created < datetime.fromisoformat(given.at)
    return given.at if late else None


def _defined(thread: Thread, row: str) -> PaperAdded | None:
    """The version of the paper since which the row is what it is."""
    since, last = None, None
    for paper in thread.of_kind(PaperAdded):
        definition = _definition(paper.content, row)
        if since is None or definition != last:
            since, last = paper, definition
    return since


def _definition(content: Mapping[str, Any], row: str) -> str | None:
    for entry in content.get("rows") or []:
        if isinstance(entry, Mapping) and entry.get("id") == row:
            return json.dumps({name: entry[name] for name in entry if name not in _WORDING}, sort_keys=True)
    return None
