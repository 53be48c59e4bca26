"""Which way the pairs of a group lean: signed columns inside groups of rows against all other rows, with a null.

Source: Bergen et al. 2026 (arXiv 2606.12360): difference of means, Welch's z, Cohen's d, split halves, rules of what is
shown. Written here: the null of flipped pairs, without which a dataset that teaches nothing has rows to show.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64
from scipy import sparse

from unweave.base.errors import UnweaveError
from unweave.base.seeds import numpy_generator
from unweave.preferences.features.firings import Csr, column_sums, csr
from unweave.stats.permutation import max_null_threshold

NOTHING = 1e-6
"""A difference of means below this has no sign."""
COLUMN_VALUES = 1 << 25
Order = Literal["delta_min", "delta", "z", "d"]
ORDERS: tuple[Order, ...] = ("delta_min", "delta", "z", "d")


@dataclass(frozen=True)
class LeanConfig:
    """What a lean must have to be shown."""

    least_rows: int = 25
    """Rows in the group, and rows outside."""
    least_features: int = 4
    """Features in the column's cluster. The source's 10 are of 65,536 features in 814 clusters."""
    flips: int = 99
    """Tables of pairs whose chosen and rejected are exchanged at random."""
    level: float = 0.95
    """A shown z is above the largest of a flipped table in this share of them."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.least_rows < 2 or self.least_features < 1 or self.flips < 1:
            raise UnweaveError(
                f"least_rows, least_features and flips are {self.least_rows}, {self.least_features} and {self.flips}: "
                "at least 2, 1 and 1 are needed"
            )
        max_null_threshold(np.zeros(self.flips), self.level)  # refuses too few flips


@dataclass(frozen=True)
class Lean:
    """One group of rows and one column: positive leans to the chosen replies."""

    group: int
    column: int
    rows: int
    features: int
    inside: float
    """Mean of the column over the group."""
    delta: float
    """That minus the mean over all other rows."""
    z: float
    """Welch's."""
    d: float
    """Cohen's."""
    halves: tuple[float, float]
    """delta in each half of the rows."""
    delta_min: float
    """The smaller size of the two; 0 where their signs differ."""
    shown: bool


class _Statistics(NamedTuple):
    inside: Float64[np.ndarray, "k m"]
    delta: Float64[np.ndarray, "k m"]
    z: Float64[np.ndarray, "k m"]
    d: Float64[np.ndarray, "k m"]


@dataclass(frozen=True)
class LeanTable:
    """Every group (k) with every column (m), and what flipped pairs have."""

    inside: Float64[np.ndarray, "k m"]
    delta: Float64[np.ndarray, "k m"]
    z: Float64[np.ndarray, "k m"]
    d: Float64[np.ndarray, "k m"]
    halves: Float64[np.ndarray, "2 k m"]
    agrees: Bool[np.ndarray, "k m"]
    """Both halves have the same sign."""
    shown: Bool[np.ndarray, "k m"]
    sizes: Int64[np.ndarray, " k"]
    features: Int64[np.ndarray, " m"]
    overall: Float64[np.ndarray, " m"]
    """Mean of each column over all rows: what a change over all prompts is predicted from, not ``delta``."""
    least_z: float
    """What the size of a shown z is above."""
    agreeing_by_chance: float
    """How many leans of a flipped table have enough rows and features, and halves that agree: the source's rules."""
    shown_by_chance: float
    """How many of them are above ``least_z`` too."""
    config: LeanConfig

    @property
    def delta_min(self) -> Float64[np.ndarray, "k m"]:
        return np.where(self.agrees, np.abs(self.halves).min(0), 0.0)

    def leans(
        self,
        side: Literal["chosen", "rejected"] | None = None,
        order: Order = "delta_min",
        most: int | None = None,
        shown: bool = True,
    ) -> list[Lean]:
        """Leans as rows, the strongest first; only those to one ``side``, and those shown, unless asked otherwise."""
        if order not in ORDERS:
            raise UnweaveError(f"order {order!r} is not known: {', '.join(ORDERS)} are")
        wanted = self.shown.copy() if shown else np.ones_like(self.shown)
        if side is not None:
            wanted &= self.delta > 0 if side == "chosen" else self.delta < 0
        strength, delta_min = np.abs(getattr(self, order)), self.delta_min
        groups, columns = np.nonzero(wanted)
        places = np.argsort(-strength[groups, columns], kind="stable")[:most]
        return [
            Lean(
                int(k),
                int(m),
                int(self.sizes[k]),
                int(self.features[m]),
                *(float(each[k, m]) for each in (self.inside, self.delta, self.z, self.d)),
                halves=(float(self.halves[0, k, m]), float(self.halves[1, k, m])),
                delta_min=float(delta_min[k, m]),
                shown=bool(self.shown[k, m]),
            )
            for k, m in zip(groups[places], columns[places], strict=True)
        ]


