"""The lab's database when something happened to it: a copy to go back to, and what can be read from a damaged one."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unweave.base.errors import UnweaveError, oserror_line
from unweave.base.files import sole_writer
from unweave.lab.store.database import WRITE_SECONDS, Database, Newer
from unweave.lab.store.finding import Finding, set_aside

if TYPE_CHECKING:
    from unweave.lab.lab import Lab

# What is read from the run folders again.
_DERIVED = ("runs",)
_SIDES = ("-wal", "-shm")


def backup(lab: Lab, out: Path | None = None) -> Path:
    """Writes a copy of the lab's database, ``.lab/backups/lab-latest.db`` by default; the one before it is kept too."""
    if out is not None:
        if out.exists():
            raise UnweaveError(f"{out} already exists: choose another name")
        lab.database.copy_to(out)
        return out
    latest = lab.home / "backups" / "lab-latest.db"
    fresh = latest.with_name("lab-next.db")
    lab.database.copy_to(fresh)
    try:
        if latest.exists():
            os.replace(latest, latest.with_name("lab-previous.db"))
        os.replace(fresh, latest)
    except OSError as error:
        raise oserror_line(error, latest) from error
    return latest


def restore(lab: Lab, source: Path) -> None:
    """Puts a copy in the place of the lab's database, which is set aside."""
    wrong = _problems(Path(source))
    if wrong:
        raise UnweaveError(f"{source} is not a sound copy of a lab's database: {wrong}")
    _replace(lab, [Path(source)])


def examine_database(lab: Lab, repair: bool) -> Iterator[Finding]:
    """A database that is gone, does not open or is damaged inside is made anew from what can still be read."""
    path = lab.home / "lab.db"
    try:
        found = lab.database.problems()
        wrong = f"the lab's database is damaged: {found[0]}" if found else ""
    except Newer as error:
        yield Finding("lab.db", str(error), False, "use a newer unweave")
        return
    except UnweaveError as error:
        wrong = str(error)
    if not wrong:
        return
    if not repair or not os.access(lab.home, os.W_OK):
        remedy = "`unweave doctor --repair` makes it anew from what can still be read"
        yield Finding("lab.db", wrong, False, remedy)
        return
    try:
        counts, kept = _replace(lab, [path] if path.exists() else [])
    except UnweaveError as error:
        yield Finding("lab.db", wrong, False, str(error))
        return
    said = ", ".join(f"{table} {count}" for table, count in counts.items() if count) or "none"
    where = f"; what was there is {kept.relative_to(lab.root).as_posix()}" if kept is not None else ""
    remedy = f"made anew; rows kept: {said}; the index was read from the run folders{where}; check the accounts"
    yield Finding("lab.db", wrong, True, remedy)


def _replace(lab: Lab, sources: list[Path]) -> tuple[dict[str, int], Path | None]:
    """A new database at the lab's place; what a source has lost of a table is looked for in the copies."""
    path = lab.home / "lab.db"
    lab.close()
    for name in ("database", "runs", "freshness"):
        lab.__dict__.pop(name, None)
    with (
        sole_writer(path, WRITE_SECONDS),
        tempfile.TemporaryDirectory(prefix=".repair.", suffix=".part", dir=lab.home) as folder,
    ):
        if _in_use(path):
            raise UnweaveError("another process has the lab open: stop servers, queues and agents, then repair again")
        database = Database(Path(folder) / "new.db")
        try:
            # Opening a file merges its log into it; the original stays as it is until it is replaced.
            copies = [_copied(source, Path(folder) / f"{number}.db") for number, source in enumerate(sources)]
            counts = _fill(database, [*copies, *_backups(lab)])
            wrong = database.problems()
            database.copy_to(Path(folder) / "whole.db")
        finally:
            database.close()
        if wrong:
            raise UnweaveError(f"what could be read of the database does not fit together: {wrong[0]}")
        kept = set_aside(lab.home, path, copy=True) if path.exists() else None
        for side in _SIDES:
            log = path.with_name(path.name + side)
            if log.exists() and kept is not None:
                # Beside another database it would be taken for that one's.
                os.replace(log, kept.with_name(kept.name + side))
        os.replace(Path(folder) / "whole.db", path)
    lab.runs.sync()
    return counts, kept


