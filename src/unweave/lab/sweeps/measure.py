"""The number that runs are compared by: a table's cell or a logged metric, read from each run seed by seed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from unweave.base.configs import parse_settings
from unweave.base.errors import UnweaveError, nearest

if TYPE_CHECKING:
    from unweave.record.run import Run
    from unweave.record.table import Table, Value
    from unweave.studies.inquiry import Outcome

Better = Literal["higher", "lower"]
_CELL = re.compile(r"(?P<table>[a-z0-9][a-z0-9_-]*)\.(?P<column>[^\[\]]+)(?:\[(?P<where>[^\[\]]*)\])?")
_FIELD = re.compile(r"\{(\w+)\}")
_LOGGED = re.compile(r"logged:(?P<name>.+)")


@dataclass(frozen=True)
class Reading:
    """One number of one run at one seed, and the bytes that hold it: a table's row, or the logged metrics."""

    run: str
    seed: int
    value: float
    column: str
    table: str | None = None
    sha256: str | None = None
    row: int | None = None
    step: int | None = None
    """Of a logged metric: the step of its last value."""
    cells: Mapping[str, Value] = field(default_factory=dict)
    """What the row holds in the columns that the runs are compared by."""


@dataclass(frozen=True)
class Measure:
    """``column`` of the rows of ``table`` that ``where`` selects, or the last value of the logged metric ``column``.

    ``{field}`` in a value of ``where`` stands for the run's config. A table's column ``seed`` says the row's seed;
    without it a run gives one number, at its config's first seed.
    """

    column: str
    table: str | None = None
    where: Mapping[str, Any] = field(default_factory=dict)
    better: Better = "higher"

    @classmethod
    def parse(cls, text: str, better: Better) -> Measure:
        """``summary.level[method=factor]``, ``summary.level``, or ``val/loss`` (``logged:a.b`` where it has a dot)."""
        if better not in ("higher", "lower"):
            raise UnweaveError(f"better is {better!r}: say higher or lower")
        logged = _LOGGED.fullmatch(text)
        if logged:
            return cls(logged["name"], better=better)
        cell = _CELL.fullmatch(text)
        if cell:
            where = parse_settings(part for part in (cell["where"] or "").split(",") if part.strip())
            return cls(cell["column"], cell["table"], where, better)
        if not text or set(text) & set(".[]"):
            raise UnweaveError(
                f"{text!r} is not a number of a run: write TABLE.COLUMN[FIELD=VALUE], or a logged metric"
            )
        return cls(text, better=better)

    @classmethod
    def of(cls, outcome: Outcome) -> Measure:
        """The measure that an outcome of an inquiry reads."""
        return cls(outcome.column, outcome.table, dict(outcome.where), outcome.better)

    @property
    def text(self) -> str:
        """The measure as ``parse`` reads it."""
        if self.table is None:
            return f"logged:{self.column}" if set(self.column) & set(".[]") else self.column
        where = ",".join(f"{name}={value}" for name, value in self.where.items())
        return f"{self.table}.{self.column}" + (f"[{where}]" if where else "")

    def read(self, run: Run, seeds: Sequence[int], by: Sequence[str] = ()) -> list[Reading]:
        """Every number of ``run``, whose config takes ``seeds``; ``by`` are columns that tell rows of one seed apart.

        Raises ``UnweaveError`` for a table, column, row or metric that is not there, for a cell that is no number, and
        for several rows of one seed.
        """
        if self.table is None:
            return [self._logged(run, seeds)]
        table = run.load_table(self.table)
        index = table.index(self.column)
        config = run.config
        wanted = {name: _as_cell(table, name, value, config) for name, value in self.where.items()}
        found: dict[tuple[Any, ...], Reading] = {}
        for number in table.find(wanted):
            row = dict(zip(table.columns, table.rows[number], strict=True))
            seed = _seed(table, row, seeds)
            value = table.rows[number][index]
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise UnweaveError(f"run {run.id!r}: row {number} of {self.table!r} has {value!r} in {self.column!r}")
            cells = {name: row[name] for name in by}
            key = (seed, *cells.values())
            if key in found:
                raise UnweaveError(
                    f"run {run.id!r}: rows {found[key].row} and {number} of {self.table!r} are both of seed {seed}; "
                    f"select one by {_telling(table, found[key].row, number)}"
                )
            found[key] = Reading(run.id, seed, float(value), self.column, self.table, table.sha256, number, cells=cells)
        if not found:
            raise UnweaveError(f"run {run.id!r}: no row of {self.table!r} has {wanted or 'anything'}")
        return list(found.values())

    def _logged(self, run: Run, seeds: Sequence[int]) -> Reading:
        names: set[str] = set()
        last: tuple[float, Any] | None = None
        for row in run.metrics():
            names.update(row)
            value = row.get(self.column)
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                last = float(value), row.get("step")
        if last is None:
            raise UnweaveError(f"run {run.id!r} logged no number {self.column!r}; {nearest(self.column, names)}")
        return Reading(run.id, _first(seeds), last[0], self.column, step=last[1])


def _as_cell(table: Table, name: str, value: Any, config: Mapping[str, Any]) -> Any:
    if not isinstance(value, str):
        return value
    # Not str.format, which would also pad to any width and look into the values.
    strange = [field for field in _FIELD.findall(value) if field not in config]
    if strange:
        raise UnweaveError(f"{name}={value} names a field that the config lacks; {nearest(strange[0], config)}")
    text = _FIELD.sub(lambda match: str(config[match[1]]), value)
    kind = table.kinds[table.index(name)]
    if kind == "boolean":
        return {"true": True, "yes": True, "false": False, "no": False}.get(text.lower(), text)
    if kind in ("integer", "number"):
        try:
            return float(text)
        except ValueError:
            return text
    return text


def _seed(table: Table, row: Mapping[str, Value], seeds: Sequence[int]) -> int:
    seed = row.get("seed") if "seed" in table.columns else None
    return _first(seeds) if seed is None else int(seed)


def _first(seeds: Sequence[int]) -> int:
    return seeds[0] if seeds else 0


def _telling(table: Table, one: int | None, other: int) -> str:
    rows = table.rows[one or 0], table.rows[other]
    apart = [name for name, left, right in zip(table.columns, *rows, strict=True) if left != right]
    return ", ".join(apart[:3]) or "another table"
