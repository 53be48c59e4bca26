"""Observed change: how each column moved from before training to after, and how far that number can be relied on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Float64, Int

from unweave.base.errors import UnweaveError
from unweave.base.seeds import numpy_generator
from unweave.preferences.predictors.prompts import Prompts, drawn_weights

LEVEL = 0.95


@dataclass(frozen=True)
class Observed:
    """One entry a column; changes are in units of the untrained target's spread."""

    names: tuple[str, ...]
    change: Float64[np.ndarray, " m"]
    low: Float64[np.ndarray, " m"]
    high: Float64[np.ndarray, " m"]
    """95 % percentile bootstrap over prompts."""
    error: Float64[np.ndarray, " m"]
    """Standard error over prompts, from random halves of them."""
    reliability: Float64[np.ndarray, " m"]
    """Of the change, by halves of the prompts: the share of its square that another set of prompts would show again.
    From 0 to 1."""
    sample_reliability: Float64[np.ndarray, " m"]
    """The same by halves of each prompt's replies, on these prompts. NaN where a prompt has only one reply."""
    prompts: int
    replies: int
    """Before and after together."""
    splits: int
    """Random halvings that errors and reliabilities are means over."""

    def to_json(self) -> dict[str, Any]:
        """Plain values, NaN as None."""
        plain = {
            name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in asdict(self).items()
        }
        plain["sample_reliability"] = [None if np.isnan(each) else each for each in plain["sample_reliability"]]
        return plain | {"names": list(self.names)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Observed:
        """Back from ``to_json``; raises ``UnweaveError`` where something is missing or has another length."""
        columns = ("change", "low", "high", "error", "reliability", "sample_reliability")
        try:
            found: dict[str, Any] = {name: np.array(value[name], np.float64) for name in columns}
            found |= {name: int(value[name]) for name in ("prompts", "replies", "splits")}
            found["names"] = tuple(map(str, value["names"]))
        except (KeyError, TypeError, ValueError) as error:
            raise UnweaveError(f"not an observed change ({type(error).__name__}: {error}): observe it again") from error
        for name in columns:
            if found[name].shape != (len(found["names"]),):
                raise UnweaveError(
                    f"{name} of an observed change holds {found[name].shape} for {len(found['names'])} columns"
                )
        return cls(**found)


def observe(
    names: tuple[str, ...],
    before: Float[np.ndarray, "a m"],
    before_prompts: Int[np.ndarray, " a"],
    after: Float[np.ndarray, "b m"],
    after_prompts: Int[np.ndarray, " b"],
    spread: Float[np.ndarray, " m"],
    seed: int = 0,
    resamples: int = 1000,
    splits: int = 200,
) -> Observed:
    """The change of each column's mean, every prompt weighing the same; ``spread`` is ``Evidence.spread``.

    Reliability: with ``A`` and ``B`` the changes in two halves, ``r = mean(A B) / mean((A^2 + B^2) / 2)`` over random
    halvings, which is their correlation about 0, and ``2 r / (1 + r)`` by Spearman and Brown for the whole, at least 0.
    It tends to ``signal^2 / (signal^2 + error^2)``; .7 is a change of 1.8 standard errors.
    Raises ``UnweaveError`` for prompts that are answered on one side only, and for fewer than 2.
    """
    old, new = Prompts.of(before_prompts), Prompts.of(after_prompts)
    if not np.array_equal(old.ids, new.ids):
        odd = np.setxor1d(old.ids, new.ids)
        raise UnweaveError(
            f"prompt {odd[0]} and {len(odd) - 1} others are answered on one side only: sample both sides"
        )
    if len(old) < 2:
        raise UnweaveError(f"{len(old)} prompt: a change needs 2 or more to have an interval, and 100 to be relied on")
    for side, values, rows in (("before", before, len(old.index)), ("after", after, len(new.index))):
        if values.shape != (rows, len(names)) or not np.isfinite(values).all():
            raise UnweaveError(
                f"replies {side} are {values.shape}: {rows} rows of {len(names)} finite columns are needed"
            )
    first, second = (before / spread).astype(np.float64), (after / spread).astype(np.float64)
    moved = new.sums(second) / new.sizes[:, None] - old.sums(first) / old.sizes[:, None]
    weights = drawn_weights(len(old), resamples, seed, "observed").astype(np.float64)
    low, high = np.quantile(weights @ moved / len(old), [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    reliability, error = _reliability(*_halves_of_prompts(moved, splits, seed))
    sample_reliability = np.full(len(names), np.nan)
    if min(old.sizes.min(), new.sizes.min()) >= 2:
        generator = numpy_generator(seed, "halves", "samples")
        sides = [
            [_halves_of_samples(first, old, generator), _halves_of_samples(second, new, generator)]
            for _ in range(splits)
        ]
        halves = [np.stack([late[half] - early[half] for early, late in sides]) for half in (0, 1)]
        sample_reliability = _reliability(halves[0], halves[1])[0]
    change = moved.mean(0)
    replies = len(before) + len(after)
    return Observed(names, change, low, high, error, reliability, sample_reliability, len(old), replies, splits)


def _halves_of_prompts(moved: np.ndarray, splits: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = numpy_generator(seed, "halves", "prompts")
    count, half = len(moved), len(moved) // 2
    inside = np.zeros((splits, count))
    for row in inside:
        row[generator.permutation(count)[:half]] = 1
    return inside @ moved / half, (1 - inside) @ moved / (count - half)


def _halves_of_samples(values: np.ndarray, prompts: Prompts, generator: np.random.Generator) -> np.ndarray:
    """Means (2, m) over prompts, of two random halves of each prompt's rows."""
    order = np.lexsort((generator.random(len(values)), prompts.index))
    starts = np.cumsum(prompts.sizes) - prompts.sizes
    rank = np.arange(len(values)) - starts[prompts.index[order]].astype(int)
    first = np.zeros(len(values), bool)
    first[order] = rank < (prompts.sizes[prompts.index[order]] // 2)
    weights = np.where(first, 1.0, 0.0)
    found = []
    for side in (weights, 1 - weights):
        share = side / prompts.sums(side)[prompts.index] / len(prompts)
        found.append(share @ values)
    return np.stack(found)


def _reliability(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of the whole, and its standard error, from changes (splits, m) in two halves."""
    agreed, size = (first * second).mean(0), ((first**2 + second**2) / 2).mean(0)
    r = np.clip(np.divide(agreed, size, out=np.zeros_like(agreed), where=size > 0), 0, 1)
    return 2 * r / (1 + r), np.sqrt((((first - second) / 2) ** 2).mean(0))
