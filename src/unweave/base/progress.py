"""Progress on stderr: one line that rewrites itself on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import time
from typing import Protocol, TextIO


class Progress(Protocol):
    """What long work reports to. ``done`` and ``total`` are counts in the same unit."""

    def update(self, done: int, total: int, note: str = "") -> None: ...

    def say(self, line: str) -> None: ...


class Silent:
    """Reports nothing: the default of every library function."""

    def update(self, done: int, total: int, note: str = "") -> None:
        del done, total, note

    def say(self, line: str) -> None:
        del line


class Terminal:
    """Writes to stderr, with the time left once a twentieth is done."""

    def __init__(self, title: str = "", stream: TextIO | None = None, log_every: float = 15.0) -> None:
        self.title = title
        self.stream = stream or sys.stderr
        self.log_every = log_every
        self.started = time.monotonic()
        self.last_written = 0.0
        self.open_line = False

    def begin(self, title: str) -> Terminal:
        """Starts a new piece of work under the same stream."""
        self._close_line()
        self.title, self.started, self.last_written = title, time.monotonic(), 0.0
        return self

    def update(self, done: int, total: int, note: str = "") -> None:
        if done <= 1:
            self.started = min(self.started, time.monotonic()) if done else time.monotonic()
        now, tty = time.monotonic(), self.stream.isatty()
        finished = done >= total
        if not finished and now - self.last_written < (0.2 if tty else self.log_every):
            return
        self.last_written = now
        spent = now - self.started
        left = f", {clock(spent / done * (total - done))} left" if 0 < done < total and done * 20 >= total else ""
        line = f"{self.title} {done}/{total} ({clock(spent)}{left}) {note}".rstrip()
        if tty:
            self.stream.write(f"\r\x1b[K{line}")
            self.open_line = True
            if finished:
                self._close_line()
        else:
            self.stream.write(line + "\n")
        self.stream.flush()

    def say(self, line: str) -> None:
        self._close_line()
        self.stream.write(line + "\n")
        self.stream.flush()

    def _close_line(self) -> None:
        if self.open_line:
            self.stream.write("\n")
            self.open_line = False


def clock(seconds: float) -> str:
    """``75`` -> ``1:15``; ``4000`` -> ``1:06:40``."""
    whole = int(seconds + 0.5)
    hours, rest = divmod(whole, 3600)
    minutes, seconds_left = divmod(rest, 60)
    return f"{hours}:{minutes:02d}:{seconds_left:02d}" if hours else f"{minutes}:{seconds_left:02d}"
