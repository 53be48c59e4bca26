"""Distances that values are known to have, and their correlation with distances between centroids."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import permutations
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64

from unweave.base.errors import UnweaveError, nearest
from unweave.base.seeds import numpy_generator
from unweave.shapes.manifolds.trees import hierarchy
from unweave.stats.permutation import exceeds_null, max_null_threshold

Square = Float64[np.ndarray, "w w"]
MOST_EXACT = 7
"""Values of which all orders are counted (5040)."""
_BLOCK = 512

METRICS: dict[str, Callable[..., Square]] = {}


def metric(name: str) -> Callable[[Callable[..., Square]], Callable[..., Square]]:
    """Registers a function from values to their distances [w, w] under ``name``."""

    def register(function: Callable[..., Square]) -> Callable[..., Square]:
        if name in METRICS:
            raise UnweaveError(f"a metric named {name!r} is registered already: choose another name")
        METRICS[name] = function
        return function

    return register


def value_distances(name: str, values: Sequence[object] | np.ndarray, **options: float) -> Square:
    """Distances [w, w] of ``values`` by a registered metric, such as ``circular`` with its ``period``.

    Raises ``UnweaveError`` for an unknown name.
    """
    if name not in METRICS:
        raise UnweaveError(f"no metric is named {name!r}; {nearest(name, METRICS)}")
    return METRICS[name](values, **options)


@metric("linear")
def linear(values: Float64[np.ndarray, "w ..."]) -> Square:
    """How far apart numbers [w] are, or points [w, v]."""
    from scipy.spatial.distance import pdist, squareform

    return squareform(pdist(_numbers(values).reshape(len(values), -1)))


@metric("circular")
def circular(values: Float64[np.ndarray, " w"], period: float) -> Square:
    """The shorter way round a circle of circumference ``period``, in the unit of the values."""
    if not period > 0:
        raise UnweaveError(f"period is {period}: give the length of the way round, such as 7 for weekdays")
    one = np.mod(_numbers(values), period)
    apart = np.abs(one[:, None] - one)
    return np.minimum(apart, period - apart)


METRICS["hue"] = partial(circular, period=360.0)


@metric("great-circle")
def great_circle(places: Float64[np.ndarray, "w 2"]) -> Square:
    """Angles in radians between places given as latitude and longitude in degrees (haversine)."""
    given = _numbers(places)
    if given.ndim != 2 or given.shape[1] != 2 or (np.abs(given[:, 0]) > 90).any():
        raise UnweaveError(f"places have shape {given.shape}: give latitude (-90 to 90) and longitude of each")
    latitude, longitude = np.radians(given).T
    half = np.sin((latitude[:, None] - latitude) / 2) ** 2
    half += np.cos(latitude[:, None]) * np.cos(latitude) * np.sin((longitude[:, None] - longitude) / 2) ** 2
    return 2 * np.arcsin(np.sqrt(np.clip(half, 0, 1)))


@metric("tree path")
def tree_path(paths: Sequence[tuple[str, ...]]) -> Square:
    """Edges between the ends of paths from one root."""
    return hierarchy(paths).distances()


def centroid_distances(centroids: Float64[np.ndarray, "w d"]) -> Square:
    return linear(centroids)


class DistanceCorrelation(NamedTuple):
    """Pearson's r of two lists of distances, its one-sided p, and the r that chance exceeds in 5 % of orders."""

    r: float
    p: float
    threshold: float
    values: int


class LayerSearch(NamedTuple):
    """The layer with the largest r, tested against the largest r of each order of the values over all layers."""

    layer: int
    r: float
    p: float
    threshold: float
    by_layer: tuple[float, ...]


class HeldOutLayer(NamedTuple):
    """The layer that one set of distances is best at, and r of another set there; the null repeats the choice."""

    layer: int
    r: float
    p: float
    threshold: float
    chosen_by: tuple[float, ...]
    """r of each layer on the set that chose."""
    by_layer: tuple[float, ...]
    """r of each layer on the set that tests."""


def distance_correlation(distances: Square, known: Square, shuffles: int = 999, seed: int = 0) -> DistanceCorrelation:
    """Whether centroids are the farther apart the farther their values are.

    The null deals the values to the centroids anew: pairs share values, so shuffling pairs would count each value many
    times. With at most 7 values all orders are counted; on a circle of 7 no p can be below 14/5040. Raises
    ``UnweaveError`` for fewer than 4 values and for distances that are all the same.
    Source: Mantel, "The detection of disease clustering and a generalized regression approach", 1967.
    """
    found = best_layer(np.asarray(distances)[None], known, shuffles, seed)
    return DistanceCorrelation(found.r, found.p, found.threshold, len(known))


