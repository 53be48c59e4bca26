"""A run that a training script logs to: it never raises into the script, and says at the end what was lost."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, ClassVar

from unweave.base.errors import first_line
from unweave.base.terminal import one_line
from unweave.lab import ranks
from unweave.lab.mirrors import Mirror
from unweave.lab.tracked_row import flat_row, plain_settings
from unweave.record.run import Run
from unweave.record.table import Table


def said(line: str) -> None:
    """One line on standard error, if there is one: a warning would be an error where warnings are."""
    with suppress(Exception):
        print(f"unweave: {one_line(line)}", file=sys.stderr, flush=True)


class Settings(dict[str, Any]):
    """A run's config: items that are attributes too. What a script changes is recorded at once."""

    run: Run | None = None

    def __init__(self, settings: Any = None) -> None:
        super().__init__(plain_settings(settings) if settings is not None else {})

    def update(self, settings: Any = None, /, allow_val_change: bool = True, **others: Any) -> None:  # type: ignore[override]
        """Changes several; of a dictionary, a dataclass or parsed arguments. ``allow_val_change`` is taken as True."""
        super().update(plain_settings({} if settings is None else settings) | plain_settings(others))
        self._record()

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(str(name), plain_settings({name: value})[str(name)])
        self._record()

    def __getattr__(self, name: str) -> Any:
        if name in self:
            return self[name]
        raise AttributeError(f"the config has no {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "run":
            super().__setattr__(name, value)
        else:
            self[name] = value

    def _record(self) -> None:
        if self.run is None:
            return
        try:
            self.run.reconfigure(dict(self))
        except Exception as error:  # the script goes on
            said(f"the config was not recorded: {first_line(error)}")


class Summary(dict[str, Any]):
    """One value a metric: the last that was logged, unless the script sets another."""


class TrackedRun:
    """What ``init`` returns. ``config`` and ``summary`` are dictionaries; as a context manager it ends the run.

    Without ``run`` it records nothing. ``joined`` is a process that logs to another one's run.
    """

    _warned: ClassVar[set[str]] = set()

    def __init__(
        self,
        run: Run | None,
        config: Settings,
        name: str,
        project: str,
        joined: bool = False,
        notes: str | None = None,
    ) -> None:
        self.name = name
        self.project = project
        self.config = config
        self.summary = Summary()
        self.mirrors: list[Mirror] = []
        self.lost = 0
        """Calls of ``log`` whose row could not be written."""
        self.logged = 0
        self._run = run
        self._ended = False
        self._notes = notes
        self._fault: str | None = None
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._presence = ranks.Presence(run) if joined and run is not None else None
        self._step = _next_step(run) if run is not None and not joined else 0
        if run is not None and not joined:
            config.run = run

    @property
    def id(self) -> str:
        """The folder's name; ``disabled`` where nothing is recorded."""
        return "disabled" if self._run is None else self._run.path.name

    @property
    def path(self) -> str | None:
        """The run's folder."""
        return None if self._run is None else str(self._run.path)

    @property
    def here(self) -> bool:
        """Whether this process began or joined the run, and did not inherit it by a fork."""
        return self._process == os.getpid()

    @classmethod
    def warn_once(cls, line: str) -> None:
        """Says a line that was not said before."""
        if line not in cls._warned:
            cls._warned.add(line)
            said(line)

    def log(self, data: Mapping[str, Any], step: int | None = None, commit: bool = True) -> None:
        """Adds a row: nested names joined by ``/``, tensors read, long lists summed up (see ``flat_row``).

        Without ``step`` rows are counted; ``commit=False`` lets the next row have the same step. It never raises and
        waits for nobody: a row that could not be written is counted, and the first one is told on standard error.
        """
        if self._run is None:
            return
        if self._ended:
            self.lost += 1
            self.warn_once(f"run {self.id} has ended: what is logged to it now is lost")
            return
        try:
            if not self.here:
                self._run = self._adopt(self._run)
            row, strange = flat_row(data)
            with self._lock:
                at = self._step if step is None else int(step)
                self._step = max(self._step, at + 1 if commit else at)
            self._run.log(at, **row)
            self.logged += 1
            self.summary.update(row)
            for mirror in self.mirrors:
                mirror.log(row, at)
            for name, kind in strange.items():
                self.warn_once(f"{name} is a {kind}, which has no place in a row of metrics: left out")
        except Exception as error:  # nothing that goes wrong here may end a training
            self.lost += 1
            if self._fault is None:
                self._fault = first_line(error)
                said(f"a row was not recorded: {self._fault}; the program goes on, and finish says how many there were")

    def finish(self, exit_code: int | None = None) -> None:
        """Ends the run as finished, or as failed where ``exit_code`` is not 0, and keeps the summary as a table.

        Where other processes joined it, their ends are waited for, ten seconds at most. Rows that were lost are told.
        """
        if exit_code:
            self.end("failed", f"finished with exit code {exit_code}")
        else:
            self.end("finished", None)

    def end(self, status: str, note: str | None) -> None:
        """Ends the run with a status; does nothing after it has ended, and in a process that inherited it by a fork."""
        run, over = self._run, self._ended
        self._ended = True
        if run is None or over or not self.here:
            return
        self.config.run = None
        if self.lost:
            rows = f"{self.lost} of {self.lost + self.logged} rows were not recorded ({self._fault})"
            said(rows)
            note = f"{note}; {rows}" if note else rows
        for mirror in self.mirrors:
            mirror.finish(status == "finished")
        if self._presence is not None:
            self._presence.end()
            return
        try:
            left = ranks.await_others(run)
            if left:
                said(f"{left} processes of run {run.id} had not finished, and what they log from now on is lost")
            ranks.retract(run)
            table = _summary_table(self.summary)
            if table is not None:
                run.save_table(table)
            run.finish(status, note or self._notes)
        except Exception as error:  # nothing that goes wrong here may end a program that is done
            said(f"the end of run {run.path.name} was not recorded: {first_line(error)}; it reads as interrupted")

    def __enter__(self) -> TrackedRun:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is None:
            self.finish()
        else:
            self.end("failed" if isinstance(error, Exception) else "interrupted", first_line(error))

    def __repr__(self) -> str:
        return f"TrackedRun({self.id})"

    def _adopt(self, run: Run) -> Run:
        """A forked process logs to a file of its own, and sends nothing to mirrors, whose threads it has not."""
        self._process, self._lock, self.mirrors = os.getpid(), threading.Lock(), []
        self.config.run = None
        joined = Run.join(run.path)
        self._presence = ranks.Presence(joined)
        return joined


def _next_step(run: Run) -> int:
    if not (run.path / "metrics.jsonl").exists():
        return 0
    steps = [row["step"] for row in run.metrics() if isinstance(row.get("step"), int)]
    return max(steps, default=-1) + 1


def _summary_table(summary: Mapping[str, Any]) -> Table | None:
    row, _ = flat_row(summary)
    numbers = {name: value for name, value in row.items() if isinstance(value, (int, float)) and value is not None}
    texts = {name: value for name, value in row.items() if isinstance(value, str)}
    if not numbers and not texts:
        return None
    records = [{"metric": name, "value": float(value)} for name, value in numbers.items()]
    records += [{"metric": name, "text": value} for name, value in texts.items()]
    return Table.from_records("summary", records, caption="Each metric's last value, or what the program set")
