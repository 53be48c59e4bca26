"""Deeds: who did what in a lab, one row each, only ever added to, each bound by hash to the one before it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from unweave.base.secrets import HIDDEN, is_secret_name, scrubbed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from unweave.lab.store.database import Database

_CHARACTERS, _ITEMS, _WHOLE = 200, 50, 4000
_SUBJECTS = ("run", "thread", "job", "name", "person", "study", "paper", "question")


@dataclass(frozen=True)
class Deed:
    """One deed. ``detail`` is what was asked, in short, with nothing secret in it."""

    number: int
    at: str
    person: str
    role: str
    deed: str
    subject: str
    detail: dict[str, Any]


def add(database: Database, person: str, role: str, deed: str, request: Any, subject: str = "") -> None:
    """Adds a deed. ``request`` is a pydantic model, a mapping, or None; ``subject``, if not given, is read from it."""
    asked = _as_mapping(request)
    subject = subject or next((str(asked[name]) for name in _SUBJECTS if isinstance(asked.get(name), str)), "")
    detail = json.dumps(summary(asked), ensure_ascii=False)
    row = [datetime.now(UTC).isoformat(), person, role, deed, _text(subject)[:_CHARACTERS], detail]
    with database.write() as connection:
        last = connection.execute("SELECT chain FROM deeds ORDER BY number DESC LIMIT 1").fetchone()
        chain = _chain(last["chain"] if last else "", row)
        connection.execute(
            "INSERT INTO deeds (at, person, role, deed, subject, detail, chain) VALUES (?, ?, ?, ?, ?, ?, ?)",
            [*row, chain],
        )


def read(
    database: Database,
    limit: int = 100,
    after: int | None = None,
    person: str | None = None,
    subject: str | None = None,
) -> list[Deed]:
    """Deeds, newest first, that are older than the one numbered ``after``."""
    wanted = {"number < ?": after, "person = ?": person, "subject = ?": subject}
    where = [condition for condition, value in wanted.items() if value is not None]
    found = database.read(
        "SELECT number, at, person, role, deed, subject, detail FROM deeds "  # noqa: S608
        f"{'WHERE ' + ' AND '.join(where) if where else ''} ORDER BY number DESC LIMIT ?",
        [*(value for value in wanted.values() if value is not None), max(1, min(limit, 1000))],
    )
    return [Deed(**{**dict(row), "detail": json.loads(row["detail"])}) for row in found]


def broken_chain(database: Database) -> int | None:
    """The number of the first deed that was changed, or that follows one that was taken out; None where none was."""
    before, expected = "", 1
    for row in database.read("SELECT * FROM deeds ORDER BY number"):
        content = [row[name] for name in ("at", "person", "role", "deed", "subject", "detail")]
        if row["number"] != expected or row["chain"] != _chain(before, content):
            return int(row["number"])
        before, expected = row["chain"], expected + 1
    # SQLite counts what was ever added.
    ever = database.read("SELECT seq FROM sqlite_sequence WHERE name = 'deeds'")
    return expected if ever and ever[0]["seq"] >= expected else None


def summary(asked: Mapping[str, Any]) -> dict[str, Any]:
    """``asked`` in short: nothing secret by its name or its look, long texts by their beginning and their hash."""
    short = {str(name): _short(str(name), value) for name, value in list(asked.items())[:_ITEMS]}
    if len(json.dumps(short, ensure_ascii=False)) <= _WHOLE:
        return short
    whole = json.dumps(short, sort_keys=True)
    return {"long": True, "fields": sorted(short)[:_ITEMS], "sha256": hashlib.sha256(whole.encode()).hexdigest()}


def _short(name: str, value: Any, depth: int = 0) -> Any:
    if is_secret_name(name) and not isinstance(value, (bool, int, float, type(None))):
        return HIDDEN
    if isinstance(value, dict):
        return (
            {str(key): _short(str(key), inner, depth + 1) for key, inner in list(value.items())[:_ITEMS]}
            if depth < 6
            else "…"
        )
    if isinstance(value, list | tuple):
        return [_short("", inner, depth + 1) for inner in list(value)[:_ITEMS]] if depth < 6 else "…"
    if isinstance(value, str):
        clean = _text(value)
        if len(clean) <= _CHARACTERS:
            return clean
        digest = hashlib.sha256(value.encode("utf-8", "replace")).hexdigest()
        return f"{clean[:_CHARACTERS]}… ({len(value):,} characters, sha256 {digest[:16]})"
    return value if value is None or isinstance(value, bool | int | float) else _text(str(value))[:_CHARACTERS]


def _text(text: str) -> str:
    return scrubbed(text).encode("utf-8", "replace").decode("utf-8")


def _as_mapping(request: Any) -> dict[str, Any]:
    if request is None:
        return {}
    return request.model_dump(mode="json") if isinstance(request, BaseModel) else dict(request)


def _chain(before: str, row: list[Any]) -> str:
    return hashlib.sha256(json.dumps([before, *row]).encode()).hexdigest()