def best_layer(layers: Float64[np.ndarray, "l w w"], known: Square, shuffles: int = 999, seed: int = 0) -> LayerSearch:
    """The layer whose distances correlate best with the known ones; the null repeats the choice.

    Every order of the values is one order for all layers, and the largest r over layers is kept of each: the layer that
    was found is held against the best that chance finds in as many. As ``distance_correlation`` otherwise.
    """
    count, first, second, theirs = _compared(layers, known, shuffles)
    ours = _standard(np.asarray(layers, np.float64)[:, first, second])
    by_layer = ours @ theirs
    best = int(by_layer.argmax())
    null = np.concatenate([(ours @ dealt).max(0) for dealt in _dealt(known, shuffles, seed)])
    p, threshold = _against(float(by_layer[best]), null, count)
    return LayerSearch(best, float(by_layer[best]), p, threshold, tuple(float(each) for each in by_layer))


def held_out_layer(
    choose: Float64[np.ndarray, "l w w"],
    test: Float64[np.ndarray, "l w w"],
    known: Square,
    shuffles: int = 999,
    seed: int = 0,
) -> HeldOutLayer:
    """The layer whose ``choose`` distances correlate best with the known ones, and r of its ``test`` distances.

    Of every order of the values the layer is chosen anew on ``choose``, and r there taken on ``test``: both are of the
    same values, so that a layer may look good on both by one accident. As ``best_layer`` otherwise.
    """
    count, first, second, theirs = _compared(choose, known, shuffles)
    if np.shape(test) != np.shape(choose):
        raise UnweaveError(f"distances of shapes {np.shape(choose)} and {np.shape(test)}: give the same layers twice")
    choosing, testing = (_standard(np.asarray(each, np.float64)[:, first, second]) for each in (choose, test))
    chosen_by, by_layer = choosing @ theirs, testing @ theirs
    best = int(chosen_by.argmax())
    reached = []
    for dealt in _dealt(known, shuffles, seed):
        layers = (choosing @ dealt).argmax(0)
        reached.append(np.take_along_axis(testing @ dealt, layers[None], 0)[0])
    p, threshold = _against(float(by_layer[best]), np.concatenate(reached), count)
    return HeldOutLayer(
        best, float(by_layer[best]), p, threshold, tuple(map(float, chosen_by)), tuple(map(float, by_layer))
    )


def _compared(layers: np.ndarray, known: Square, shuffles: int) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
    """How many values there are, rows and columns of their pairs, and the known distances of those, standardised."""
    given, true = np.asarray(layers), np.asarray(known, np.float64)
    count = len(true)
    if given.ndim != 3 or given.shape[1:] != (count, count) or true.shape != (count, count) or count < 4:
        raise UnweaveError(f"distances of shapes {given.shape} and {true.shape}: give squares of 4 values or more")
    if shuffles < 19:
        raise UnweaveError(f"{shuffles} shuffles cannot reach 0.05: run at least 19")
    first, second = np.triu_indices(count, 1)
    return count, first, second, _standard(true[first, second][None])[0]


def _dealt(known: Square, shuffles: int, seed: int) -> Iterator[Float64[np.ndarray, "p s"]]:
    """The known distances of each pair after the values were dealt anew, standardised, a column for each order."""
    true = np.asarray(known, np.float64)
    first, second = np.triu_indices(len(true), 1)
    for orders in _orders(len(true), shuffles, seed):
        dealt = true[orders[:, first], orders[:, second]]
        yield (dealt - dealt.mean(1, keepdims=True)).T / _norm(true[first, second])


def _against(found: float, null: Float64[np.ndarray, " s"], count: int) -> tuple[float, float]:
    """One-sided p, and what 5 % of the null exceed."""
    if count <= MOST_EXACT:
        # All orders, the observed one among them; rounding must not count it as another.
        return float((null >= found - 1e-9).mean()), float(np.quantile(null, 0.95))
    return exceeds_null(found, null).p, max_null_threshold(null)


def _orders(count: int, shuffles: int, seed: int) -> Iterator[Int64[np.ndarray, "s w"]]:
    if count <= MOST_EXACT:
        every = np.array(list(permutations(range(count))), np.int64)
        yield from np.array_split(every, math.ceil(len(every) / _BLOCK))
        return
    generator = numpy_generator(seed, "distance correlation")
    for start in range(0, shuffles, _BLOCK):
        yield generator.permuted(np.tile(np.arange(count), (min(_BLOCK, shuffles - start), 1)), axis=1)


def _norm(values: np.ndarray) -> float:
    return float(np.linalg.norm(values - values.mean()))


def _standard(lists: Float64[np.ndarray, "l p"]) -> Float64[np.ndarray, "l p"]:
    centred = lists - lists.mean(1, keepdims=True)
    size = np.linalg.norm(centred, axis=1, keepdims=True)
    if not np.isfinite(lists).all() or (size <= 1e-12 * np.abs(lists).max()).any():
        raise UnweaveError("distances are not finite, or all the same: there is nothing to correlate")
    return centred / size


def _numbers(values: object) -> np.ndarray:
    found = np.asarray(values, np.float64)
    if not np.isfinite(found).all():
        raise UnweaveError("some values are not finite: leave them out")
    return found
