"""A handful of seeds: what their mean says, how far apart equal arms come, and a test of paired differences."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from unweave.base.errors import UnweaveError
from unweave.stats.bootstrap import Interval, finite_vector, paired
from unweave.stats.permutation import sign_flip_test

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


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


class PairedTest(NamedTuple):
    """``p`` that a mean paired difference is zero (two-sided), and by which test: ``sign flips`` or ``paired t``."""

    p: float
    test: str


def student_interval(values: ArrayLike, level: float = 0.95) -> Interval:
    """The mean of ``values`` (n,) with Student's interval: what a handful of seeds allows, where resampling them gives
    intervals that are too narrow. One value has no interval: NaN ends.
    """
    sample = finite_vector(values, "values")
    _check(1, level)
    count, mean = len(sample), float(sample.mean())
    if count == 1:
        return Interval(mean, math.nan, math.nan, 1)
    half = _quantile((1 + level) / 2, count) * float(sample.std(ddof=1)) / math.sqrt(count)
    return Interval(mean, mean - half, mean + half, count)


def noise_floor(baseline: ArrayLike, count: int, level: float = 0.95) -> float:
    """The difference of means that an arm of ``count`` values equal to ``baseline`` (n,) stays within at ``level``.

    It comes from the baseline's own spread and Student's t with n - 1 degrees of freedom; values that share seeds
    differ by less. One value has no spread: NaN. Values that are all the same: 0.
    """
    values = finite_vector(baseline, "baseline")
    _check(count, level)
    return _quantile((1 + level) / 2, len(values)) * _error_of_difference(values, count)


def detectable_difference(baseline: ArrayLike, count: int, level: float = 0.95, power: float = 0.8) -> float:
    """The true difference that passes ``noise_floor`` in a share ``power`` of repeats, by the usual approximation.

    Source: Cohen, "Statistical Power Analysis for the Behavioral Sciences", 1988, with t for the normal quantiles.
    """
    values = finite_vector(baseline, "baseline")
    _check(count, level)
    if not 0 < power < 1:
        raise UnweaveError(f"power {power} is not between 0 and 1: use 0.8")
    reach = _quantile((1 + level) / 2, len(values)) + _quantile(power, len(values))
    return reach * _error_of_difference(values, count)


def paired_test(before: ArrayLike, after: ArrayLike, comparisons: int = 1, level: float = 0.95) -> PairedTest:
    """A test that the mean of ``after - before`` (n,) is zero, one of ``comparisons`` that Holm's method adjusts.

    Sign flips, which assume nothing but symmetry, where n pairs can reach ``level`` with them (6 pairs for one
    comparison at 0.95); with fewer pairs Student's t, which takes the differences to be normal. One pair: p is 1.
    """
    differences = paired(before, after)
    count = len(differences)
    if comparisons < 1 or not 0 < level < 1:
        raise UnweaveError(f"{comparisons} comparisons at level {level}: give 1 or more, and a level such as 0.95")
    if 2.0 ** (1 - count) * comparisons <= 1 - level + 1e-12:
        return PairedTest(sign_flip_test(before, after), "sign flips")
    if count == 1:
        return PairedTest(1.0, "paired t")
    from scipy.stats import t

    mean, error = float(differences.mean()), float(differences.std(ddof=1)) / math.sqrt(count)
    if error == 0:
        return PairedTest(0.0 if mean else 1.0, "paired t")
    return PairedTest(float(2 * t.sf(abs(mean) / error, count - 1)), "paired t")


def _error_of_difference(values: ArrayLike, count: int) -> float:
    sample = finite_vector(values, "baseline")
    if len(sample) == 1:
        return math.nan
    return float(sample.std(ddof=1)) * math.sqrt(1 / len(sample) + 1 / count)


def _quantile(share: float, count: int) -> float:
    from scipy.stats import t

    return float(t.ppf(share, count - 1)) if count > 1 else math.nan


def _check(count: int, level: float) -> None:
    if count < 1:
        raise UnweaveError(f"{count} values in the other arm: give 1 or more")
    if not 0 < level < 1:
        raise UnweaveError(f"level {level} is not between 0 and 1: use 0.95")
