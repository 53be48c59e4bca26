"""One machine of a Ray cluster, on that machine: a pool of warm workers that the scheduler elsewhere speaks to."""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from unweave.base.needs import Needs
from unweave.lab.queue.executor import Work
from unweave.lab.queue.pool import LocalPool
from unweave.lab.queue.transfer import BLOCK, Growth, inside, listing
from unweave.record.environment import environment

USAGE_EVERY = 0.25


class RayNode:
    """What Ray keeps running on the machine. Everything that it returns is JSON, or bytes of a run's files.

    ``home`` and ``nonce`` tell whether this machine sees the lab's folder: a file there has that content. One that does
    not gets a copy of each run's folder, in a temporary folder of its own.
    """

    def __init__(self, name: str, home: str, nonce: tuple[str, str] | None, threads: float) -> None:
        self.name = name
        self.shared = nonce is not None and _holds(Path(nonce[0]), nonce[1])
        self.home = Path(home) if self.shared else Path(tempfile.mkdtemp(prefix="unweave-"))
        self.pool = LocalPool(self.home, name=name, threads=threads)
        self.growth: dict[str, Growth] = {}
        self._lock = threading.Lock()
        self._measured = 0.0

    def describe(self) -> dict[str, Any]:
        """What it has, whether it sees the lab, and the code that it runs."""
        with self._lock:
            (node,) = self.pool.nodes()
        return {
            "shared": self.shared,
            "total": node.total.to_json(),
            "memory_left_gb": node.memory_left_gb,
            "environment": environment(),
        }

    def open(self, job: str) -> None:
        """Makes room for a run's folder."""
        shutil.rmtree(self._folder(job), ignore_errors=True)
        self._folder(job).mkdir(parents=True)

    def write(self, job: str, name: str, start: int, block: bytes) -> None:
        """Writes one block of a file of the run."""
        path = inside(self._folder(job), name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "r+b" if start else "wb") as file:
            file.seek(start)
            file.write(block)

    def claim(self, work: dict[str, Any]) -> dict[str, Any]:
        """A worker for the work; in the run's own folder, or the copy of it here."""
        given = Work(
            **{**work, "folder": Path(work["folder"]), "needs": Needs.from_json(work["needs"])},
        )
        if not self.shared:
            folder = self._folder(given.job)
            source = folder / "code" / Path(given.source).name if given.source else None
            given = Work(
                given.job, folder, given.kind, given.needs, tuple(given.given), str(source) if source else None,
                start_in=given.start_in, used=given.used,
            )  # fmt: skip
            self.growth[given.job] = Growth(folder)
        with self._lock:
            return dict(self.pool.claim(given, self.name))

    def start(self, job: str) -> None:
        with self._lock:
            self.pool.start(job)

    def release(self, job: str) -> None:
        with self._lock:
            self.pool.release(job)

    def stop(self, job: str, how: Literal["ask", "interrupt", "terminate", "kill"]) -> None:
        with self._lock:
            self.pool.stop(job, how)

    def suspend(self, job: str) -> None:
        with self._lock:
            self.pool.suspend(job)

    def unsuspend(self, job: str) -> None:
        with self._lock:
            self.pool.unsuspend(job)

    def poll(self, seconds: float) -> dict[str, Any]:
        """What happened, what the jobs use, and what their runs' files have grown by."""
        until = time.monotonic() + seconds
        while True:
            with self._lock:
                events = self.pool.poll(0)
                measure = time.monotonic() - self._measured > USAGE_EVERY
                found: dict[str, Any] = {"events": [asdict(event) for event in events], "usage": {}, "news": {}}
                if events or measure:
                    self._measured = time.monotonic()
                    used = {job: self.pool.usage(job) for job in self.pool.jobs()}
                    found["usage"] = {job: asdict(each) for job, each in used.items() if each is not None}
                    (node,) = self.pool.nodes()
                    found |= {"total": node.total.to_json(), "memory_left_gb": node.memory_left_gb}
                    found["news"] = {job: growth.news() for job, growth in list(self.growth.items())}
            if events or any(found["news"].values()) or time.monotonic() >= until:
                return found
            self.pool.heard.wait(min(USAGE_EVERY, max(0.0, until - time.monotonic())))

    def listing(self, job: str) -> dict[str, tuple[str, int]]:
        """The files of a run that ended here."""
        return listing(self._folder(job))

    def read(self, job: str, name: str, start: int, size: int) -> bytes:
        """One block of a file of the run."""
        with open(inside(self._folder(job), name), "rb") as file:
            file.seek(start)
            return file.read(min(size, BLOCK))

    def forget(self, job: str) -> None:
        """Removes what is here of a run."""
        self.growth.pop(job, None)
        if not self.shared:
            shutil.rmtree(self._folder(job), ignore_errors=True)

    def close(self) -> None:
        with self._lock:
            self.pool.close()
        if not self.shared:
            shutil.rmtree(self.home, ignore_errors=True)

    def _folder(self, job: str) -> Path:
        return self.home / "runs" / job


def _holds(path: Path, content: str) -> bool:
    try:
        return path.read_text(encoding="ascii") == content
    except (OSError, UnicodeDecodeError):
        return False
