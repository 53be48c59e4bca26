"""What a handful of seeds allows to say: a mean with a t interval whose width is at least the pooled noise."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from unweave.base.errors import UnweaveError
from unweave.stats.bootstrap import finite_vector


@dataclass(frozen=True)
class Noisy:
    """The mean of ``n`` seeds, its standard error, and the interval; with one value there is neither (NaN)."""

    mean: float
    error: float
    low: float
    high: float
    n: int

    def p_above(self, bar: float) -> float:
        """One-sided p that the true mean is not above ``bar``."""
        from scipy.special import stdtr

        if self.n < 2:
            return 1.0
        if self.error == 0:
            return 0.0 if self.mean > bar else 1.0
        return float(stdtr(self.n - 1, (bar - self.mean) / self.error))

    def p_below(self, bar: float) -> float:
        """One-sided p that the true mean is not below ``bar``."""
        from scipy.special import stdtr

        if self.n < 2:
            return 1.0
        if self.error == 0:
            return 0.0 if self.mean < bar else 1.0
        return float(stdtr(self.n - 1, (self.mean - bar) / self.error))


def noisy_mean(values: Sequence[float], level: float = 0.95, floor: float = 0.0) -> Noisy:
    """The mean of ``values`` (n,) with its two-sided t interval.

    ``floor`` is the standard deviation below which the seeds' own is not believed: among few seeds some agree by luck.
    Source: Student, "The probable error of a mean", 1908.
    """
    from scipy.special import stdtrit

    if not 0 < level < 1:
        raise UnweaveError(f"level {level} is not between 0 and 1: use 0.95 for a 95 % interval")
    sample = finite_vector(values, "values")
    count, mean = len(sample), float(sample.mean())
    if count == 1:
        return Noisy(mean, math.nan, math.nan, math.nan, 1)
    error = max(float(sample.std(ddof=1)), floor) / math.sqrt(count)
    half = float(stdtrit(count - 1, (1 + level) / 2)) * error
    return Noisy(mean, error, mean - half, mean + half, count)


def pooled_deviation(groups: Iterable[Sequence[float]]) -> tuple[float, int]:
    """The standard deviation inside ``groups`` and its degrees of freedom: what repeats of one setting differ by."""
    squares, freedom = 0.0, 0
    for group in groups:
        if len(group) > 1:
            values = finite_vector(group, "values")
            squares += float(np.square(values - values.mean()).sum())
            freedom += len(values) - 1
    return (math.sqrt(squares / freedom), freedom) if freedom else (0.0, 0)
