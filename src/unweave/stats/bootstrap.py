"""Bootstrap intervals over units (windows, documents) and over clusters of units (seeds, books)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from unweave.base.errors import UnweaveError
from unweave.base.seeds import numpy_generator

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from numpy.typing import ArrayLike, NDArray

_BLOCK = 1 << 20


@dataclass(frozen=True)
class Interval:
    """A mean with the ends of its interval, over ``n`` independent units. One unit has no interval: NaN ends."""

    mean: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class MedianRange:
    """A median with the lowest and highest of ``n`` values: what a handful of seeds allows to say."""

    median: float
    low: float
    high: float
    n: int


def mean_interval(values: ArrayLike, seed: int = 0, level: float = 0.95, resamples: int = 2000) -> Interval:
    """The mean of ``values`` (n,) with its percentile bootstrap interval over units.

    Raises ``UnweaveError`` for no values and for values that are not finite.
    Source: Efron, "Bootstrap methods: another look at the jackknife", 1979.
    """
    sample = finite_vector(values, "values")
    _check_plan(level, resamples)
    count = len(sample)
    if count == 1:
        return Interval(float(sample[0]), float("nan"), float("nan"), 1)
    sums = _resampled_sums(sample, resamples, numpy_generator(seed, "mean_interval"))
    low, high = _ends(sums / count, level)
    return Interval(float(sample.mean()), low, high, count)


def median_interval(values: ArrayLike, seed: int = 0, level: float = 0.95, resamples: int = 2000) -> Interval:
    """The median of ``values`` (n,) with its percentile bootstrap interval over units; ``mean`` holds the median."""
    sample = finite_vector(values, "values")
    _check_plan(level, resamples)
    count = len(sample)
    if count == 1:
        return Interval(float(sample[0]), float("nan"), float("nan"), 1)
    generator = numpy_generator(seed, "median_interval")
    medians = np.concatenate(
        [
            np.median(sample[generator.integers(count, size=(step, count))], axis=1)
            for step in _steps(resamples, max(1, _BLOCK // count))
        ]
    )
    low, high = _ends(medians, level)
    return Interval(float(np.median(sample)), low, high, count)


def paired_difference(
    before: ArrayLike, after: ArrayLike, seed: int = 0, level: float = 0.95, resamples: int = 2000
) -> Interval:
    """The mean of ``after - before`` unit by unit, with its interval; both (n,), in the same order of units."""
    return mean_interval(paired(before, after), seed, level, resamples)


def cluster_interval(
    values: ArrayLike,
    clusters: Sequence[Hashable],
    seed: int = 0,
    level: float = 0.95,
    resamples: int = 2000,
) -> Interval:
    """The mean of ``values`` (n,) with an interval that draws clusters first, then the units inside each.

    ``clusters`` (n,) names each unit's seed or book. Every unit weighs the same, also when clusters differ in size.
    ``n`` of the result counts clusters, and a single cluster has no interval, however many units it holds.
    Source: Davison and Hinkley, "Bootstrap Methods and their Application", 1997, section 3.8. Drawing inside the
    clusters too makes the interval a little wide when clusters are small.
    """
    sample = finite_vector(values, "values")
    _check_plan(level, resamples)
    names = list(clusters)
    if len(names) != len(sample):
        raise UnweaveError(f"{len(sample)} values with {len(names)} cluster names: give one name for each value")
    members: dict[Hashable, list[int]] = {}
    for index, name in enumerate(names):
        members.setdefault(name, []).append(index)
    groups = [sample[indices] for indices in members.values()]
    mean = float(sample.mean())
    if len(groups) == 1:
        return Interval(mean, float("nan"), float("nan"), 1)
    generator = numpy_generator(seed, "cluster_interval")
    drawn = generator.integers(len(groups), size=(resamples, len(groups)))
    sums = np.empty(drawn.shape)
    for index, group in enumerate(groups):
        places = drawn == index
        sums[places] = _resampled_sums(group, int(places.sum()), generator)
    sizes = np.array([len(group) for group in groups])
    low, high = _ends(sums.sum(axis=1) / sizes[drawn].sum(axis=1), level)
    return Interval(mean, low, high, len(groups))


def median_with_range(values: ArrayLike) -> MedianRange:
    """The median of ``values`` (n,) with the lowest and the highest of them."""
    sample = finite_vector(values, "values")
    return MedianRange(float(np.median(sample)), float(sample.min()), float(sample.max()), len(sample))


def paired(before: ArrayLike, after: ArrayLike) -> NDArray[np.float64]:
    """``after - before`` unit by unit (n,), or ``UnweaveError`` when the two do not have the same number of units."""
    first, second = finite_vector(before, "before"), finite_vector(after, "after")
    if len(first) != len(second):
        raise UnweaveError(f"{len(first)} values before and {len(second)} after: pairs need the same units in order")
    return second - first


def finite_vector(values: ArrayLike, what: str) -> NDArray[np.float64]:
    """``values`` as a float64 vector (n,), or ``UnweaveError`` when it is empty, not a vector or not finite."""
    vector = np.asarray(values, dtype=np.float64)
    if vector.ndim != 1:
        raise UnweaveError(f"{what} has shape {vector.shape}: give one number for each unit")
    if not len(vector):
        raise UnweaveError(f"{what} is empty: an interval needs at least one unit")
    bad = int((~np.isfinite(vector)).sum())
    if bad:
        raise UnweaveError(f"{bad} of {len(vector)} {what} are not finite: leave them out, and say how many they were")
    return vector


def _resampled_sums(values: NDArray[np.float64], times: int, generator: np.random.Generator) -> NDArray[np.float64]:
    sums = np.empty(times)
    step = max(1, _BLOCK // len(values))
    for start in range(0, times, step):
        stop = min(times, start + step)
        sums[start:stop] = values[generator.integers(len(values), size=(stop - start, len(values)))].sum(axis=1)
    return sums


def _steps(total: int, most: int) -> list[int]:
    return [min(most, total - start) for start in range(0, total, most)]


def _ends(means: NDArray[np.float64], level: float) -> tuple[float, float]:
    tail = (1 - level) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def _check_plan(level: float, resamples: int) -> None:
    if not 0 < level < 1:
        raise UnweaveError(f"level {level} is not between 0 and 1: use 0.95 for a 95 % interval")
    if resamples < 1:
        raise UnweaveError(f"{resamples} resamples: use at least 1, and 2000 for a 95 % interval")
