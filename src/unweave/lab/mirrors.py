"""Mirrors: the rows of a tracked run sent on to another tracker, in a thread of its own that is never in the way."""

from __future__ import annotations

import os
import queue
import re
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, Protocol

from unweave.base.errors import UnweaveError, first_line, nearest
from unweave.base.settings import refuse_when_offline

WAITING_ROWS = 10_000
FINISH_SECONDS = 10.0
_BATCH = 200


@dataclass(frozen=True)
class Logged:
    """One row as a mirror gets it. ``time`` is in seconds since 1970."""

    row: Mapping[str, Any]
    step: int
    time: float = field(default_factory=time.time)


@dataclass(frozen=True)
class About:
    """What a mirror is told of the run when it starts."""

    id: str
    project: str
    name: str
    config: Mapping[str, Any]


class Sink(Protocol):
    """Another tracker's run."""

    def log(self, rows: Sequence[Logged]) -> None: ...

    def finish(self, finished: bool) -> None: ...


class Mirror:
    """Sends rows on from a queue of at most ``WAITING_ROWS``. What goes wrong is said once, and the run goes on."""

    def __init__(self, name: str, start: Callable[[], Sink], say: Callable[[str], None]) -> None:
        self.name = name
        self.dropped = 0
        self._say = say
        self._fault: str | None = None
        self._rows: queue.Queue[Logged | bool] = queue.Queue(WAITING_ROWS)
        self._thread = threading.Thread(target=self._work, args=(start,), name=f"unweave mirror {name}", daemon=True)
        self._thread.start()

    def log(self, row: Mapping[str, Any], step: int) -> None:
        """Queues a row, and returns at once; one that finds the queue full is dropped and counted."""
        if self._fault is not None:
            self.dropped += 1
            return
        try:
            self._rows.put_nowait(Logged(row, step))
        except queue.Full:
            self.dropped += 1

    def finish(self, finished: bool, seconds: float | None = None) -> None:
        """Waits until the rows are sent, but not for ever, and says how many were not."""
        until = time.monotonic() + (FINISH_SECONDS if seconds is None else seconds)
        while self._thread.is_alive() and time.monotonic() < until:
            try:
                self._rows.put(finished, timeout=0.05)
                break
            except queue.Full:
                continue
        self._thread.join(max(0.0, until - time.monotonic()))
        waiting = sum(isinstance(entry, Logged) for entry in list(self._rows.queue))
        missing = self.dropped + waiting
        if self._thread.is_alive() and self._fault is None:
            self._say(f"mirror {self.name} did not finish in time: {missing} rows or more are missing there")
        elif missing:
            self._say(f"mirror {self.name}: {missing} rows are missing there")

    def _work(self, start: Callable[[], Sink]) -> None:
        try:
            sink = start()
            while True:
                rows, end = self._next()
                if rows:
                    sink.log(rows)
                if end is not None:
                    sink.finish(end)
                    return
        except BaseException as error:  # a library may even try to end the program
            self._fault = first_line(error)
            self._say(f"mirror {self.name} stopped: {type(error).__name__}: {self._fault}; the run itself goes on")

    def _next(self) -> tuple[list[Logged], bool | None]:
        rows: list[Logged] = []
        entry = self._rows.get()
        while isinstance(entry, Logged):
            rows.append(entry)
            if len(rows) == _BATCH:
                return rows, None
            try:
                entry = self._rows.get_nowait()
            except queue.Empty:
                return rows, None
        return rows, entry


