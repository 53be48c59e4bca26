"""The index of a lab's runs: listed, searched and counted without opening a folder, and renewed from the folders."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unweave.base.errors import UnweaveError, nearest
from unweave.base.files import read_json_inside
from unweave.lab.store.folders import Described, describe, folder_names, refuse_link, stamp_of, stamps
from unweave.lab.store.page import Counts, Page, RunRow, cursor_of, place_after
from unweave.record.about import check_id
from unweave.record.run import Run
from unweave.record.seal import check_seal

if TYPE_CHECKING:
    import sqlite3

    from unweave.lab.store.database import Database

# What a list can be sorted by, as the SQL that makes it so: nothing of a request becomes SQL.
_SORTS = {
    "created": "runs.created",
    "finished": "coalesce(runs.finished, '')",
    "id": "runs.id",
    "study": "runs.study",
    "status": "runs.status",
    "thread": "coalesce(runs.thread, '')",
    "seconds": "coalesce(runs.seconds, -1.0)",
}
_COLUMNS = (
    "id", "study", "status", "created", "finished", "seconds", "thread", "job", "person", "note", "headline", "words",
    "stamp",
)  # fmt: skip
_LIVE = ("running", "waiting", "paused")
MOST = 1000
"""Rows of one page."""
CHANGED = "changed after it finished: "
"""How the reason begins why a run is invalid that is not as it was sealed."""
TURN = 1000
"""Finished runs whose files' times are compared in one call; the first looks at all."""


