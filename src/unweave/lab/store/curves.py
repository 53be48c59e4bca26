"""What runs logged, as curves: read once, then only what was added, in as many points as fit a screen."""

from __future__ import annotations

import json
import math
import os
import threading
from array import array
from collections import OrderedDict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from unweave.base.errors import oserror_line
from unweave.record.run import Run
from unweave.record.spool import FIRST

KEPT_RUNS = 4
BYTES = 8 << 20


@dataclass(frozen=True)
class Curve:
    """One metric in buckets of consecutive rows: of each the last value, the lowest and the highest.

    ``at`` is the last row's step, or its number where rows have no step; ``seconds`` its time from the first row on.
    NaN stands for a value that was not finite.
    """

    name: str
    rows: int
    at: list[float]
    seconds: list[float]
    value: list[float]
    low: list[float]
    high: list[float]


@dataclass
class Column:
    """A metric's values, and the numbers of the rows that they stand in."""

    rows: array[int] = field(default_factory=lambda: array("I"))
    values: array[float] = field(default_factory=lambda: array("d"))


@dataclass
class Logged:
    """All rows of one run so far, by column."""

    steps: array[float] = field(default_factory=lambda: array("d"))
    seconds: array[float] = field(default_factory=lambda: array("d"))
    columns: dict[str, Column] = field(default_factory=dict)
    began: float | None = None
    stepped: bool = False

    def add(self, rows: Iterable[dict[str, Any]]) -> None:
        """Appends rows as they were logged; texts and lists are no curves and are left out."""
        for row in rows:
            number, step = len(self.steps), row.get("step")
            counted = isinstance(step, (int, float)) and not isinstance(step, bool)
            self.stepped |= counted
            self.steps.append(float(step) if counted else math.nan)  # type: ignore[arg-type]
            self.seconds.append(self._since(row.get("time")))
            for name, value in row.items():
                if name in ("time", "step") or not (value is None or isinstance(value, (int, float))):
                    continue
                column = self.columns.setdefault(name, Column())
                column.rows.append(number)
                column.values.append(math.nan if value is None else float(value))

    def curve(self, name: str, points: int) -> Curve:
        """The metric ``name`` in at most ``points`` buckets."""
        import numpy as np

        column = self.columns[name]
        count = len(column.rows)
        starts = np.unique(np.linspace(0, count, min(points, count), endpoint=False, dtype=np.int64))
        last = np.append(starts[1:], count) - 1
        rows = np.frombuffer(column.rows, dtype=np.uint32)
        values = np.frombuffer(column.values, dtype=np.float64)
        steps, seconds = (np.frombuffer(each, dtype=np.float64) for each in (self.steps, self.seconds))
        at = steps[rows[last]] if self.stepped else rows[last].astype(np.float64)
        # fmin and fmax pass over NaN, and are NaN where there is nothing else.
        low, high = np.fmin.reduceat(values, starts), np.fmax.reduceat(values, starts)
        listed = (at, seconds[rows[last]], values[last], low, high)
        return Curve(name, count, *(each.tolist() for each in listed))

    def _since(self, time: Any) -> float:
        try:
            now = datetime.fromisoformat(time).timestamp()
        except (TypeError, ValueError):
            return math.nan
        self.began = now if self.began is None else self.began
        return now - self.began


@dataclass
class _Kept:
    logged: Logged
    file: tuple[int, int]
    read: int


class Curves:
    """The logged rows of the runs that were last looked at, kept in memory. Used by several threads at once."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Path, _Kept] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, run: Run, names: Collection[str], points: int) -> tuple[Logged, list[Curve]]:
        """The run's rows, and its metrics of ``names`` (all where there are none) as curves."""
        with self._lock:
            logged = self._logged(run)
            wanted = [name for name in logged.columns if not names or name in names]
            return logged, [logged.curve(name, points) for name in wanted]

    def _logged(self, run: Run) -> Logged:
        if any(path.name != FIRST for path in run.path.glob("metrics.*.jsonl")):
            # Several processes logged: their rows are put in order of time, which later ones may change.
            logged = Logged()
            logged.add(run.metrics())
            return logged
        path = run.path / FIRST
        try:
            with open(os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0)), "rb") as file:
                return self._read_on(path, file)
        except FileNotFoundError:
            return Logged()
        except OSError as error:
            raise oserror_line(error, path) from error

    def _read_on(self, path: Path, file: Any) -> Logged:
        facts = os.fstat(file.fileno())
        kept = self._kept.get(path)
        if kept is None or kept.file != (facts.st_dev, facts.st_ino) or facts.st_size < kept.read:
            kept = self._kept[path] = _Kept(Logged(), (facts.st_dev, facts.st_ino), 0)
        self._kept.move_to_end(path)
        while len(self._kept) > KEPT_RUNS:
            self._kept.popitem(last=False)
        file.seek(kept.read)
        rest = b""
        while piece := file.read(BYTES):
            # The last line may still be in the making: it is left for the next time.
            whole, newline, rest = (rest + piece).rpartition(b"\n")
            kept.read += len(whole) + len(newline)
            kept.logged.add(_rows(whole))
        return kept.logged


def _rows(lines: bytes) -> Iterable[dict[str, Any]]:
    for line in lines.split(b"\n"):
        try:
            row = json.loads(line) if line else None
        except ValueError:
            continue
        if isinstance(row, dict):
            yield row
