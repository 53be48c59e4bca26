"""The schema as a list of small functions: number n brings version n to n + 1. A released one is never changed."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable


def _runs(connection: sqlite3.Connection) -> None:
    """An index of the run folders, which are the truth, and the seals that finished runs had when first seen."""
    connection.execute(
        """CREATE TABLE runs (
            id TEXT PRIMARY KEY, study TEXT NOT NULL, status TEXT NOT NULL, created TEXT NOT NULL, finished TEXT,
            thread TEXT, job TEXT, person TEXT, note TEXT, state TEXT NOT NULL, stamp INTEGER NOT NULL,
            valid INTEGER NOT NULL DEFAULT 1, invalid_reason TEXT) STRICT"""
    )
    for column in ("created", "study", "status", "thread"):
        connection.execute(f"CREATE INDEX runs_by_{column} ON runs ({column}, id)")
    connection.execute("CREATE TABLE seals (run TEXT PRIMARY KEY, digest TEXT NOT NULL, seen TEXT NOT NULL) STRICT")


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
    """Accounts by role, with a hash of each token; and who did what, which is only ever added to."""
    connection.execute(
        """CREATE TABLE people (
            name TEXT PRIMARY KEY, role TEXT NOT NULL, token_hash TEXT UNIQUE, added TEXT NOT NULL) STRICT"""
    )
    connection.execute(
        """CREATE TABLE deeds (
            number INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, person TEXT NOT NULL, role TEXT NOT NULL,
            deed TEXT NOT NULL, subject TEXT NOT NULL, detail TEXT NOT NULL) STRICT"""
    )


MIGRATIONS: tuple[Callable[[sqlite3.Connection], None], ...] = (_runs, _jobs, _people)
