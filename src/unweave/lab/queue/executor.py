"""Where jobs run: the protocol that the scheduler speaks with a pool of workers, on this machine or on others."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from unweave.base.needs import Needs
from unweave.lab.queue.job import Job


@dataclass(frozen=True)
class Work:
    """What a worker is told of a job; study and config are in the run's folder."""

    job: str
    folder: Path
    kind: str
    needs: Needs
    given: tuple[str, ...] = ()
    source: str | None = None
    sandboxed: bool = False
    start_in: str = ""
    """The folder that relative paths of the config start in."""
    used: Mapping[str, float] = field(default_factory=dict)
    """What earlier attempts used."""
    lab: Path | None = None

    @classmethod
    def of(cls, job: Job, root: Path) -> Work:
        """What a worker is told of ``job`` in the lab of ``root``: of its source, the copy that the run keeps."""
        folder = (root / job.run).resolve()
        source = job.source
        if source is not None and (folder / "code" / Path(source).name).is_file():
            source = str(folder / "code" / Path(source).name)
        return cls(
            job.id,
            folder,
            job.kind,
            job.needs,
            job.given,
            source,
            job.sandboxed,
            job.folder,
            dict(job.usage),
            root.resolve(),
        )

    @property
    def threads(self) -> int:
        """Whole threads for the worker's libraries."""
        return max(1, round(self.needs.threads))


@dataclass(frozen=True)
class Node:
    """A machine that runs workers, and what it has for them. ``total.disk_gb`` is what is free now."""

    name: str
    total: Needs
    memory_left_gb: float = math.inf
    """Memory that can still be filled now, by whatever program."""
    plain_only: bool = False
    """It takes studies only: no agent, which needs the lab's database, and nothing of the sandbox."""


@dataclass(frozen=True)
class Event:
    """Something that happened to a job.

    ``ended``: the run's folder has its final word, ``status``. ``lost``: the worker died without one; ``note`` is how.
    """

    job: str
    kind: Literal["began", "ended", "lost"]
    status: str = ""
    note: str | None = None
    usage: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Usage:
    """What a running job uses now (``memory_gb``, ``disk_gb``, ``gpu_gb``) and has used (``cpu_seconds``)."""

    memory_gb: float = 0.0
    disk_gb: float = 0.0
    gpu_gb: float = 0.0
    cpu_seconds: float = 0.0


class Executor(Protocol):
    """Runs work in processes of their own.

    The scheduler decides what runs where and when, and writes it down between ``claim`` and ``start``, so that a
    process that might work on a run is known before it can begin.
    """

    def nodes(self) -> Sequence[Node]:
        """The machines, in the order in which they are filled."""
        ...

    def claim(self, work: Work, node: str) -> Mapping[str, Any]:
        """A worker for this work, started if none is free: its ``host``, ``pid`` and ``started``."""
        ...

    def start(self, job: str) -> None:
        """Hands the work to the worker that was claimed for it."""
        ...

    def release(self, job: str) -> None:
        """Takes a claim back that will not be started."""
        ...

    def poll(self, seconds: float) -> list[Event]:
        """What has happened; waits until something does, at most so long."""
        ...

    def usage(self, job: str) -> Usage | None:
        """What the job uses now; None where its process cannot be looked at."""
        ...

    def stop(self, job: str, how: Literal["ask", "interrupt", "terminate", "kill"]) -> None:
        """Ends a job: ``ask`` it to cancel itself, ``interrupt`` it as Ctrl-C does, or end its processes.

        After ``kill`` nothing of it runs any more, and ``lost`` or ``ended`` follows.
        """
        ...

    def suspend(self, job: str) -> None:
        """Stops the job's processes where they are; their memory stays."""
        ...

    def unsuspend(self, job: str) -> None:
        """Lets them go on."""
        ...

    def close(self) -> None:
        """Ends every worker, working or not."""
        ...
