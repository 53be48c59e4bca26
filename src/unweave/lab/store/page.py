"""A page of the list of runs: its rows, and the cursor from which the next one goes on."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any

from unweave.base.errors import UnweaveError


@dataclass(frozen=True)
class RunRow:
    """A run as the list shows it. ``progress`` is what one at work last said: ``done``, ``total``, ``note``, ``at``."""

    id: str
    study: str
    status: str
    created: str
    finished: str | None
    seconds: float | None
    thread: str | None
    job: str | None
    person: str | None
    note: str | None
    headline: str | None
    """Its first claim."""
    valid: bool
    reason: str | None
    """Why it is not valid."""
    progress: dict[str, Any] | None = None


@dataclass(frozen=True)
class Page:
    """Some rows, how many there are in all, and the cursor for the next page; None after the last."""

    rows: tuple[RunRow, ...]
    total: int
    next: str | None

    def _repr_html_(self) -> str:
        from unweave.lab.notebook import page_html

        return page_html(self)


@dataclass(frozen=True)
class Counts:
    """How many runs there are, by status, and how many of them are invalid."""

    total: int
    invalid: int
    by_status: dict[str, int] = field(default_factory=dict)


def cursor_of(sort: str, descending: bool, place: Any, id: str) -> str:
    """The cursor of the page after the row of that id, which has ``place`` in the column that is sorted by."""
    content = json.dumps([sort, descending, place, id])
    return base64.urlsafe_b64encode(content.encode()).decode("ascii").rstrip("=")


def place_after(cursor: str, sort: str, descending: bool) -> list[Any]:
    """The place and the id after which the page begins."""
    try:
        content = base64.urlsafe_b64decode(cursor[:2000].encode("ascii") + b"==")
        its_sort, its_descending, place, id = json.loads(content)
        usable = (
            isinstance(id, str)
            and (isinstance(place, str | float) or (isinstance(place, int) and abs(place) < 2**63))
            and (its_sort, its_descending) == (sort, descending)
        )
    except (ValueError, TypeError, RecursionError):
        usable, place, id = False, None, None
    if not usable:
        raise UnweaveError(f"{cursor[:40]!r} is not where a page of this list ends: begin with the first page")
    return [place, id]
