"""One job inside a worker: the run is begun, the study called, and how it ended written into the run's folder."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy

from unweave.base.errors import UnweaveError, first_line
from unweave.base.files import remove_partial
from unweave.base.needs import Needs
from unweave.lab.queue.live import LOG_BYTES, FileProgress, Log
from unweave.lab.queue.meter import Meter, loaded_torch
from unweave.lab.queue.processes import children, end_family
from unweave.lab.queue.resources import GB
from unweave.record.run import ENDINGS, Run, RunCancelled

if TYPE_CHECKING:
    from unweave.studies.registry import Study

GROWTH_GB = 0.5
"""A worker that holds so much more memory than after its first job is replaced."""
MOST_JOBS = 200
_DRIVERS = {"agent": ("unweave.lab.agent.job", "run_agent"), "sweep": ("unweave.lab.sweeps.sweep", "run_sweep")}
"""What does a job that is no study but submits others."""


class Surroundings:
    """What a job may change for those after it in the same process, and how it is put back."""

    def __init__(self, environment: dict[str, Any]) -> None:
        self.environment = environment
        """The code, libraries and machine; of when this process began, since that is the code that it runs."""
        self.variables = dict(os.environ)
        self.filters: list[Any] = list(warnings.filters)
        self.folder = os.getcwd()
        self.jobs = 0
        self.first_gb: float | None = None
        self.meter = Meter()
        self.become_parent_of_orphans()

    def prepare(self, order: dict[str, Any]) -> None:
        """The state that every job starts in, whatever ran before it."""
        from unweave.studies.discover import forget_sources

        # Each run has its own copy of a person's file, and agents and sweeps load theirs themselves.
        forget_sources()
        os.environ.clear()
        os.environ.update(self.variables)
        warnings.resetwarnings()
        warnings.filters.extend(self.filters)  # type: ignore[attr-defined]
        # Another machine need not have the submitter's folder.
        os.chdir(order["start_in"] if os.path.isdir(order["start_in"]) else self.folder)
        random.seed(0)
        numpy.random.seed(0)  # noqa: NPY002  the generator that a study shares with other libraries
        if order["gpu_gb"]:
            import torch
        torch = loaded_torch()
        if torch is not None:
            torch.manual_seed(0)
            torch.set_default_dtype(torch.float32)
            torch.set_grad_enabled(True)
            torch.set_num_threads(order["threads"])
            torch.use_deterministic_algorithms(False)
            if torch.cuda.is_initialized() or (order["gpu_gb"] and torch.cuda.is_available()):
                limit_gpu(torch, order["gpu_gb"])

    def study(self, name: str, source: str | None) -> Study:
        """The study of that name; of the file ``source`` where one is given."""
        from unweave.studies.discover import load_source
        from unweave.studies.registry import find_study

        if source is not None:
            load_source(source)
        return find_study(name)

    def worn(self) -> str | None:
        """Why this process should serve no further job; None while it may."""
        left = children(os.getpid())
        for child in left:
            end_family(child)
        self._collect()
        held = self.meter.resident_gb()
        self.jobs += 1
        if self.first_gb is None:
            self.first_gb = held
        if left:
            return f"the study left {len(left)} process{'es' * (len(left) > 1)} running, which were ended"
        if held > self.first_gb + GROWTH_GB:
            return f"it holds {held:.1f} GB, and {self.first_gb:.1f} GB after its first job"
        return f"it has done {self.jobs} jobs" if self.jobs >= MOST_JOBS else None

    def become_parent_of_orphans(self) -> None:
        """Makes this process the parent of what its children leave behind, daemons too, where the system can (Linux).

        When memory runs out, the system is asked to end this process before the scheduler or a desktop.
        """
        if not sys.platform.startswith("linux"):
            return
        import ctypes

        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("500", encoding="ascii")

    def _collect(self) -> None:
        if hasattr(os, "WNOHANG"):
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass


def limit_gpu(torch: Any, gb: float) -> None:
    """Lets torch hold so much of each GPU in this process; 0 is no limit. Beyond it torch is out of memory."""
    for index in range(torch.cuda.device_count()):
        total = torch.cuda.get_device_properties(index).total_memory
        torch.cuda.set_per_process_memory_fraction(min(gb * GB / total, 1.0) if gb else 1.0, index)


def run_work(order: dict[str, Any], surroundings: Surroundings, began: Callable[[], None]) -> dict[str, Any]:
    """Does one job to its end: ``status``, ``note``, ``usage``, and ``worn``, why the worker should be replaced."""
    folder = Path(order["folder"])
    surroundings.meter.start(folder, order["used"])
    worn = None
    try:
        with Log(folder / "log.txt", LOG_BYTES) as log, surroundings.meter.watching(log):
            status, note, usage = _ended(order, folder, surroundings, began)
            worn = surroundings.worn()
            if worn and "left" in worn:
                log.add(f"{worn[0].upper()}{worn[1:]}.")
    except (UnweaveError, OSError) as error:
        # The run's folder cannot be read or written, so the scheduler is told what it would have said.
        status, note, usage = "failed", first_line(error), surroundings.meter.used()
    return {"status": status, "note": note, "usage": usage, "worn": worn}


def _ended(
    order: dict[str, Any], folder: Path, surroundings: Surroundings, began: Callable[[], None]
) -> tuple[str, str | None, dict[str, float]]:
    progress = FileProgress(folder / "progress.json")
    run = Run.open(folder, progress)
    if run.status in ENDINGS and run.status != "interrupted":
        return _word(run)
    run.measure = surroundings.meter.used
    if order["sandboxed"]:
        _take_what_is_left(order, folder)
    remove_partial(folder / "run.json")
    run.begin(surroundings.environment)
    began()
    try:
        with run, stopped_by_signal(run):
            surroundings.prepare(order)
            try:
                _function(order, run, surroundings)()
            except Exception as error:
                if order["gpu_gb"] and type(error).__name__ == "OutOfMemoryError":
                    note = f"stopped at its limit gpu_gb={order['gpu_gb']:g}: {first_line(error)}"
                    raise UnweaveError(note) from error
                raise
    except BaseException as error:
        # The folder has recorded it; a person who reads the log wants to know where it happened.
        if not isinstance(error, RunCancelled):
            traceback.print_exc()
    progress.flush()
    if run.status == "running":
        run.finish("interrupted", "stopped while it wrote how it ended")
    return _word(run)


def _take_what_is_left(order: dict[str, Any], folder: Path) -> None:
    from unweave.lab.sandbox.collect import collect_left
    from unweave.lab.sandbox.study import limits_of

    limits = limits_of(Needs.from_json(order["needs"]), order["given"])
    for line in collect_left(Path(order["lab"]) / ".lab", folder, limits):
        print(f"left out: {line}")


def _word(run: Run) -> tuple[str, str | None, dict[str, float]]:
    state = run.state()
    return str(state["status"]), state.get("note"), state.get("usage") or {}


def _function(order: dict[str, Any], run: Run, surroundings: Surroundings) -> Callable[[], Any]:
    if order["kind"] in _DRIVERS:
        module, name = _DRIVERS[order["kind"]]
        drive = getattr(import_module(module), name)
        return lambda: drive(Path(order["lab"]), run)
    if order["sandboxed"]:
        from unweave.lab.sandbox.work import run_sandboxed

        needs = Needs.from_json(order["needs"])
        home = Path(order["lab"]) / ".lab"
        return lambda: run_sandboxed(run, Path(order["source"]), needs, order["given"], home)
    study = surroundings.study(run.study, order["source"])
    config = study.configure(run.config)
    return lambda: study.function(config, run=run)


@contextlib.contextmanager
def stopped_by_signal(run: Run) -> Iterator[None]:
    """SIGTERM ends the study as a cancelled run where it was cancelled, else as an interrupted one."""
    if not hasattr(signal, "SIGTERM") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: Any) -> None:
        if run.cancelled():
            raise RunCancelled(f"run {run.id!r} was cancelled: what it finished is kept, and it can be resumed")
        raise KeyboardInterrupt("stopped by the queue")

    before = signal.signal(signal.SIGTERM, stop), signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before[0])
        signal.signal(signal.SIGINT, before[1])
