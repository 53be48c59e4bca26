"""A table of results: typed columns with units, saved as CSV beside a JSON description."""

from __future__ import annotations

import hashlib
import math
import re
import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unweave.base.errors import UnweaveError, nearest, oserror_line
from unweave.base.files import json_bytes, parsed_json
from unweave.record.pair import read_file, write_pair
from unweave.record.svg import clean

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Value = str | int | float | bool | None

# A quoted cell is text, a bare one is a number, true, false or (empty) missing: so '' and missing stay apart.
_CELL = re.compile(r'(?:"((?:[^"]|"")*)"|([^",\r\n]*))([,\n])')
# What a spreadsheet would take for a formula (OWASP, "CSV Injection"), after any number of the marks that prevent it.
_FORMULA = re.compile("'*[=+\\-@\t\r\n＝＋－＠]")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")


@dataclass(frozen=True)
class Table:
    """Rows of results under named columns; ``units`` and ``digits`` are given by column where there are any.

    A column holds text, booleans, integers or numbers, and ``None`` where a value is missing. NaN and infinity are
    missing values too. Saving and loading gives back the same values, floats bit for bit.
    Raises ``UnweaveError`` for a ragged row, an unknown or doubled column, and a column of mixed kinds.
    """

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]
    units: Mapping[str, str] = field(default_factory=dict)
    caption: str = ""
    digits: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_name(self.name, "table")
        columns = tuple(self.columns)
        if not columns or not all(isinstance(column, str) and column for column in columns):
            raise UnweaveError(f"table {self.name!r} has columns {columns!r}: give each column a name")
        doubled = sorted({column for column in columns if columns.count(column) > 1})
        if doubled:
            raise UnweaveError(f"table {self.name!r} names column {doubled[0]!r} twice: rename one")
        for what in ("units", "digits"):
            for column in getattr(self, what):
                if column not in columns:
                    raise UnweaveError(
                        f"{what} for {column!r}, not a column of {self.name!r}; {nearest(column, columns)}"
                    )
        rows = [tuple(plain(value) for value in row) for row in self.rows]
        for number, row in enumerate(rows):
            if len(row) != len(columns):
                raise UnweaveError(
                    f"row {number} of table {self.name!r} has {len(row)} values for {len(columns)} columns"
                )
        kinds = tuple(self._kind(index, rows) for index in range(len(columns)))
        rows = [tuple(_as_kind(value, kind) for value, kind in zip(row, kinds, strict=True)) for row in rows]
        for attribute, value in (
            ("columns", columns),
            ("rows", tuple(rows)),
            ("units", dict(self.units)),
            ("digits", dict(self.digits)),
        ):
            object.__setattr__(self, attribute, value)

    @classmethod
    def from_records(
        cls,
        name: str,
        records: Iterable[Mapping[str, Any]],
        columns: Sequence[str] | None = None,
        units: Mapping[str, str] | None = None,
        caption: str = "",
        digits: Mapping[str, int] | None = None,
    ) -> Table:
        """A table from dictionaries; without ``columns`` they are all keys in order of first appearance."""
        listed = list(records)
        names = tuple(columns) if columns is not None else tuple(dict.fromkeys(key for row in listed for key in row))
        rows = tuple(tuple(row.get(column) for column in names) for row in listed)
        return cls(name, names, rows, units or {}, caption, digits or {})

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        """``text``, ``boolean``, ``integer``, ``number`` or ``empty`` for each column."""
        return tuple(self._kind(index, self.rows) for index in range(len(self.columns)))

    @cached_property
    def csv(self) -> bytes:
        """The table as UTF-8 CSV: text quoted, numbers bare and exact, missing values empty.

        Text that a spreadsheet would compute (it begins with ``=``, ``+``, ``-``, ``@`` or a tab) gets a ``'`` before
        it, which loading takes away.
        """
        lines = [",".join(map(_cell, row)) + "\n" for row in (self.columns, *self.rows)]
        try:
            return "".join(lines).encode("utf-8")
        except UnicodeEncodeError as error:
            raise UnweaveError(f"table {self.name!r} holds text that is not valid Unicode ({error.reason})") from error

    @cached_property
    def sha256(self) -> str:
        """sha256 of the CSV bytes."""
        return hashlib.sha256(self.csv).hexdigest()

    def index(self, column: str) -> int:
        """The position of ``column``, or ``UnweaveError`` naming the nearest."""
        if column not in self.columns:
            raise UnweaveError(f"table {self.name!r} has no column {column!r}; {nearest(str(column), self.columns)}")
        return self.columns.index(column)

    def column(self, column: str) -> tuple[Value, ...]:
        """All values of one column."""
        index = self.index(column)
        return tuple(row[index] for row in self.rows)

    def records(self) -> list[dict[str, Value]]:
        """The rows as dictionaries."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]

    def find(self, where: Mapping[str, Any]) -> list[int]:
        """Numbers of the rows in which every named column holds the value, or one of the listed values."""
        wanted = [(self.index(column), _choices(value)) for column, value in where.items()]
        return [
            number
            for number, row in enumerate(self.rows)
            if all(any(_same(row[index], value) for value in values) for index, values in wanted)
        ]

    def heading(self, column: str) -> str:
        """The column's name with its unit: ``change (nats)``."""
        unit = self.units.get(column)
        return f"{column} ({unit})" if unit else column

    def shown(self, column: str, value: Value, digits: int | None = None) -> str:
        """``value`` as a reader sees it: the column's digits, else ``digits``, else about three; missing is ``–``."""
        if value is None:
            return "–"
        if isinstance(value, bool):
            return "yes" if value else "no"
        if isinstance(value, float):
            return number_text(value, self.digits.get(column, digits))
        # What has a unit is a count; what has none may be a seed or a year, which nobody writes with separators.
        return f"{value:,}" if isinstance(value, int) and column in self.units else str(value)

    def to_markdown(self, digits: int | None = None) -> str:
        """The table as GitHub Markdown, numbers to the right, with the caption under it."""
        right = [kind in ("integer", "number") for kind in self.kinds]
        lines = [
            [_markdown(self.heading(column)) for column in self.columns],
            ["---:" if numeric else "---" for numeric in right],
            *(
                [_markdown(self.shown(c, v, digits)) for c, v in zip(self.columns, row, strict=True)]
                for row in self.rows
            ),
        ]
        text = "".join("| " + " | ".join(cells) + " |\n" for cells in lines)
        return text + (f"\n{_markdown(self.caption)}\n" if self.caption else "")

    def _repr_html_(self) -> str:
        from unweave.record.notebook import table_html_small

        return table_html_small(self)

    def save(self, folder: Path) -> str:
        """Writes ``<name>.csv`` and ``<name>.json`` and returns the sha256 of the CSV bytes."""
        columns = [
            {"name": name, "kind": kind, "unit": self.units.get(name), "digits": self.digits.get(name)}
            for name, kind in zip(self.columns, self.kinds, strict=True)
        ]
        described = {"name": self.name, "caption": self.caption, "columns": columns, "rows": len(self.rows)}
        described_bytes = json_bytes({**described, "sha256": self.sha256})
        write_pair(Path(folder), self.name, {"csv": self.csv, "json": described_bytes})
        return self.sha256

    @classmethod
    def load(cls, folder: Path, name: str) -> Table:
        """Reads a saved table. Raises ``UnweaveError`` when it is missing, damaged or changed since it was saved."""
        folder = Path(folder)
        check_name(name, "table")
        source = folder / f"{name}.csv"
        content, described = _read(folder, name)
        try:
            if described["sha256"] != hashlib.sha256(content).hexdigest():
                raise UnweaveError(
                    f"{source} was changed after it was saved: its sha256 is not the one recorded beside it"
                )
            header, *rows = _parse(content.decode("utf-8"), source)
            units = {column["name"]: column["unit"] for column in described["columns"] if column["unit"]}
            digits = {
                column["name"]: column["digits"] for column in described["columns"] if column["digits"] is not None
            }
            return cls(name, tuple(str(cell) for cell in header), tuple(rows), units, described["caption"], digits)
        except (KeyError, TypeError, ValueError) as error:
            raise UnweaveError(f"{source} or its description is damaged ({error!r}): save the table again") from error

    def _kind(self, index: int, rows: Sequence[tuple[Value, ...]]) -> str:
        present = {type(row[index]) for row in rows if row[index] is not None}
        if not present:
            return "empty"
        for kind, types in (("text", {str}), ("boolean", {bool}), ("integer", {int}), ("number", {int, float})):
            if present <= types:
                return kind
        names = " and ".join(sorted(kind.__name__ for kind in present))
        raise UnweaveError(f"column {self.columns[index]!r} of table {self.name!r} mixes {names}: use one kind")


