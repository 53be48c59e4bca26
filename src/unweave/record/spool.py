"""What a run logs to: one file a process, of one JSON record a line, with a handle that stays open."""

from __future__ import annotations

import json
import os
import platform
import re
import threading
from collections import OrderedDict
from heapq import merge
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unweave.base.errors import UnweaveError, oserror_line
from unweave.record import jsonl

if TYPE_CHECKING:
    from collections.abc import Sequence

FIRST = "metrics.jsonl"
_MOST_OPEN = 64
_LOCK = threading.Lock()
_OPEN: OrderedDict[str, Spool] = OrderedDict()


class Spool:
    """A file that only this process adds to, in any of its threads.

    A line is handed to the operating system before ``append`` returns, so that it outlives a process that is killed.
    It is not forced onto the disk: a power cut may take the last seconds.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._descriptor: int | None = None
        self._file = (0, 0)
        self._end = 0

    def append(self, record: dict[str, Any]) -> None:
        """Adds one line. Raises ``UnweaveError`` when it cannot be written, and then leaves the file as it was."""
        line = json.dumps(record, ensure_ascii=True, allow_nan=False).encode("ascii") + b"\n"
        with self._lock:
            try:
                descriptor = self._ready()
                jsonl.write_line(descriptor, line, self._end)
                self._end += len(line)
            except OSError as error:
                raise _gone(error, self.path) from error

    def close(self) -> None:
        """Closes the handle; the next ``append`` opens another."""
        with self._lock:
            self._close()

    def __del__(self) -> None:
        self._close()

    def _ready(self) -> int:
        try:
            found = os.stat(self.path)
        except FileNotFoundError:
            found = None
        if self._descriptor is not None and found is not None and (found.st_dev, found.st_ino) == self._file:
            if found.st_size != self._end:
                self._end = jsonl.cut_torn_line(self._descriptor)
            return self._descriptor
        self._close()
        # Not closed by the garbage collector, and not inherited by programs that this one starts.
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
        descriptor = self._descriptor = os.open(self.path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)
        opened = os.fstat(descriptor)
        self._file, self._end = (opened.st_dev, opened.st_ino), jsonl.cut_torn_line(descriptor)
        return descriptor

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def append(path: Path, record: dict[str, Any]) -> None:
    """Adds one line to the spool at ``path``, whose folder must exist."""
    key = os.path.abspath(path)
    with _LOCK:
        spool = _OPEN.get(key)
        if spool is None:
            spool = _OPEN[key] = Spool(Path(key))
        _OPEN.move_to_end(key)
        stale = [_OPEN.popitem(last=False)[1] for _ in range(len(_OPEN) - _MOST_OPEN)]
    for unused in stale:
        unused.close()
    spool.append(record)


def close(folder: Path) -> None:
    """Closes this process's handles on spools in ``folder``."""
    inside = os.path.join(os.path.abspath(folder), "")
    with _LOCK:
        found = [_OPEN.pop(key) for key in list(_OPEN) if key.startswith(inside)]
    for spool in found:
        spool.close()


def own_name() -> str:
    """The file of a process that joined a run: ``metrics.<host>-<process id>.jsonl``."""
    host = re.sub(r"[^a-z0-9-]+", "-", platform.node().lower()).strip("-")[:60] or "host"
    return f"metrics.{host}-{os.getpid()}.jsonl"


def read(folder: Path) -> list[dict[str, Any]]:
    """The rows of all spools in ``folder``; see ``in_order``."""
    return in_order([jsonl.read(path) for path in paths(folder)])


def paths(folder: Path) -> list[Path]:
    """The spools in ``folder``, the first process's before the others'."""
    others = sorted(path for path in Path(folder).glob("metrics.*.jsonl") if path.name != FIRST)
    return [path for path in (Path(folder) / FIRST, *others) if path.exists()]


def in_order(spools: Sequence[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The rows of several spools by time.

    Rows of one spool stay in the order in which they were acknowledged, even where the clock was set back.
    """
    return list(merge(*spools, key=lambda row: str(row.get("time", ""))))


def _gone(error: OSError, path: Path) -> UnweaveError:
    if isinstance(error, FileNotFoundError):
        return UnweaveError(f"{path}: the run's folder is gone: it was moved or removed while the run worked")
    return oserror_line(error, path)


def _forget_handles() -> None:
    # A forked process has spools of its own, and a lock that another thread held at the fork would never be free.
    global _LOCK
    _LOCK = threading.Lock()
    for spool in _OPEN.values():
        spool._lock = threading.Lock()
        spool._close()
    _OPEN.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_handles)