class RunIndex:
    """The runs in ``root``. The folders are the truth: a lost index is made anew by ``sync``."""

    def __init__(self, root: Path, database: Database) -> None:
        self.root = Path(root)
        self.database = database
        self._turn: int | None = None

    def sync(self) -> int:
        """Reads the folders that are new or were written anew, and runs at work; returns how many rows changed.

        Finished runs, which nobody writes to, are all looked at the first time and then in turns, so many a call.

        A finished run's seal is kept when it is first seen. A run that was written anew after that is compared with
        its seal, and is invalid from then on where it differs.
        """
        known = {row["id"]: row for row in self.database.read("SELECT id, stamp, status FROM runs")}
        jobs = self._jobs()
        there = folder_names(self.root)
        done = [name for name in there if name in known and known[name]["status"] == "finished"]
        turn = set(done if self._turn is None else done[self._turn : self._turn + TURN])
        self._turn = 0 if self._turn is None or self._turn + TURN >= len(done) else self._turn + TURN
        looked = [name for name in there if name in turn or name not in known or known[name]["status"] != "finished"]
        found = stamps(self.root, looked)
        stale = [
            name
            for name, stamp in found.items()
            if name not in known
            or known[name]["stamp"] != stamp
            or known[name]["status"] in _LIVE
            or jobs.get(name, known[name]["status"]) != known[name]["status"]
        ]
        gone = {*known} - {*there} | {name for name in looked if name in known and name not in found}
        return self._renew(stale, known, jobs, sorted(gone))

    def update(self, id: str) -> None:
        """Reads one run's folder now, as ``sync`` does with all; a run that just finished is seen as it was sealed."""
        folder = self.root / check_id(id)
        known = {row["id"]: row for row in self.database.read("SELECT id, stamp, status FROM runs WHERE id = ?", (id,))}
        there = folder.is_dir() and not folder.is_symlink() and stamp_of(folder) != 0
        self._renew([id] if there else [], known, self._jobs(), [] if there else [*known])

    def list(
        self,
        limit: int = 100,
        after: str | None = None,
        study: str | None = None,
        status: str | None = None,
        thread: str | None = None,
        text: str | None = None,
        sort: str = "created",
        descending: bool = True,
        ids: Iterable[str] | None = None,
    ) -> Page:
        """A page of runs: ``after`` is the ``next`` of the page before, which runs that were added since do not shift.

        ``text`` is searched, word by word and whatever the case, in ids, studies, notes, threads, tags and configs.
        """
        if sort not in _SORTS:
            raise UnweaveError(f"runs cannot be sorted by {sort!r}; {nearest(sort, _SORTS)}")
        wanted = {"study": study, "status": status, "thread": thread}
        where = [f"runs.{column} = ?" for column, value in wanted.items() if value is not None]
        values: list[Any] = [value for value in wanted.values() if value is not None]
        for word in (text or "")[:400].casefold().split()[:16]:
            # Not LIKE: a word of the request has no wildcards here.
            where.append("instr(runs.words, ?) > 0")
            values.append(word)
        if ids is not None:
            where.append("runs.id IN (SELECT value FROM json_each(?))")
            values.append(json.dumps(list(ids)))
        filtered = f"WHERE {' AND '.join(where)}" if where else ""
        total = self.database.read(f"SELECT count(*) FROM runs {filtered}", values)[0][0]  # noqa: S608
        if after is not None:
            where.append(f"({_SORTS[sort]}, runs.id) {'<' if descending else '>'} (?, ?)")
            values += place_after(after, sort, descending)
        order = "DESC" if descending else "ASC"
        limit = max(1, min(limit, MOST))
        rows = self.database.read(
            f"SELECT runs.*, {_SORTS[sort]} AS place, invalid.reason FROM runs "  # noqa: S608
            f"LEFT JOIN invalid ON invalid.run = runs.id {'WHERE ' + ' AND '.join(where) if where else ''} "
            f"ORDER BY place {order}, runs.id {order} LIMIT ?",
            [*values, limit + 1],
        )
        shown = tuple(self._shown(row) for row in rows[:limit])
        last = rows[limit - 1] if len(rows) > limit else None
        return Page(shown, total, cursor_of(sort, descending, last["place"], last["id"]) if last is not None else None)

    def get(self, id: str) -> RunRow:
        """One run's row, read anew if its folder was; ``UnweaveError`` with the nearest where there is none."""
        self.update(id)
        rows = self.database.read(
            "SELECT runs.*, invalid.reason FROM runs LEFT JOIN invalid ON invalid.run = runs.id WHERE id = ?", (id,)
        )
        if not rows:
            known = [row["id"] for row in self.database.read("SELECT id FROM runs ORDER BY created DESC LIMIT 2000")]
            raise UnweaveError(f"there is no run {id!r} in {self.root}; {nearest(id, known)}")
        return self._shown(rows[0])

    def open(self, id: str) -> Run:
        """The run of that id. An id is a name, never a path, and a link in the place of a folder is not followed."""
        folder = self.root / check_id(id)
        if folder.is_symlink() or not folder.is_dir():
            self.get(id)
            raise UnweaveError(f"the folder of run {id!r} is gone from {self.root}")
        refuse_link(folder)
        return Run.open(folder)

    def sealed(self, id: str) -> str | None:
        """The digest of the run's seal when it was first seen here."""
        rows = self.database.read("SELECT digest FROM seals WHERE run = ?", (id,))
        return rows[0]["digest"] if rows else None

    def invalidate(self, id: str, reason: str) -> None:
        """Marks a run as invalid; the first reason stays."""
        check_id(id)
        with self.database.write() as connection:
            _invalidate(connection, id, reason)

    def changed(self, id: str) -> bool:
        """Whether the run is invalid because it was not as it was sealed, and for nothing else."""
        rows = self.database.read("SELECT reason FROM invalid WHERE run = ?", (check_id(id),))
        return bool(rows) and rows[0]["reason"].startswith(CHANGED)

    def reinstate(self, id: str) -> None:
        """Takes the mark away from a run whose every file is again as it was when it was first seen sealed."""
        wrong = check_seal(self.root / check_id(id), self.sealed(id))
        if wrong:
            raise UnweaveError(f"run {id!r} is not as it was sealed: {wrong[0]}; put its files back as they were")
        with self.database.write() as connection:
            connection.execute("DELETE FROM invalid WHERE run = ?", (id,))

    def counts(self) -> Counts:
        """How many runs there are."""
        found = self.database.read("SELECT status, count(*) AS number FROM runs GROUP BY status ORDER BY status")
        invalid = self.database.read("SELECT count(*) FROM invalid JOIN runs ON runs.id = invalid.run")[0][0]
        by_status = {row["status"]: row["number"] for row in found}
        return Counts(sum(by_status.values()), invalid, by_status)

    def _renew(
        self, names: Sequence[str], known: Mapping[str, Any], jobs: Mapping[str, str], gone: Sequence[str]
    ) -> int:
        read = [_as_its_job(describe(self.root / name), jobs) for name in names]
        changed = [
            one
            for one in read
            if one.id not in known or (one.stamp, one.status) != (known[one.id]["stamp"], known[one.id]["status"])
        ]
        if not changed and not gone:
            return 0
        first = {row["run"]: row["digest"] for row in self.database.read("SELECT run, digest FROM seals")}
        wrong = {
            one.id: check_seal(self.root / one.id, first[one.id])
            for one in changed
            if one.id in first and (one.seal != first[one.id] or one.id in known)
        }
        seals = {one.id: one.seal for one in changed if one.seal is not None and one.id not in first}
        # A copy of a lab that cannot be written to takes seals too, for as long as it is open.
        derived = self.database.read_only or not (seals or any(wrong.values()))
        with self.database.write(derived=derived) as connection:
            connection.executemany(
                f"INSERT OR REPLACE INTO runs ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})",  # noqa: S608
                [[getattr(one, column) for column in _COLUMNS] for one in changed],
            )
            connection.executemany("DELETE FROM runs WHERE id = ?", [(name,) for name in gone])
            connection.executemany(
                "INSERT OR IGNORE INTO seals (run, digest, seen) VALUES (?, ?, ?)",
                [(id, seal, _now()) for id, seal in seals.items()],
            )
            for id, found in wrong.items():
                if found:
                    _invalidate(connection, id, f"{CHANGED}{'; '.join(found[:3])}")
        return len(changed) + len(gone)

    def _jobs(self) -> dict[str, str]:
        """The state of the jobs that wait or pause, by run, whose id a job has: its folder need not know."""
        found = self.database.read("SELECT id, state FROM jobs WHERE state IN ('waiting', 'paused')")
        return {row["id"]: row["state"] for row in found}

    def _shown(self, row: Any) -> RunRow:
        names = (
            "id",
            "study",
            "status",
            "created",
            "finished",
            "seconds",
            "thread",
            "job",
            "person",
            "note",
            "headline",
        )
        return RunRow(
            **{name: row[name] for name in names},
            valid=row["reason"] is None,
            reason=row["reason"],
            progress=read_progress(self.root / row["id"]) if row["status"] in ("running", "paused") else None,
        )


def read_progress(folder: Path) -> dict[str, Any] | None:
    """What a run at work last said of its progress."""
    try:
        found = read_json_inside(folder, "progress.json")
    except (UnweaveError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _as_its_job(one: Described, jobs: Mapping[str, str]) -> Described:
    """A run whose job waits or pauses says so, unless it has ended by itself."""
    state = jobs.get(one.id)
    return replace(one, status=state) if state and one.status in ("running", "waiting", "interrupted") else one


def _invalidate(connection: sqlite3.Connection, id: str, reason: str) -> None:
    connection.execute("INSERT OR IGNORE INTO invalid (run, reason, at) VALUES (?, ?, ?)", (id, reason, _now()))


def _now() -> str:
    return datetime.now(UTC).isoformat()
