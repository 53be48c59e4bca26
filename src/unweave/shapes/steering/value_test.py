"""A mean over pairs of values, and whether it is zero, with values as what is independent and not their pairs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from unweave.base.errors import UnweaveError


class PairsMean(NamedTuple):
    """A mean over pairs with its interval and two-sided p; both are NaN where values are too few to leave one out."""

    mean: float
    low: float
    high: float
    p: float
    values: int


def pairs_mean(numbers: Sequence[float], pairs: Sequence[tuple[int, int]], level: float = 0.95) -> PairsMean:
    """The mean of a number for each pair, with a t interval from leaving out one value (all its pairs) at a time.

    Pairs share values: n pairs are not n observations. For a statistic of pairs the jackknife's variance is on average
    too large, never too small, so the p is on the safe side; flipping signs by value is not, because a pair has two.
    Raises ``UnweaveError`` for no pairs and numbers that are not finite.
    Source: Efron and Stein, "The jackknife estimate of variance", 1981.
    """
    from scipy.stats import t

    given = np.asarray(numbers, np.float64)
    if not len(given) or len(given) != len(pairs) or not np.isfinite(given).all():
        raise UnweaveError(
            f"{len(given)} numbers for {len(pairs)} pairs: give one finite number for each of some pairs"
        )
    ends = np.asarray(pairs)
    values = np.unique(ends)
    kept = [(ends != value).all(1) for value in values]
    mean = float(given.mean())
    if len(values) < 4 or not all(rows.any() for rows in kept):
        return PairsMean(mean, math.nan, math.nan, math.nan, len(values))
    without = np.array([given[rows].mean() for rows in kept])
    count = len(values)
    error = math.sqrt((count - 1) / count * ((without - without.mean()) ** 2).sum())
    half = float(t.isf((1 - level) / 2, count - 1)) * error
    # All alike to rounding: then any difference from 0 is certain, and none is none.
    if error <= 1e-12 * max(abs(mean), 1e-300):
        return PairsMean(mean, mean, mean, 0.0 if mean else 1.0, count)
    p = float(2 * t.sf(abs(mean) / error, count - 1))
    return PairsMean(mean, mean - half, mean + half, p, count)