def _read(folder: Path, name: str) -> tuple[bytes, Any]:
    """The bytes and the description of a table, of one version where another process saves it meanwhile."""
    for attempt in range(5):
        time.sleep(0.002 * attempt)
        try:
            described = parsed_json(read_file(folder, name, "json"), folder / f"{name}.json")
            content = read_file(folder, name, "csv")
        except FileNotFoundError as error:
            there = sorted(path.stem for path in folder.glob("*.csv"))
            if name in there:
                raise UnweaveError(
                    f"{folder / name}.json: the table's description is missing: save it again"
                ) from error
            raise UnweaveError(f"there is no table {name!r} in {folder}; {nearest(name, there)}") from error
        except OSError as error:
            raise oserror_line(error, folder / f"{name}.csv") from error
        if isinstance(described, dict) and described.get("sha256") == hashlib.sha256(content).hexdigest():
            break
    return content, described


def check_name(name: str, what: str) -> None:
    """Refuses a name that could not be a file's name on every system."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UnweaveError(f"{what} name {name!r}: use lower-case letters, digits, '.', '_' and '-', at most 100")


def plain(value: Any) -> Value:
    """A cell as a Python value: NumPy and torch scalars unwrapped, NaN and infinity as ``None``."""
    if not isinstance(value, (str, bool, int, float)) and value is not None and hasattr(value, "item"):
        value = value.item()
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    raise UnweaveError(f"a cell holds {value!r} ({type(value).__name__}): use text, a number, True, False or None")


def number_text(value: float, digits: int | None, signed: bool = False) -> str:
    """``value`` with ``digits`` decimals; without ``digits`` three, or three significant where that hides the value."""
    sign = "+" if signed else ""
    if digits is None and value and not 5e-4 <= abs(value) < 1e9:
        return f"{value:{sign}.3g}"
    text = f"{value:{sign}.{3 if digits is None else digits}f}"
    # A value that rounds to zero has no sign to show.
    return text.lstrip("+-") if not text.strip("+-0.") else text


def _as_kind(value: Value, kind: str) -> Value:
    if kind == "number" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value


def _choices(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple, set, frozenset)) else [value]


def _same(cell: Value, wanted: Any) -> bool:
    return cell == wanted and isinstance(cell, bool) == isinstance(wanted, bool)


def _cell(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        mark = "'" if _FORMULA.match(value) else ""
        return f'"{mark}' + value.replace('"', '""') + '"'
    return str(value).lower() if isinstance(value, bool) else repr(value)


def _parse(text: str, source: Path) -> list[tuple[Value, ...]]:
    rows: list[tuple[Value, ...]] = []
    row: list[Value] = []
    position = 0
    while position < len(text):
        match = _CELL.match(text, position)
        if match is None:
            raise UnweaveError(f"{source} is not a table of this project, near character {position}")
        quoted, bare, end = match.groups()
        row.append(_text(quoted.replace('""', '"')) if quoted is not None else _bare(bare))
        position = match.end()
        if end == "\n":
            rows.append(tuple(row))
            row = []
    if row or not rows:
        raise UnweaveError(f"{source} ends in the middle of a line: it was damaged")
    return rows


def _text(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def _bare(text: str) -> Value:
    if text in ("", "true", "false"):
        return None if not text else text == "true"
    return float(text) if any(mark in text for mark in ".en") else int(text)


def _markdown(text: str) -> str:
    """``text`` that stays text: no cell's or line's end, no HTML, no link, no character that reorders others."""
    escaped = clean(text.replace("\r", " ").replace("\n", " ").replace("\\", "\\\\").replace("|", "\\|"))
    return re.sub(r"<|(?<=\])[(\[:]", lambda match: f"\\{match[0]}", escaped)
