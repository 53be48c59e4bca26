"""Trains captured sites one after another, or several at once in processes of their own."""

from __future__ import annotations

import multiprocessing
import os
import queue as queues
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unweave.base.errors import UnweaveError
from unweave.base.files import remove_partial
from unweave.base.progress import Progress
from unweave.decompose.checkpoint import CHECKPOINT_SECONDS, last_good
from unweave.decompose.clock import Clock
from unweave.decompose.config import SiteLocalConfig
from unweave.decompose.decomposition import Decomposition
from unweave.decompose.site_local import Inputs, train_site
from unweave.models.capture import Capture, read_index


@dataclass(frozen=True)
class SiteJob:
    """A captured site to train, and the folder where it is put when it is done."""

    site: str
    weight: np.ndarray
    capture: Path
    rows: np.ndarray
    """Windows to draw from; see ``Inputs``."""
    config: SiteLocalConfig
    target: str
    origin: str
    checkpoint: Path | None
    finished: Path
    device: str = "cpu"
    checkpoint_seconds: float = CHECKPOINT_SECONDS

    def settings(self) -> dict[str, Any]:
        """What a finished site must have been made with to be taken over by a later call."""
        return {"origin": self.origin, "config": asdict(self.config)}


def train_job(job: SiteJob, progress: Progress, log: Callable[[dict[str, Any]], None] | None = None) -> None:
    """Trains one site and saves it in its folder; what it measures goes to ``log`` with the site's name."""
    capture = Capture(job.capture, read_index(job.capture))
    clock = Clock()
    pieces = train_site(
        job.site,
        torch.from_numpy(job.weight),
        Inputs(capture.values, capture.index.scale, job.rows),
        job.config,
        checkpoint=job.checkpoint,
        checkpoint_seconds=job.checkpoint_seconds,
        origin=job.origin,
        clock=clock,
        progress=progress,
        device=torch.device(job.device),
        log=(lambda row: log({"site": job.site, **row})) if log else None,
    )
    card = {"settings": job.settings(), "training_seconds": round(clock.seconds, 1)}
    remove_partial(job.finished)
    try:
        Decomposition({job.site: pieces}, job.target, card=card).save(job.finished)
    except UnweaveError as error:
        raise UnweaveError(f"{error}; {last_good(job.checkpoint)}") from error
    if job.checkpoint is not None:
        job.checkpoint.unlink(missing_ok=True)


def train_jobs(
    jobs: Sequence[SiteJob],
    at_once: int,
    progress: Progress,
    log: Callable[[dict[str, Any]], None] | None = None,
) -> Iterator[tuple[SiteJob, UnweaveError | None]]:
    """Trains the sites and yields each as it ends, with what was wrong if it cannot be trained.

    What stops every site, a full disk for one, is raised.
    With ``at_once`` above 1 each site has a process of its own, which shares out the threads of this one; a script
    that calls this needs the usual ``if __name__ == "__main__"``. Processes end by themselves when this one is gone.
    """
    if at_once == 1:
        for job in jobs:
            yield job, _tried(job, progress, log)
        return
    # Spawned, because a forked process would inherit the locks of this one's threads.
    context = multiprocessing.get_context("spawn")
    reports = context.Queue()
    threads = max(1, torch.get_num_threads() // at_once)
    with ProcessPoolExecutor(at_once, context, _prepare, (reports, threads)) as pool:
        pending = {pool.submit(_train_reporting, job): job for job in jobs}
        relay = _Relay(progress, jobs, log)
        try:
            while pending:
                ended, _ = wait(pending, timeout=0.5, return_when=FIRST_COMPLETED)
                relay.pass_on(reports)
                for future in ended:
                    job = pending.pop(future)
                    refusal = _result(future)
                    relay.finish(reports, job.site)
                    yield job, refusal
        except BaseException:
            for future in pending:
                future.cancel()
            for process in list(pool._processes.values()):
                process.terminate()
            raise


def _tried(job: SiteJob, progress: Progress, log: Callable[[dict[str, Any]], None] | None) -> UnweaveError | None:
    """Why the site cannot be trained; raises what is no fault of the site."""
    try:
        train_job(job, progress, log)
    except UnweaveError as error:
        cause = error.__cause__
        while cause is not None:
            if isinstance(cause, OSError):
                raise
            cause = cause.__cause__
        return error
    return None


def _result(future: Future[UnweaveError | None]) -> UnweaveError | None:
    try:
        return future.result()
    except BrokenProcessPool as error:
        raise UnweaveError(
            "a training process was ended from outside (too little memory?): the same command goes on; use fewer --jobs"
        ) from error


_reports: Any = None


def _prepare(reports: Any, threads: int) -> None:
    from unweave.base.device import prefer_fast_float32
    from unweave.base.memory import keep_freed_memory

    global _reports
    _reports = reports
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches them all, and the first process ends the others
    torch.set_num_threads(threads)
    prefer_fast_float32()
    keep_freed_memory()


def _train_reporting(job: SiteJob) -> UnweaveError | None:
    reporting = _Reporting(job.site)
    try:
        return _tried(job, reporting, reporting.log)
    finally:
        _reports.put((job.site, None, None))


class _Reporting:
    """Progress of a site, sent to the process that started this one."""

    def __init__(self, site: str) -> None:
        self.site = site

    def update(self, done: int, total: int, note: str = "") -> None:
        parent = multiprocessing.parent_process()
        if parent is not None and not parent.is_alive():
            os._exit(1)  # killed: whoever starts again must find no other process at work on the same files
        _reports.put((self.site, done, note))

    def say(self, line: str) -> None:
        _reports.put((self.site, None, line))

    def log(self, row: dict[str, Any]) -> None:
        _reports.put((self.site, None, row))


class _Relay:
    """One line of progress from the reports of several sites."""

    def __init__(
        self,
        progress: Progress,
        jobs: Sequence[SiteJob],
        log: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        self.progress, self.log, self.total = progress, log, sum(job.config.steps for job in jobs)
        self.steps = {job.site: 0 for job in jobs}
        self.ended: set[str] = set()

    def pass_on(self, reports: Any) -> None:
        """Whatever has come in."""
        with suppress(queues.Empty):
            while True:
                self._take(*reports.get_nowait())

    def finish(self, reports: Any, site: str) -> None:
        """What is still on its way from a site that has ended."""
        with suppress(queues.Empty):
            while site not in self.ended:
                self._take(*reports.get(timeout=5))

    def _take(self, site: str, done: int | None, note: Any) -> None:
        if note is None:
            self.ended.add(site)
        elif isinstance(note, dict):
            if self.log:
                self.log(note)
        elif done is None:
            self.progress.say(f"{site}: {note}")
        else:
            self.steps[site] = done
            self.progress.update(sum(self.steps.values()), self.total, f"{site}: {note}")