def open_mirrors(names: str | Sequence[str], about: About, say: Callable[[str], None]) -> list[Mirror]:
    """Starts the mirrors of these names.

    Raises ``UnweaveError`` before any starts, for an unknown name, a library that is not installed, and one that would
    need the network while that is forbidden.
    """
    wanted = [names] if isinstance(names, str) else list(names)
    for name in wanted:
        if name not in _MIRRORS:
            raise UnweaveError(f"there is no mirror {name!r}; {nearest(name, _MIRRORS)}")
        module, package, network, _ = _MIRRORS[name]
        if find_spec(module) is None:
            raise UnweaveError(f"mirror {name!r} needs a library that is not installed: pip install {package}")
        if network():
            refuse_when_offline(f"mirror {name!r}")
    return [Mirror(name, lambda name=name: _MIRRORS[name][3](about), say) for name in wanted]


class _MLflow:
    def __init__(self, about: About) -> None:
        from mlflow.entities import Param  # type: ignore[import-not-found]
        from mlflow.tracking import MlflowClient  # type: ignore[import-not-found]

        self.client = MlflowClient()
        known = self.client.get_experiment_by_name(about.project)
        experiment = known.experiment_id if known else self.client.create_experiment(about.project)
        run = self.client.create_run(experiment, run_name=about.name, tags={"unweave.run": about.id})
        self.run = run.info.run_id
        params = [Param(_mlflow_name(name), str(value)[:6000]) for name, value in about.config.items()]
        for start in range(0, len(params), 100):
            self.client.log_batch(self.run, params=params[start : start + 100])

    def log(self, rows: Sequence[Logged]) -> None:
        from mlflow.entities import Metric  # type: ignore[import-not-found]

        metrics = [
            Metric(_mlflow_name(name), float(value), int(1000 * logged.time), logged.step)
            for logged in rows
            for name, value in _numbers(logged.row).items()
        ]
        for start in range(0, len(metrics), 1000):
            self.client.log_batch(self.run, metrics=metrics[start : start + 1000])

    def finish(self, finished: bool) -> None:
        self.client.set_terminated(self.run, "FINISHED" if finished else "FAILED")


class _Trackio:
    def __init__(self, about: About) -> None:
        import trackio  # type: ignore[import-not-found]

        self.run = trackio.init(
            about.project, name=about.id, config=dict(about.config), embed=False, auto_log_gpu=False, auto_log_cpu=False
        )

    def log(self, rows: Sequence[Logged]) -> None:
        for logged in rows:
            self.run.log({name: value for name, value in logged.row.items() if value is not None}, step=logged.step)

    def finish(self, finished: bool) -> None:
        self.run.finish()


class _WeightsAndBiases:
    def __init__(self, about: About) -> None:
        import wandb  # type: ignore[import-not-found]

        self.run = wandb.init(project=about.project, name=about.name, id=about.id, config=dict(about.config))

    def log(self, rows: Sequence[Logged]) -> None:
        for logged in rows:
            self.run.log(dict(logged.row), step=logged.step)

    def finish(self, finished: bool) -> None:
        self.run.finish(exit_code=0 if finished else 1)


def _numbers(row: Mapping[str, Any]) -> dict[str, float]:
    return {name: value for name, value in row.items() if isinstance(value, (bool, int, float))}


def _mlflow_name(name: str) -> str:
    return re.sub(r"[^\w\-. :/]", "_", name)[:250]


def _mlflow_network() -> bool:
    place = os.environ.get("MLFLOW_TRACKING_URI", "")
    if "mlflow" in sys.modules:
        # A script may have set it in the program.
        place = sys.modules["mlflow"].get_tracking_uri()
    return place.startswith(("http:", "https:", "databricks"))


def _trackio_network() -> bool:
    return any(os.environ.get(name) for name in ("TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL"))


def _wandb_network() -> bool:
    return os.environ.get("WANDB_MODE", "online") not in ("offline", "disabled", "dryrun")


_MIRRORS: dict[str, tuple[str, str, Callable[[], bool], Callable[[About], Sink]]] = {
    "mlflow": ("mlflow", "mlflow-skinny", _mlflow_network, _MLflow),
    "trackio": ("trackio", "trackio", _trackio_network, _Trackio),
    "wandb": ("wandb", "wandb", _wandb_network, _WeightsAndBiases),
}
