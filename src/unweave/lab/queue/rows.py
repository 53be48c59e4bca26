"""Jobs as rows of the lab's database."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from unweave.base.needs import Needs
from unweave.lab.queue.job import Job, State
from unweave.lab.store.database import Database

_SPEC = ("kind", "config", "given", "after", "retries", "account", "reserved", "source", "sandboxed", "folder")


def now() -> str:
    """The time as the lab writes it."""
    return datetime.now(UTC).isoformat()


def add_job(connection: sqlite3.Connection, job: Job, about: Mapping[str, Any], maker: Mapping[str, Any]) -> int:
    """Adds a job that is not ready yet, and returns its number. ``about`` is what else the run's folder is told."""
    spec = {name: getattr(job, name) for name in _SPEC} | {"needs": job.needs.to_json(), "about": dict(about)}
    number = int(connection.execute("SELECT COALESCE(MAX(number), 0) + 1 FROM jobs").fetchone()[0])
    columns = {
        "id": job.id,
        "number": number,
        "spec": json.dumps(spec),
        "study": job.study,
        "state": job.state,
        "priority": job.priority,
        "thread": job.thread,
        "person": job.person,
        "maker": json.dumps(dict(maker)),
        "submitted": job.submitted,
    }
    names = ", ".join(columns)
    connection.execute(
        f"INSERT INTO jobs ({names}, revision) "  # noqa: S608  the names are those above
        f"VALUES ({', '.join('?' * len(columns))}, (SELECT COALESCE(MAX(revision), 0) + 1 FROM jobs))",
        list(columns.values()),
    )
    return number


def change_spec(connection: sqlite3.Connection, job: Job) -> None:
    """Replaces what a job was submitted with: its needs, and what is set aside for it."""
    row = connection.execute("SELECT spec FROM jobs WHERE id = ?", (job.id,)).fetchone()
    spec = {**json.loads(row["spec"]), "needs": job.needs.to_json(), "given": job.given, "reserved": job.reserved}
    connection.execute("UPDATE jobs SET spec = ? WHERE id = ?", (json.dumps(spec), job.id))


def change_job(
    connection: sqlite3.Connection, job: str, states: Iterable[State] = (), only_ready: bool = False, **columns: Any
) -> bool:
    """Sets columns of one job; False, and nothing set, unless it is in one of ``states`` (any where none is given)."""
    values = [json.dumps(dict(value)) if isinstance(value, Mapping) else value for value in columns.values()]
    wanted = list(states)
    # The columns' names are this package's own.
    query = f"UPDATE jobs SET {', '.join(f'{name} = ?' for name in columns)}, revision = "  # noqa: S608
    query += "(SELECT MAX(revision) + 1 FROM jobs) WHERE id = ?"
    if wanted:
        query += f" AND state IN ({', '.join('?' * len(wanted))})"
    if only_ready:
        query += " AND ready = 1"
    return connection.execute(query, [*values, job, *wanted]).rowcount == 1


def newest(database: Database) -> int:
    """The number of the last change to any job: not SQLite's own count, which is of one connection's view of others."""
    return int(database.read("SELECT COALESCE(MAX(revision), 0) FROM jobs")[0][0])


def job_rows(database: Database, where: str = "1", values: Iterable[Any] = (), order: str = "number") -> list[Job]:
    """The jobs of which ``where`` is true."""
    query = f"SELECT * FROM jobs WHERE {where} ORDER BY {order}"  # noqa: S608  both are written in this package
    return [row_job(row) for row in database.read(query, list(values))]


def row_job(row: sqlite3.Row) -> Job:
    """The job in a row."""
    spec = json.loads(row["spec"])
    columns = ("id", "study", "state", "priority", "attempt", "losses", "thread", "person", "wish", "note", "number")
    return Job(
        run=row["id"],
        needs=Needs.from_json(spec["needs"]),
        given=tuple(spec["given"]),
        after=tuple(spec["after"]),
        **{name: spec[name] for name in _SPEC if name not in ("given", "after")},
        **{name: row[name] for name in (*columns, "submitted", "started", "ended")},
        usage=json.loads(row["usage"] or "{}"),
        worker=json.loads(row["worker"] or "{}"),
    )


def about_job(database: Database, job: str) -> dict[str, Any]:
    """What the run's folder is told of its job beside study and config."""
    return json.loads(database.read("SELECT spec FROM jobs WHERE id = ?", (job,))[0]["spec"])["about"]
