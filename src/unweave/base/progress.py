"""Progress: one line that rewrites itself on a terminal, a line now and then in a log, a bar in a notebook."""

from __future__ import annotations

import sys
import time
from html import escape
from typing import Any, Protocol, TextIO

from unweave.base.terminal import one_line, printable


class Progress(Protocol):
    """What long work reports to. ``done`` and ``total`` are counts in the same unit."""

    def update(self, done: int, total: int, note: str = "") -> None: ...

    def say(self, line: str) -> None: ...


def usual_progress() -> Progress:
    """What a person who names no progress sees: a bar in a notebook, a line in interactive IPython, else nothing."""
    get_ipython = getattr(sys.modules.get("IPython"), "get_ipython", None)
    shell = get_ipython() if get_ipython is not None else None
    if shell is None:
        return Silent()
    return Notebook() if hasattr(shell, "kernel") else Terminal()


class Silent:
    """Reports nothing: the default of library functions that others call."""

    def update(self, done: int, total: int, note: str = "") -> None:
        del done, total, note

    def say(self, line: str) -> None:
        del line


class Terminal:
    """Writes to stderr, with the time left once there is something to reckon it from."""

    def __init__(self, title: str = "", stream: TextIO | None = None, log_every: float = 15.0) -> None:
        self.title = title
        self.stream = stream or sys.stderr
        self.log_every = log_every
        self.started = time.monotonic()
        self.first = self.done = self.total = 0
        self.last_written = 0.0
        self.open_line = False

    def update(self, done: int, total: int, note: str = "") -> None:
        now, rewrites = time.monotonic(), self._rewrites()
        if total != self.total or done < self.done:
            # Another piece of work has begun: its time left is reckoned from here.
            self.started, self.first, self.last_written = now, done, 0.0
        self.done, self.total = done, total
        finished = done >= total
        if not finished and now - self.last_written < (0.2 if rewrites else self.log_every):
            return
        self.last_written = now
        spent, made = now - self.started, done - self.first
        left = f", {clock(spent / made * (total - done))} left" if made > 0 and done < total and spent > 2 else ""
        title = f"{self.title} " if self.title else ""
        self._show(one_line(f"{title}{done}/{total} ({clock(spent)}{left}) {note}".rstrip()), finished)

    def _rewrites(self) -> bool:
        return self.stream.isatty()

    def _show(self, line: str, finished: bool) -> None:
        if self._rewrites():
            self.stream.write(f"\r\x1b[K{line}")
            self.open_line = True
            if finished:
                self._close_line()
        else:
            self.stream.write(line + "\n")
        self.stream.flush()

    def say(self, line: str) -> None:
        self._close_line()
        self.stream.write(printable(line) + "\n")
        self.stream.flush()

    def _close_line(self) -> None:
        if self.open_line:
            self.stream.write("\n")
            self.open_line = False


class Notebook(Terminal):
    """A bar with its line in the cell's output, for Jupyter; another piece of work gets a bar of its own."""

    def __init__(self, title: str = "") -> None:
        super().__init__(title, sys.stdout)
        self.shown: Any = None

    def update(self, done: int, total: int, note: str = "") -> None:
        if total != self.total or done < self.done:
            self.shown = None
        super().update(done, total, note)

    def _rewrites(self) -> bool:
        return True

    def _show(self, line: str, finished: bool) -> None:
        from IPython.display import display  # type: ignore[import-not-found]  # only a notebook comes here

        bar = f'<progress value="{self.done}" max="{self.total}" style="width: 16em"></progress> {escape(line)}'
        bundle = {"text/plain": line, "text/html": bar}
        if self.shown is None:
            self.shown = display(bundle, raw=True, display_id=True)
        else:
            self.shown.update(bundle, raw=True)
        if finished:
            self.shown = None


def clock(seconds: float) -> str:
    """``75`` -> ``1:15``; ``4000`` -> ``1:06:40``."""
    whole = int(seconds + 0.5)
    hours, rest = divmod(whole, 3600)
    minutes, seconds_left = divmod(rest, 60)
    return f"{hours}:{minutes:02d}:{seconds_left:02d}" if hours else f"{minutes}:{seconds_left:02d}"
