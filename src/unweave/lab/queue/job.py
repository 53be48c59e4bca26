"""A job: one run that waits, runs or ended, with what it needs and what must end before it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from unweave.base.needs import Needs

State = Literal["waiting", "running", "paused", "finished", "failed", "cancelled", "interrupted"]
ENDED: tuple[State, ...] = ("finished", "failed", "cancelled", "interrupted")
Kind = Literal["study", "agent"]


@dataclass(frozen=True)
class Job:
    """A place in the queue. ``run`` is the id of the run folder that it fills, made when the job is submitted."""

    id: str
    kind: Kind
    run: str
    study: str
    config: Mapping[str, Any]
    needs: Needs
    state: State = "waiting"
    priority: int = 0
    """Higher goes first; equal ones in the order of submission."""
    after: tuple[str, ...] = ()
    """Jobs that must have finished; when one of them ends otherwise, this one is cancelled."""
    retries: int = 1
    """How often it is started again when its worker is lost (not when the study fails)."""
    attempt: int = 0
    thread: str | None = None
    person: str | None = None
    source: str | None = None
    """The Python file that registers the study, where it is not one of the installed ones."""
    sandboxed: bool = False
    note: str | None = None
    usage: Mapping[str, float] = field(default_factory=dict)
    """What it used: ``seconds``, ``cpu_seconds``, ``memory_gb``, ``disk_gb``, ``tokens``, ``dollars``."""
    submitted: str = ""
    started: str | None = None
    ended: str | None = None
