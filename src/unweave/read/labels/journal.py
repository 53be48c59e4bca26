"""Labels kept as they are made, with what they cost, so that a labelling that was stopped forgets neither."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from unweave.base.errors import oserror_line
from unweave.base.files import atomic_path
from unweave.read.labels.store import LabelRow

JOURNAL = "labels.{}.partial.jsonl"

Spending = Mapping[str, Mapping[str, Any]]
"""By who spends, the labeler and the judge: counts of calls and tokens, and a price that may be unknown."""


def journal_path(folder: Path, identity: Mapping[str, Any]) -> Path:
    """Where labels of these settings are kept until all are made: each identity has its own."""
    digest = hashlib.sha256(json.dumps(identity, ensure_ascii=False).encode()).hexdigest()
    return folder / JOURNAL.format(digest[:8])


class Journal:
    """Rows that are made, and what earlier sessions spent on them."""

    def __init__(self, rows: dict[int, LabelRow], spent: Spending, file: TextIO) -> None:
        self.rows, self._earlier, self._file = rows, spent, file

    def keep(self, row: LabelRow, spent: Spending) -> None:
        """Writes a row and what this session spent so far."""
        self.rows[row.row] = row
        self._write({"row": asdict(row)})
        self.keep_spending(spent)

    def keep_spending(self, spent: Spending) -> None:
        if any(spent.values()):
            self._write({"spent": self.spent(spent)})
        self._file.flush()

    def spent(self, now: Spending) -> dict[str, dict[str, Any]]:
        """What all sessions spent, this one included."""
        return {name: _sum(self._earlier.get(name, {}), each) for name, each in now.items()}

    def _write(self, value: Any) -> None:
        self._file.write(json.dumps(value, ensure_ascii=False) + "\n")


def _sum(earlier: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """Sums by name. One that is unknown on either side is unknown."""
    found = dict(now)
    for name, value in earlier.items():
        mine = found.get(name, 0)
        found[name] = None if value is None or mine is None else value + mine
    return found


@contextmanager
def open_journal(folder: Path, identity: Mapping[str, Any]) -> Iterator[Journal]:
    """Opens the journal of these settings to go on with. It is removed when the block succeeds."""
    path = journal_path(folder, identity)
    try:
        rows, spent = _read(path) if path.exists() else ({}, {})
        # Whole or not at all: a kill here must not lose what is kept. The line that a kill cut short goes.
        with atomic_path(path) as temporary:
            lines: list[Any] = [identity, *({"row": asdict(each)} for each in rows.values()), {"spent": spent}]
            written = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
            temporary.write_text(written, encoding="utf-8")
        with path.open("a", encoding="utf-8") as file:
            yield Journal(rows, spent, file)
        path.unlink(missing_ok=True)
    except OSError as error:
        raise oserror_line(error, path) from error


def _read(path: Path) -> tuple[dict[int, LabelRow], dict[str, dict[str, Any]]]:
    rows: dict[int, LabelRow] = {}
    spent: dict[str, dict[str, Any]] = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines()[1:]:
        try:
            value = json.loads(line)
            if "row" in value:
                each = LabelRow(**value["row"])
                rows[each.row] = each
            else:
                spent = {name: dict(part) for name, part in value["spent"].items()}
        except (ValueError, TypeError, KeyError, AttributeError):
            break
    return rows, spent