def first_half(units: Sequence[str]) -> Bool[np.ndarray, " n"]:
    """About half of the rows, by a hash of the unit that each hangs in, so that their order means nothing."""
    kept = {unit: hashlib.sha256(unit.encode()).digest()[0] % 2 == 0 for unit in set(units)}
    return np.array([kept[unit] for unit in units], bool)


def measure_leans(
    signed: Float32[np.ndarray, "n m"],
    members: Csr,
    units: Sequence[str],
    features: Int64[np.ndarray, " m"],
    config: LeanConfig | None = None,
) -> LeanTable:
    """How much each column of ``signed`` differs between a group's rows and all others.

    ``signed`` is positive where a row's chosen reply has more of a column; its sign must be what exchanging the two
    replies turns over. ``members`` (n x k) is non-zero where a row is in a group; groups may overlap. ``units`` names
    what a row hangs in, its pair's id or its prompt's: rows of one unit stand in the same half and are flipped
    together. ``features`` says of how many features a column is. Raises ``UnweaveError`` for arrays that do not match.
    """
    config = config or LeanConfig()
    count, width = signed.shape
    if members.shape[0] != count or len(units) != count or len(features) != width:
        raise UnweaveError(
            f"signed is {signed.shape}, members {members.shape}, {len(units)} units and {len(features)} columns' "
            "features: give as many rows and columns in each"
        )
    inside = csr(members, dtype=np.float32)
    first = first_half(units)
    tables = _Tables(np.asarray(signed, np.float32), inside, first)
    whole, halves = tables.measure(None)
    agrees, sizes = _agree(halves), column_sums(inside).astype(np.int64)
    enough = np.minimum(sizes, count - sizes) >= config.least_rows
    eligible = enough[:, None] & (np.asarray(features) >= config.least_features)
    names, places = np.unique(np.asarray(units, np.str_), return_inverse=True)
    flipped = []
    for number in range(config.flips):
        signs = numpy_generator(config.seed, "leans", "flips", number).integers(2, size=len(names)) * 2 - 1
        flipped.append(_by_the_rules(tables, signs[places], eligible))
    least_z = max_null_threshold([each.max(initial=0.0) for each in flipped], config.level)
    return LeanTable(
        *whole,
        halves,
        agrees,
        eligible & agrees & (np.abs(whole.z) > least_z),
        sizes,
        np.asarray(features, np.int64),
        np.asarray(signed, np.float64).mean(0) if count else np.zeros(width),
        least_z,
        sum(len(each) for each in flipped) / config.flips,
        sum(int((each > least_z).sum()) for each in flipped) / config.flips,
        config,
    )


def _by_the_rules(
    tables: _Tables, signs: Int64[np.ndarray, " n"], eligible: Bool[np.ndarray, "k m"]
) -> Float64[np.ndarray, " p"]:
    """Sizes of the z of what the source's rules would show of a table with flipped pairs."""
    whole, halves = tables.measure(signs)
    return np.abs(whole.z[eligible & _agree(halves)])


