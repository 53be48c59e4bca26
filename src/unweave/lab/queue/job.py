"""A job: one run that waits, runs or ended, with what it needs and what must end before it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from unweave.base.needs import Needs

State = Literal["waiting", "running", "paused", "finished", "failed", "cancelled", "interrupted"]
ACTIVE: tuple[State, ...] = ("waiting", "running", "paused", "interrupted")
"""An ``interrupted`` job stopped with its scheduler, and goes on with the next one."""
ENDED: tuple[State, ...] = ("finished", "failed", "cancelled")
Kind = Literal["study", "agent", "sweep"]


@dataclass(frozen=True)
class Job:
    """A place in the queue. Its id is that of the run folder that it fills, made when the job is submitted."""

    id: str
    kind: Kind
    run: str
    study: str
    config: Mapping[str, Any]
    needs: Needs
    given: tuple[str, ...] = ()
    """The names among ``needs`` that were asked for: limits, enforced as they are. The others were estimated."""
    state: State = "waiting"
    priority: int = 0
    """Higher goes first; equal ones in the order of submission."""
    after: tuple[str, ...] = ()
    """Jobs that must have finished; when one of them ends otherwise, this one is cancelled."""
    retries: int = 1
    """How often it is started again when its worker is lost (not when the study fails)."""
    attempt: int = 0
    """How often it was started."""
    losses: int = 0
    """How often its worker was lost while the scheduler lived."""
    thread: str | None = None
    person: str | None = None
    account: str | None = None
    """The account whose budget pays for it."""
    reserved: Mapping[str, float] = field(default_factory=dict)
    """What is set aside for it on that account until it ends."""
    source: str | None = None
    """The Python file that registers the study, where it is not one of the installed ones."""
    sandboxed: bool = False
    folder: str = ""
    """The folder that it was submitted in: relative paths in its config start there."""
    note: str | None = None
    usage: Mapping[str, float] = field(default_factory=dict)
    """What it used: ``seconds``, ``cpu_seconds``, ``memory_gb``, ``gpu_gb``, ``disk_gb``, over all its attempts."""
    number: int = 0
    wish: str | None = None
    """What somebody asked of it and the scheduler has not done yet: ``cancel``, ``pause`` or ``resume``."""
    worker: Mapping[str, Any] = field(default_factory=dict)
    """The process that it runs in: ``host``, ``pid`` and ``started``."""
    submitted: str = ""
    started: str | None = None
    ended: str | None = None

    @property
    def has_ended(self) -> bool:
        """True once nothing will change it but somebody who resumes it."""
        return self.state in ENDED