def _fill(database: Database, sources: list[Path]) -> dict[str, int]:
    """Adds each table's rows from the first source that has them all, and from those before it what they have."""
    counts: dict[str, int] = {}
    tables = [row["name"] for row in database.read("SELECT name FROM sqlite_master WHERE type = 'table'")]
    for table in tables:
        if table in _DERIVED or table.startswith("sqlite_"):
            continue
        counts[table] = 0
        for source in sources:
            added, whole = _copy_table(source, database, table)
            counts[table] += added
            if whole:
                break
    return counts


def _copy_table(source: Path, database: Database, table: str) -> tuple[int, bool]:
    """Adds rows of one table that are not there yet: how many, and whether the source has it undamaged."""
    wanted = [row["name"] for row in database.read(f'PRAGMA table_info("{table}")')]
    rows, names, whole = _rows(source, table, wanted)
    columns = ", ".join(f'"{name}"' for name in names)
    add = f'INSERT OR IGNORE INTO "{table}" ({columns}) VALUES ({", ".join("?" * len(names))})'  # noqa: S608
    with database.write() as connection:
        return sum(_added(connection, add, row) for row in rows), whole


def _rows(source: Path, table: str, wanted: list[str]) -> tuple[list[tuple[Any, ...]], list[str], bool]:
    """What can be read of a table: from one end to the damaged page, then from the other."""
    found: list[tuple[Any, ...]] = []
    names: list[str] = []
    try:
        with closing(_opened(source)) as old:
            there = [row[1] for row in old.execute(f'PRAGMA table_info("{table}")')]
            names = [name for name in wanted if name in there]
            columns = ", ".join(f'"{name}"' for name in names)
            for order in ("ASC", "DESC"):
                try:
                    for row in old.execute(f'SELECT {columns} FROM "{table}" NOT INDEXED ORDER BY rowid {order}'):  # noqa: S608
                        found.append(row)
                    return found, names, True
                except sqlite3.DatabaseError:
                    continue
    except sqlite3.Error:
        pass
    return found, names, False


def _added(connection: sqlite3.Connection, add: str, row: tuple[Any, ...]) -> int:
    try:
        return connection.execute(add, row).rowcount
    except sqlite3.IntegrityError:
        return 0  # a value that no such row can have


def _copied(source: Path, out: Path) -> Path:
    try:
        for side in ("", "-wal"):
            if source.with_name(source.name + side).exists():
                shutil.copyfile(source.with_name(source.name + side), out.with_name(out.name + side))
    except OSError as error:
        raise oserror_line(error, source) from error
    return out


def _backups(lab: Lab) -> list[Path]:
    """The copies that are kept, newest first."""
    return sorted((lab.home / "backups").glob("lab-*.db"), key=lambda path: path.stat().st_mtime, reverse=True)


def _in_use(path: Path) -> bool:
    """Whether another process has the file open: each of its connections holds SQLite's shared lock on these bytes."""
    try:
        import fcntl
    except ImportError:
        return False  # there the system lets nobody replace a file that is open
    if not path.exists():
        return False
    with open(path, "rb+") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 510, 0x40000002)
        except OSError:
            return True
    return False


def _problems(path: Path) -> str:
    """What is wrong with a copy of a lab's database; empty where nothing is."""
    try:
        with closing(_opened(path)) as connection:
            found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(5)")]
            tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.Error as error:
        return str(error)
    if found != ["ok"]:
        return found[0]
    return "" if {"runs", "jobs", "people"} <= tables else "it has no tables of runs, jobs and people"


def _opened(path: Path) -> sqlite3.Connection:
    try:
        if not path.is_file() or path.is_symlink():
            raise UnweaveError(f"{path} is not a file")
    except OSError as error:
        raise oserror_line(error, path) from error
    connection = sqlite3.connect(path, timeout=5, isolation_level=None)
    connection.text_factory = lambda content: content.decode("utf-8", "replace")
    return connection
