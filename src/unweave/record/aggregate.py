"""An aggregate: one number made of many rows of a saved table, in a way that anybody can make it again."""

from __future__ import annotations

import math
import re
import statistics
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from unweave.base.errors import UnweaveError
from unweave.record.table import plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from unweave.record.table import Table

_SHARE = re.compile(r"share(>=|<=|>|<)(-?\d+(?:\.\d+)?(?:e-?\d+)?)")
_PLAIN = ("median", "mean", "min", "max", "sum", "count")
_RELATIVE = 1e-9


@dataclass(frozen=True)
class Aggregate:
    """``how`` over ``column`` of the rows of ``table`` that ``where`` selects.

    ``how`` is ``median``, ``mean``, ``min``, ``max``, ``sum``, ``count``, or a share such as ``share>=0.9``. With
    ``minus`` it is taken over paired differences: for each seed the value under ``where`` less that under ``minus``.
    Raises ``UnweaveError`` for another ``how``, and for ``minus`` without a seed to pair by.
    """

    table: str
    column: str
    where: Mapping[str, Any] = field(default_factory=dict)
    how: str = "median"
    seed: str | None = "seed"
    """The column that holds each row's seed; None where the rows are not of seeds."""
    minus: Mapping[str, Any] | None = None
    unseeded: bool = False
    """Nothing random is drawn under ``where``, so there is one row of it however many seeds the run has."""
    sha256: str = ""
    """Of the table's bytes; ``Run.claim`` fills it in."""

    def __post_init__(self) -> None:
        if self.how not in _PLAIN and not _SHARE.fullmatch(self.how):
            raise UnweaveError(f"an aggregate by {self.how!r}: use {', '.join(_PLAIN)}, or share>=0.9 and its like")
        if self.minus is not None and self.seed is None:
            raise UnweaveError("an aggregate over differences pairs rows by seed: name the column of the seeds")
        for name in ("where", "minus"):
            chosen = getattr(self, name)
            object.__setattr__(self, name, None if chosen is None else _selector(chosen))

    def to_json(self) -> dict[str, Any]:
        """The aggregate as plain JSON."""
        return asdict(self)

    def recompute(self, table: Table) -> float | int:
        """The number again, from the rows of ``table``.

        Raises ``UnweaveError`` where no row matches, where a row has no value (a missing one is not left out quietly),
        and where a seed has several rows, so that ``where`` selects more than one arm.
        """
        values = self._values(table, self.where)
        if self.minus is not None:
            others = self._values(table, self.minus)
            if values.keys() != others.keys():
                raise UnweaveError(
                    f"{self.table!r} has seeds {listed(values)} for {dict(self.where)} and {listed(others)} for "
                    f"{dict(self.minus)}: a paired difference needs both of each"
                )
            values = {seed: value - others[seed] for seed, value in values.items()}
        return _aggregate(self.how, list(values.values()))

    def agrees(self, table: Table, value: Any) -> bool:
        """Whether ``value`` is this aggregate of ``table``, up to the rounding of a sum in another order."""
        again = self.recompute(table)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return False
        return math.isclose(again, value, rel_tol=_RELATIVE, abs_tol=1e-12)

    def seeds(self, table: Table) -> list[str]:
        """The seeds of the rows that it is made of."""
        if self.seed is None:
            return []
        index = table.index(self.seed)
        wheres = [self.where] if self.minus is None else [self.where, self.minus]
        return seed_order({str(table.rows[row][index]) for where in wheres for row in table.find(where)})

    def arm_seeds(self, table: Table) -> list[str]:
        """The seeds that the table has for the same arm, whichever of them ``where`` picks."""
        if self.seed is None:
            return []
        index = table.index(self.seed)
        arm = {name: choice for name, choice in self.where.items() if name != self.seed}
        return seed_order({str(table.rows[row][index]) for row in table.find(arm)})

    def _values(self, table: Table, where: Mapping[str, Any]) -> dict[str, Any]:
        column = table.index(self.column)
        seed = None if self.seed is None else table.index(self.seed)
        found: dict[str, Any] = {}
        for number in table.find(where):
            row = table.rows[number]
            key = str(number) if seed is None else str(row[seed])
            if key in found:
                raise UnweaveError(
                    f"{self.table!r} has several rows of seed {key} for {dict(where)}: say more in `where`, or name "
                    "another column as the seed"
                )
            value = row[column]
            if value is None and self.how != "count":
                raise UnweaveError(f"{self.table!r} has no {self.column!r} in row {number}: it cannot be left out")
            if isinstance(value, str) and self.how != "count":
                raise UnweaveError(f"{self.column!r} of {self.table!r} holds text ({value!r}), which has no {self.how}")
            found[key] = value
        if not found and self.how != "count":
            raise UnweaveError(f"no row of {self.table!r} matches {dict(where)}")
        return found


def listed(seeds: Any) -> str:
    """Seeds as a sentence names them."""
    return ", ".join(seed_order(map(str, seeds))) or "none"


def seed_order(seeds: Any) -> list[str]:
    """Seeds by their number, and those that are no numbers after them."""
    return sorted(set(seeds), key=lambda seed: (0, int(seed), "") if _is_integer(seed) else (1, 0, seed))


def _is_integer(text: str) -> bool:
    return re.fullmatch(r"-?\d+", text) is not None


def _aggregate(how: str, values: list[Any]) -> float | int:
    share = _SHARE.fullmatch(how)
    if share:
        bound = float(share[2])
        held = {
            ">=": lambda value: value >= bound,
            "<=": lambda value: value <= bound,
            ">": lambda value: value > bound,
            "<": lambda value: value < bound,
        }[share[1]]
        return sum(map(held, values)) / len(values)
    if how == "count":
        return len(values)
    if how == "mean":
        return math.fsum(values) / len(values)
    if how == "sum":
        return math.fsum(values)
    return {"median": statistics.median, "min": min, "max": max}[how](values)


def _selector(where: Mapping[str, Any]) -> dict[str, Any]:
    return {
        str(name): [plain(one) for one in choice]
        if isinstance(choice, (list, tuple, set, frozenset))
        else plain(choice)
        for name, choice in where.items()
    }