def _agree(halves: Float64[np.ndarray, "2 k m"]) -> Bool[np.ndarray, "k m"]:
    return (np.sign(halves[0]) == np.sign(halves[1])) & (np.abs(halves) > NOTHING).all(0)


class _Tables:
    """The statistics of all groups and columns, for signs of the rows; their squares are summed once."""

    def __init__(self, signed: Float32[np.ndarray, "n m"], inside: Csr, first: Bool[np.ndarray, " n"]):
        self.signed = signed
        # Groups by half, and the halves themselves: whatever is needed of all rows is a sum of these.
        halves = csr(np.stack([first, ~first], 1).astype(np.float32))
        parts = [inside.multiply(half[:, None]) for half in (first, ~first)]
        self.parts = csr(sparse.vstack([*(part.T for part in parts), halves.T]), dtype=np.float64)
        self.groups = inside.shape[1]
        self.counts = self._by_half(np.asarray(self.parts.sum(1)))
        self.squares = self._by_half(self._summed(self.parts, squared=True))

    def measure(self, signs: Int64[np.ndarray, " n"] | None) -> tuple[_Statistics, Float64[np.ndarray, "2 k m"]]:
        parts = self.parts
        if signs is not None:
            held = (parts.data * signs[parts.indices], parts.indices, parts.indptr)
            parts = csr(held, shape=parts.shape)
        sums = self._by_half(self._summed(parts))
        halves = np.stack([_compare(self.counts[i], sums[i], self.squares[i]).delta for i in range(2)])
        return _compare(self.counts.sum(0), sums.sum(0), self.squares.sum(0)), halves

    def _summed(self, parts: Csr, squared: bool = False) -> Float64[np.ndarray, "2k+2 m"]:
        # Some columns at a time, so that there is no second copy of all in double precision.
        step = max(COLUMN_VALUES // max(len(self.signed), 1), 1)
        found = []
        for at in range(0, self.signed.shape[1], step):
            values = self.signed[:, at : at + step].astype(np.float64)
            found.append(parts @ (np.square(values) if squared else values))
        return np.concatenate(found, axis=1) if found else np.zeros((parts.shape[0], 0))

    def _by_half(self, sums: np.ndarray) -> Float64[np.ndarray, "2 k+1 m"]:
        """A row a group, and one for all rows of the half."""
        first, second = sums[: self.groups], sums[self.groups : 2 * self.groups]
        return np.stack([np.vstack([first, sums[-2:-1]]), np.vstack([second, sums[-1:]])])


def _compare(counts: np.ndarray, sums: np.ndarray, squares: np.ndarray) -> _Statistics:
    """Each group, the rows but the last, against the rest of the last; 0 where a side has fewer than two rows."""
    with np.errstate(divide="ignore", invalid="ignore"):
        (n_in, mean_in, var_in), (n_out, mean_out, var_out) = (
            _moments(*sides)
            for sides in (
                (counts[:-1], sums[:-1], squares[:-1]),
                (counts[-1:] - counts[:-1], sums[-1:] - sums[:-1], squares[-1:] - squares[:-1]),
            )
        )
        delta = mean_in - mean_out
        pooled = ((n_in - 1) * var_in + (n_out - 1) * var_out) / (n_in + n_out - 2)
        found = _Statistics(mean_in, delta, delta / np.sqrt(var_in / n_in + var_out / n_out), delta / np.sqrt(pooled))
    whole = np.broadcast_to(np.minimum(n_in, n_out) >= 2, delta.shape)
    return _Statistics(*(np.where(whole & np.isfinite(each), each, 0.0) for each in found))


def _moments(count: np.ndarray, total: np.ndarray, squares: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    mean = total / count
    variance = (squares - count * mean**2) / (count - 1)
    # A constant column is left with a variance of about its rounding.
    return count, mean, np.where(variance > 1e-9 * squares / count, variance, 0.0)
