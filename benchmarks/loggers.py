"""Trackers that ``lab.py`` measures, each doing the same: a run in one project on this disk, and rows of three numbers.

A process of its own for each run: ``python benchmarks/loggers.py NAME FOLDER CALLS`` says ``ready``, waits for a line,
logs, ends its run, and prints what it took as JSON.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from typing import Any

PROJECT = "bench"
INSTALL = {"mlflow": "pip install mlflow-skinny sqlalchemy alembic sqlparse", "trackio": "pip install trackio"}
Log = Callable[[dict[str, float], int], object]


def row(step: int) -> dict[str, float]:
    return {"loss": 1.0 / (step + 1), "accuracy": step / 1000.0, "rate": 1e-3}


class Unweave:
    """``unweave.init``, ``log``, ``finish``: a run folder for each process, each with a file of rows."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "runs"

    def prepare(self) -> None:
        self.root.mkdir(parents=True)

    def begin(self) -> Log:
        import unweave

        unweave.init(project=PROJECT, dir=self.root)
        return unweave.log

    def end(self) -> None:
        import unweave

        unweave.finish()

    def stored(self) -> int:
        from unweave.record import list_runs

        return sum(len(run.metrics()) for run in list_runs(self.root))


class UnweaveOneRun(Unweave):
    """The same, all processes in one run."""

    def prepare(self) -> None:
        from unweave.record import Run

        super().prepare()
        self.run = Run.create("tracked", {}, self.root, "shared")

    def begin(self) -> Log:
        from unweave.record import Run

        run = Run.join(self.root / "shared")
        return lambda metrics, step: run.log(step, **metrics)

    def end(self) -> None:
        pass


class MLflow:
    """MLflow's SQLite store: ``start_run``, ``log_metrics``, ``end_run``."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "mlflow.db"
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{self.file}"

    def prepare(self) -> None:
        import mlflow

        self.file.parent.mkdir(parents=True)
        # Makes the database, so that the processes do not race to migrate it.
        mlflow.create_experiment(PROJECT)

    def begin(self) -> Log:
        import mlflow

        mlflow.set_experiment(PROJECT)
        mlflow.start_run()
        return lambda metrics, step: mlflow.log_metrics(metrics, step=step)

    def end(self) -> None:
        import mlflow

        mlflow.end_run()

    def stored(self) -> int:
        return _count(self.file, "SELECT count(*) FROM metrics") // len(row(0))


class Trackio:
    """trackio on this machine: ``init``, ``log``, ``finish``; ``log`` hands the row to a thread."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "trackio"
        os.environ["TRACKIO_DIR"] = str(self.folder)

    def prepare(self) -> None:
        self.folder.mkdir(parents=True)

    def begin(self) -> Log:
        import trackio

        trackio.init(PROJECT, embed=False, auto_log_gpu=False, auto_log_cpu=False)
        return lambda metrics, step: trackio.log(metrics, step=step)

    def end(self) -> None:
        import trackio

        trackio.finish()

    def stored(self) -> int:
        files = list(self.folder.glob(f"{PROJECT}*.db"))
        return sum(_count(file, "SELECT count(*) FROM metrics") for file in files)


LOGGERS: dict[str, type[Any]] = {
    "unweave": Unweave,
    "unweave, one run": UnweaveOneRun,
    "mlflow": MLflow,
    "trackio": Trackio,
}


def absent() -> dict[str, str]:
    """Libraries that are not installed, with how to."""
    return {name: how for name, how in INSTALL.items() if find_spec(name) is None}


def log_rows(log: Log, calls: int) -> dict[str, Any]:
    """Seconds of every call, reduced; an exception is counted, as a training loop would be ended by it."""
    seconds, errors = [], []
    started = time.perf_counter()
    for step in range(calls):
        metrics = row(step)
        before = time.perf_counter()
        try:
            log(metrics, step)
        except Exception as error:
            errors.append(f"{type(error).__name__}: {error}".splitlines()[0])
        seconds.append(time.perf_counter() - before)
    ordered = sorted(seconds)
    return {
        "loop_s": time.perf_counter() - started,
        "median_us": 1e6 * ordered[len(ordered) // 2],
        "p99_us": 1e6 * ordered[int(0.99 * len(ordered))],
        "max_us": 1e6 * ordered[-1],
        "errors": len(errors),
        "first_error": errors[0][:200] if errors else None,
    }


def _count(file: Path, query: str) -> int:
    connection = sqlite3.connect(file)
    try:
        return int(connection.execute(query).fetchone()[0])
    finally:
        connection.close()


def main() -> None:
    name, folder, calls = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    with redirect_stdout(sys.stderr):
        logger = LOGGERS[name](folder)
        log = logger.begin()
        log(row(0), 0)
    print("ready", flush=True)
    sys.stdin.readline()
    with redirect_stdout(sys.stderr):
        started = time.perf_counter()
        found = log_rows(log, calls)
        logger.end()
        found["seconds"] = time.perf_counter() - started
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
