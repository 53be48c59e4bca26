"""Connections to one SQLite file: lent to one thread at a time, and never taken across a fork."""

from __future__ import annotations

import ctypes
import os
import sqlite3
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unweave.base.errors import UnweaveError

_ALL: weakref.WeakSet[Connections] = weakref.WeakSet()
_MOST_IDLE = 8


class Connections:
    """Opens connections as they are needed and keeps a few that are idle."""

    def __init__(self, path: Path, seconds: float) -> None:
        self.path = path
        self.seconds = seconds
        self._lock = threading.Lock()
        self._idle: list[sqlite3.Connection] = []
        self._lent: list[sqlite3.Connection] = []
        _ALL.add(self)

    @contextmanager
    def one(self) -> Iterator[sqlite3.Connection]:
        """A connection that no other thread uses until the block ends."""
        with self._lock:
            connection = self._idle.pop() if self._idle else None
        if connection is None:
            connection = self._opened()
        process = os.getpid()
        with self._lock:
            self._lent.append(connection)
        try:
            yield connection
        finally:
            # In a process forked inside the block it is the parent's.
            if process == os.getpid():
                with self._lock:
                    self._lent.remove(connection)
                    keep = len(self._idle) < _MOST_IDLE
                    if keep:
                        self._idle.append(connection)
                if not keep:
                    connection.close()

    def logs_ahead(self) -> bool:
        """Whether the file is in the mode in which readers wait for nobody, which it keeps."""
        with self.one() as connection, refused(self.path):
            return connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"

    def close(self) -> None:
        """Closes those that nobody uses at the moment."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _opened(self) -> sqlite3.Connection:
        with refused(self.path):
            connection = sqlite3.connect(
                self.path, timeout=self.seconds, isolation_level=None, check_same_thread=False, cached_statements=64
            )
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA foreign_keys=ON")
            connection.execute("PRAGMA trusted_schema=OFF")
        return connection

    def _abandon(self) -> None:
        self._lock = threading.Lock()
        for connection in (*self._idle, *self._lent):
            # Closing it here would remove the log under the parent, which has it open; so it must never be freed.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))
        self._idle, self._lent = [], []

    def __del__(self) -> None:
        self.close()


@contextmanager
def refused(path: Path) -> Iterator[None]:
    """Turns SQLite's errors into one line that names the file and the remedy; a broken constraint stays what it is."""
    try:
        yield
    except (sqlite3.IntegrityError, sqlite3.ProgrammingError):
        raise
    except sqlite3.Error as error:
        raise UnweaveError(f"{path}: {_remedy(error)}") from error


def _remedy(error: sqlite3.Error) -> str:
    said = str(error)
    code = getattr(error, "sqlite_errorname", "") or ""
    if code.startswith("SQLITE_FULL"):
        return "the disk is full: free some space; nothing of this change was written"
    if code.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return f"it is damaged ({said}): `unweave doctor --repair` makes it anew from the run folders"
    if code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_PROTOCOL")):
        return "another program than unweave holds it open to write: close that one and try again"
    if code.startswith("SQLITE_READONLY"):
        return "it cannot be written to: the file or its folder is read-only"
    if code.startswith("SQLITE_CANTOPEN"):
        return "it cannot be opened: check that it is a file, and its and its folder's permissions"
    if code.startswith("SQLITE_IOERR"):
        return f"the disk failed or is full ({said}): free some space or check the disk"
    return f"{said}: if this stays, `unweave doctor` looks for the cause"


def _after_fork() -> None:
    for connections in list(_ALL):
        connections._abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
