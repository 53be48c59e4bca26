"""The lab's SQLite file: one writer at a time under a lock, readers beside it, migrations that run once."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unweave.base.errors import UnweaveError
from unweave.base.files import sole_writer
from unweave.lab.store.migrations import MIGRATIONS

WRITE_SECONDS = 60.0


class Database:
    """Opens (and makes) the file, bringing its schema up to date.

    ``write`` is a transaction that holds a lock between processes, so that SQLite itself is never busy; ``read`` sees
    the last finished transaction and waits for nobody. Raises ``UnweaveError`` for a file of a newer schema.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._local = threading.local()
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self.path.exists():
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
        self._migrate()

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all of the block or, after an exception, nothing of it."""
        with sole_writer(self.path, WRITE_SECONDS):
            connection = self._connection()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    def read(self, query: str, values: Sequence[Any] | dict[str, Any] = ()) -> list[sqlite3.Row]:
        """The rows of one query."""
        return self._connection().execute(query, values).fetchall()

    def close(self) -> None:
        """Closes this thread's connection."""
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None

    def _connection(self) -> sqlite3.Connection:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(self.path, timeout=WRITE_SECONDS, isolation_level=None)
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute("PRAGMA foreign_keys=ON")
            connection.execute("PRAGMA trusted_schema=OFF")
            self._local.connection = connection
        return connection

    def _migrate(self) -> None:
        newest = len(MIGRATIONS)
        if self._version() == newest:
            return
        with sole_writer(self.path, WRITE_SECONDS):
            version = self._version()
            if version > newest:
                raise UnweaveError(
                    f"{self.path} has schema {version}, and this unweave knows up to {newest}: use a newer unweave"
                )
            connection = self._connection()
            for number in range(version, newest):
                connection.execute("BEGIN IMMEDIATE")
                try:
                    MIGRATIONS[number](connection)
                    connection.execute(f"PRAGMA user_version={number + 1}")
                except BaseException:
                    connection.execute("ROLLBACK")
                    raise
                connection.execute("COMMIT")

    def _version(self) -> int:
        return int(self._connection().execute("PRAGMA user_version").fetchone()[0])
