"""What others can see of a run while it goes on: ``progress.json``, and ``log.txt`` with what the study prints."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path

from unweave.base.secrets import scrub_file
from unweave.base.terminal import printable

LOG_BYTES = 10_000_000
EVERY = 0.2
"""Seconds between two writes of the progress."""


class FileProgress:
    """Writes ``progress.json``: {"done", "total", "note", "at"}. A crash may lose the last one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._last = 0.0
        self._unwritten: dict[str, object] | None = None

    def update(self, done: int, total: int, note: str = "") -> None:
        self._unwritten = {"done": done, "total": total, "note": note, "at": time.time()}
        now = time.monotonic()
        if now - self._last >= EVERY or done >= total:
            self._last = now
            self.flush()

    def say(self, line: str) -> None:
        print(printable(line), file=sys.stderr, flush=True)

    def flush(self) -> None:
        """Writes what was held back."""
        if self._unwritten is None:
            return
        temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        try:
            temporary.write_text(json.dumps(self._unwritten, default=str), encoding="utf-8")
            os.replace(temporary, self.path)
            self._unwritten = None
        except OSError:
            # A full disk is reported by what the study itself writes.
            return


class Log:
    """Standard output and error of this process go to a file while it is entered, up to ``limit`` bytes.

    The descriptors themselves are moved, so that libraries and child processes are heard, and the last words of a
    process that crashes are in the file.
    """

    def __init__(self, path: Path, limit: int) -> None:
        self.path = path
        self.limit = limit
        self.cut = False
        self._file = -1
        self._before: tuple[int, int] = (-1, -1)
        self._lock = threading.Lock()

    def __enter__(self) -> Log:
        sys.stdout.flush()
        sys.stderr.flush()
        self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        self._before = os.dup(1), os.dup(2)
        os.dup2(self._file, 1)
        os.dup2(self._file, 2)
        return self

    def add(self, line: str) -> None:
        """Adds a line of the lab's own."""
        os.write(self._file, f"{line}\n".encode())

    def hold_to_limit(self) -> None:
        """Cuts a log that has grown past its limit, says so in it, and lets nothing more in."""
        with self._lock:
            if self._file < 0 or os.fstat(self._file).st_size <= self.limit:
                return
            if not self.cut:
                nothing = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nothing, 1)
                os.dup2(nothing, 2)
                os.close(nothing)
                self.cut = True
            os.ftruncate(self._file, self.limit) if hasattr(os, "ftruncate") else os.truncate(self.path, self.limit)
            self.add(f"\n[the log was cut here, at {self.limit:,} bytes]")

    def __exit__(self, *_: object) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        self.hold_to_limit()
        with self._lock:
            os.dup2(self._before[0], 1)
            os.dup2(self._before[1], 2)
            for descriptor in (*self._before, self._file):
                os.close(descriptor)
            self._file = -1
        scrub_file(self.path)
