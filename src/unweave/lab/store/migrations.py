"""The schema as a list of small functions: number n brings version n to n + 1. A released one is never changed."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable


def _runs(connection: sqlite3.Connection) -> None:
    """An index of the run folders, which are the truth; the seals that finished runs had when first seen; the invalid.

    ``words`` is what a search reads, in folded case; ``stamp`` tells whether a folder's description was written anew.
    Seals and verdicts stay when a run's folder goes, and count again when it comes back.
    """
    connection.execute(
        """CREATE TABLE runs (
            id TEXT PRIMARY KEY, study TEXT NOT NULL, status TEXT NOT NULL, created TEXT NOT NULL, finished TEXT,
            seconds REAL, thread TEXT, job TEXT, person TEXT, note TEXT, headline TEXT, words TEXT NOT NULL,
            stamp INTEGER NOT NULL) STRICT"""
    )
    for column in ("created", "study", "status", "thread", "job"):
        connection.execute(f"CREATE INDEX runs_by_{column} ON runs ({column}, id)")
    connection.execute("CREATE TABLE seals (run TEXT PRIMARY KEY, digest TEXT NOT NULL, seen TEXT NOT NULL) STRICT")
    connection.execute("CREATE TABLE invalid (run TEXT PRIMARY KEY, reason TEXT NOT NULL, at TEXT NOT NULL) STRICT")


def _jobs(connection: sqlite3.Connection) -> None:
    """The queue. ``spec`` is the job as submitted; the other columns are what changes.

    ``ready`` is 0 while the process ``maker`` brings the run's folder in line with the row. ``revision`` counts changes
    over all rows, so that the scheduler reads only the rows that others changed.
    """
    connection.execute(
        """CREATE TABLE jobs (
            id TEXT PRIMARY KEY, number INTEGER NOT NULL UNIQUE, spec TEXT NOT NULL, study TEXT NOT NULL,
            state TEXT NOT NULL, priority INTEGER NOT NULL, attempt INTEGER NOT NULL DEFAULT 0,
            losses INTEGER NOT NULL DEFAULT 0, thread TEXT, person TEXT, wish TEXT, worker TEXT, usage TEXT, note TEXT,
            maker TEXT, ready INTEGER NOT NULL DEFAULT 0, revision INTEGER NOT NULL UNIQUE,
            submitted TEXT NOT NULL, started TEXT, ended TEXT) STRICT"""
    )
    connection.execute("CREATE INDEX jobs_by_state ON jobs (state, priority DESC, number)")
    connection.execute("CREATE INDEX jobs_by_study ON jobs (study, state, number)")
    connection.execute("CREATE INDEX jobs_by_thread ON jobs (thread, number)")
    connection.execute(
        """CREATE TABLE spending (
            account TEXT NOT NULL, resource TEXT NOT NULL, granted REAL, reserved REAL NOT NULL DEFAULT 0,
            spent REAL NOT NULL DEFAULT 0, PRIMARY KEY (account, resource)) STRICT"""
    )
    connection.execute(
        """CREATE TABLE reservations (
            id TEXT PRIMARY KEY, account TEXT NOT NULL, resource TEXT NOT NULL, amount REAL NOT NULL,
            process TEXT NOT NULL, made TEXT NOT NULL) STRICT"""
    )


def _people(connection: sqlite3.Connection) -> None:
    """Accounts by role, with a hash of each token; and who did what, which is only ever added to.

    ``chain`` is a hash over a deed and the chain of the one before it, so that a deed taken out or changed by other
    means shows.
    """
    connection.execute(
        """CREATE TABLE people (
            name TEXT PRIMARY KEY, role TEXT NOT NULL, token_hash TEXT UNIQUE, added TEXT NOT NULL) STRICT"""
    )
    connection.execute(
        """CREATE TABLE deeds (
            number INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, person TEXT NOT NULL, role TEXT NOT NULL,
            deed TEXT NOT NULL, subject TEXT NOT NULL, detail TEXT NOT NULL, chain TEXT NOT NULL) STRICT"""
    )
    for change in ("UPDATE", "DELETE"):
        connection.execute(
            f"CREATE TRIGGER deeds_no_{change.lower()} BEFORE {change} ON deeds "
            "BEGIN SELECT RAISE(ABORT, 'deeds are only ever added to'); END"
        )
    connection.execute("CREATE INDEX deeds_by_person ON deeds (person, number)")
    connection.execute("CREATE INDEX deeds_by_subject ON deeds (subject, number)")


def _threads(connection: sqlite3.Connection) -> None:
    """An index of the threads, and the length and last hash that each history had when last seen."""
    connection.execute(
        """CREATE TABLE threads (
            id TEXT PRIMARY KEY, question TEXT NOT NULL, state TEXT NOT NULL, author TEXT NOT NULL,
            created TEXT NOT NULL, changed TEXT NOT NULL, events INTEGER NOT NULL, runs INTEGER NOT NULL,
            head TEXT NOT NULL, links TEXT NOT NULL, stamp TEXT NOT NULL, broken TEXT) STRICT"""
    )


MIGRATIONS: tuple[Callable[[sqlite3.Connection], None], ...] = (_runs, _jobs, _people, _threads)
