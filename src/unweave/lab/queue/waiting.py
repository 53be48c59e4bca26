"""Watching jobs that some process runs."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import TYPE_CHECKING

from unweave.base.errors import UnweaveError
from unweave.base.files import read_json
from unweave.base.progress import Progress
from unweave.lab.queue.job import ENDED
from unweave.lab.queue.rows import newest

if TYPE_CHECKING:
    from unweave.lab.lab import Lab

SHOW_EVERY = 0.2


class Watch:
    """The states of some jobs, read again when the database has changed."""

    def __init__(self, lab: Lab, jobs: Collection[str], progress: Progress) -> None:
        self.lab = lab
        self.jobs = list(jobs)
        self.progress = progress
        self.states: dict[str, str] = {}
        self._seen = -1
        self._shown = 0.0

    def over(self, any_of: bool) -> bool:
        """Whether all jobs, or one of them, have ended."""
        seen = newest(self.lab.database)
        if seen != self._seen:
            self._seen = seen
            for start in range(0, len(self.jobs), 500):
                some = self.jobs[start : start + 500]
                query = f"SELECT id, state FROM jobs WHERE id IN ({', '.join('?' * len(some))})"  # noqa: S608
                self.states |= {row["id"]: row["state"] for row in self.lab.database.read(query, some)}
            lost = [job for job in self.jobs if job not in self.states]
            if lost:
                raise UnweaveError(f"there is no job {lost[0]!r} in the queue of {self.lab.root}")
        ended = [state in ENDED for state in self.states.values()]
        self._show(sum(ended), all(ended))
        return any(ended) or not ended if any_of else all(ended)

    def pause(self, seconds: float) -> None:
        """Waits a moment."""
        time.sleep(seconds)

    def _show(self, ended: int, last: bool) -> None:
        now = time.monotonic()
        if not last and now - self._shown < SHOW_EVERY:
            return
        self._shown = now
        running = [job for job, state in self.states.items() if state == "running"]
        note = f"{len(running)} running" if running else ""
        for job in running[:1]:
            try:
                said = read_json(self.lab.root / job / "progress.json")
                note += f", {job}: {said['done']}/{said['total']} {said['note']}".rstrip()
            except (UnweaveError, KeyError, TypeError):
                note += f", {job}"
        self.progress.update(ended, len(self.jobs), note)
