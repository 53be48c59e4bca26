"""The lab's SQLite file: one writer at a time under a lock, readers beside it, migrations that run once."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unweave.base.errors import UnweaveError, oserror_line
from unweave.base.files import atomic_path, sole_writer
from unweave.lab.store.connection import Connections, refused
from unweave.lab.store.migrations import MIGRATIONS

WRITE_SECONDS = 60.0


class Newer(UnweaveError):
    """The file was made or changed by a newer version of this package."""


class Database:
    """Opens (and makes) the file, bringing its schema up to date. Any thread may use it, and a forked process too.

    ``write`` is a transaction that holds a lock between processes, so that SQLite itself is never busy; ``read`` sees
    the last finished transaction and waits for nobody. In a folder that cannot be written to, a copy is read, and only
    what could be computed anew from the run folders is written, to the copy.
    Raises ``UnweaveError`` for a file of a newer schema, a damaged one, and a full disk.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.read_only = not _writable(self.path)
        self._file = self.path
        if self.read_only:
            self._file = self._copied()
        elif not self.path.exists():
            try:
                self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
            except OSError as error:
                raise oserror_line(error, self.path) from error
        self._connections = Connections(self._file, WRITE_SECONDS)
        self._writing = threading.local()
        self._migrate()

    @contextmanager
    def write(self, derived: bool = False) -> Iterator[sqlite3.Connection]:
        """A transaction: all of the block or, after an exception, nothing of it. Inside another one it joins that.

        It is on the disk when the block ends; what is ``derived`` from files, which a power cut may take back, is with
        the operating system.
        """
        if self.read_only and not derived:
            raise UnweaveError(f"{self.path} cannot be written to: the lab is open to read only")
        outer = self._outer()
        if outer is not None:
            yield outer
            return
        with sole_writer(self._file, WRITE_SECONDS), self._connections.one() as connection:
            with refused(self.path):
                connection.execute(f"PRAGMA synchronous={'NORMAL' if derived else 'FULL'}")
                connection.execute("BEGIN IMMEDIATE")
            try:
                self._refuse_newer(_version(connection))
                self._writing.now = (os.getpid(), connection)
                try:
                    with refused(self.path):
                        yield connection
                finally:
                    self._writing.now = None
                with refused(self.path):
                    connection.execute("COMMIT")
            except BaseException:
                # A full disk may have ended the transaction already.
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def read(self, query: str, values: Sequence[Any] | dict[str, Any] = ()) -> list[sqlite3.Row]:
        """The rows of one query; inside a ``write`` of this thread, with what that has written so far."""
        outer = self._outer()
        if outer is not None:
            return outer.execute(query, values).fetchall()
        with self._connections.one() as connection, refused(self.path):
            return connection.execute(query, values).fetchall()

    def version(self) -> int:
        """The schema that the file has now."""
        with self._connections.one() as connection, refused(self.path):
            return _version(connection)

    def problems(self) -> list[str]:
        """What SQLite's own check of the whole file finds; nothing in a sound one."""
        try:
            found = [str(row[0]) for row in self.read("PRAGMA integrity_check(20)")]
        except UnweaveError as error:
            return [str(error)]
        return [line for line in found if line != "ok"]

    def copy_to(self, path: Path) -> None:
        """Writes a whole copy, which is its owner's alone, while others go on reading and writing."""
        with atomic_path(path, private=True) as temporary, self._connections.one() as connection, refused(self.path):
            target = sqlite3.connect(temporary)
            try:
                connection.backup(target)
                # One file, with no log beside it that could be left behind.
                target.execute("PRAGMA journal_mode=DELETE")
            finally:
                target.close()

    def close(self) -> None:
        """Closes every connection that is not in use at the moment."""
        self._connections.close()

    def _outer(self) -> sqlite3.Connection | None:
        process, connection = getattr(self._writing, "now", None) or (0, None)
        return connection if process == os.getpid() else None

    def _migrate(self) -> None:
        newest = len(MIGRATIONS)
        version = self.version()
        self._refuse_newer(version)
        copy = self.path.parent / "backups" / f"{self.path.stem}-latest.db"
        if version == 0 and copy.exists():
            # To begin with nothing would hide that jobs and accounts are gone.
            raise UnweaveError(
                f"{self.path} is gone or empty: `unweave doctor --repair` makes it anew from {copy.name}"
            )
        if version == newest and self._connections.logs_ahead():
            return
        with sole_writer(self._file, WRITE_SECONDS):
            version = self.version()
            self._refuse_newer(version)
            if 0 < version < newest and not self.read_only:
                self.copy_to(self.path.parent / "backups" / f"{self.path.stem}-{version}.db")
            with self._connections.one() as connection, refused(self.path):
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute("PRAGMA synchronous=FULL")
                for number in range(version, newest):
                    connection.execute("BEGIN IMMEDIATE")
                    try:
                        MIGRATIONS[number](connection)
                        connection.execute(f"PRAGMA user_version={number + 1}")
                        connection.execute("COMMIT")
                    except BaseException:
                        if connection.in_transaction:
                            connection.execute("ROLLBACK")
                        raise

    def _refuse_newer(self, version: int) -> None:
        if version > len(MIGRATIONS):
            raise Newer(
                f"{self.path} has schema {version}, and this unweave knows up to {len(MIGRATIONS)}: use a newer unweave"
                f", or put back a copy from {self.path.parent / 'backups'}"
            )

    def _copied(self) -> Path:
        """A copy in a temporary folder, because SQLite reads no file with a log beside it in a read-only folder."""
        folder = Path(tempfile.mkdtemp(prefix="unweave-lab-"))
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        for suffix in ("", "-wal"):
            source = self.path.with_name(self.path.name + suffix)
            try:
                if source.exists():
                    shutil.copyfile(source, folder / source.name)
            except OSError as error:
                raise oserror_line(error, source) from error
        return folder / self.path.name


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _writable(path: Path) -> bool:
    """Whether the file, and the folder that SQLite keeps its log in, can be written to, or made."""
    if path.exists() and not os.access(path, os.W_OK):
        return False
    nearest = next(folder for folder in path.absolute().parents if folder.exists())
    return os.access(nearest, os.W_OK | os.X_OK)
