"""Whether values lie on a ring, told from centroids alone, and whether a ring that was found is the known one."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from unweave.base.errors import UnweaveError
from unweave.base.seeds import numpy_generator
from unweave.shapes.manifolds.distances import circular, distance_correlation
from unweave.shapes.manifolds.family import principal
from unweave.stats.permutation import exceeds_null, max_null_threshold

TURN = 2 * math.pi
Plane = Float64[np.ndarray, "l w 2"]


class Ring(NamedTuple):
    """The layer whose values are most like a ring, and where on it each of them is."""

    layer: int
    """Index into the layers that were given."""
    angles: Float64[np.ndarray, " w"]
    """In radians, in [0, 2 pi)."""
    score: float
    """Of the test centroids there, by ``ring_scores``."""
    p: float
    threshold: float
    """What 5 % of surrogates reach."""
    by_layer: Float64[np.ndarray, " l"]
    """Scores of the test centroids."""


class RingOrder(NamedTuple):
    """How near the ring that was found is to the known circle."""

    r: float
    """Pearson's, between ways round the found ring and ways round the known circle."""
    p: float
    threshold: float
    adjacency: float
    """Share of the known neighbours that are neighbours on the found ring."""
    adjacency_p: float
    adjacency_threshold: float


def find_ring(
    fit: Float64[np.ndarray, "l w d"],
    choose: Float64[np.ndarray, "l w d"],
    test: Float64[np.ndarray, "l w d"],
    shuffles: int = 199,
    seed: int = 0,
) -> Ring:
    """The ring of a concept's values, from centroids of three sets of templates, without any order of the values.

    At each layer the plane is that of the first two principal axes of ``fit``, each divided by its deviation there. The
    layer is the one whose ``choose`` centroids are most like a ring in that plane; score and angles are those of
    ``test`` there. Of each surrogate, in which the values' scores on the second axis are dealt anew (the same for all
    layers and sets), the layer is chosen again. Raises ``UnweaveError`` for fewer than 4 values and for centroids that
    are on a line at every layer. Source of the surrogates: Theiler et al., "Testing for nonlinearity in time series",
    1992; the score and the three sets are this project's.
    """
    if not fit.shape == choose.shape == test.shape or fit.ndim != 3 or fit.shape[1] < 4:
        raise UnweaveError(
            f"centroids of shapes {fit.shape}, {choose.shape}, {test.shape}: give [layers, 4 or more, d]"
        )
    choosing, testing = _planes(fit, choose), _planes(fit, test)
    chosen, by_layer = ring_scores(choosing), ring_scores(testing)
    best = int(chosen.argmax())
    generator = numpy_generator(seed, "concept ring")
    null = []
    for _ in range(shuffles):
        order = generator.permutation(fit.shape[1])
        layer = int(ring_scores(_dealt(choosing, order)).argmax())
        null.append(float(ring_scores(_dealt(testing[layer : layer + 1], order))[0]))
    found = float(by_layer[best])
    return Ring(best, _angles(testing[best]), found, exceeds_null(found, null).p, max_null_threshold(null), by_layer)


def ring_scores(planes: Plane) -> Float64[np.ndarray, " l"]:
    """How like a ring points in a plane are: evenness of their distance from the middle times that of their angles.

    The first is 1 less the deviation of the squared distance over its mean, which is 1 on a circle and 0 for a Gaussian
    cloud; below 0 counts as 0. The second is 1 less the widest gap between neighbouring angles, as a share of the way
    round, 0 where all are together and 1 where they are as far apart as can be.
    """
    centred = planes - planes.mean(1, keepdims=True)
    squared = (centred**2).sum(2)
    round_ = 1 - squared.std(1) / np.maximum(squared.mean(1), 1e-300)
    angles = np.sort(_angles(centred), axis=1)
    gaps = np.diff(np.concatenate([angles, angles[:, :1] + TURN], 1), axis=1)
    least = TURN / planes.shape[1]
    even = 1 - (gaps.max(1) - least) / (TURN - least)
    return np.maximum(round_, 0) * even


def compare_with_circle(
    angles: Float64[np.ndarray, " w"], known: Float64[np.ndarray, " w"], shuffles: int = 999, seed: int = 0
) -> RingOrder:
    """Whether the ways round a found ring are those of the known circle; both in radians.

    The null deals the values to the places on the ring anew. Raises ``UnweaveError`` as ``distance_correlation`` does.
    """
    found = distance_correlation(circular(angles, TURN), circular(known, TURN), shuffles, seed)
    theirs = _neighbours(known)
    shared = len(_neighbours(angles) & theirs) / len(theirs)
    generator = numpy_generator(seed, "concept ring", "neighbours")
    null = [len(_neighbours(generator.permutation(angles)) & theirs) / len(theirs) for _ in range(shuffles)]
    return RingOrder(found.r, found.p, found.threshold, shared, exceeds_null(shared, null).p, max_null_threshold(null))


def _planes(fit: Float64[np.ndarray, "l w d"], points: Float64[np.ndarray, "l w d"]) -> Plane:
    found = np.empty((*fit.shape[:2], 2))
    for layer, (ours, theirs) in enumerate(zip(fit, points, strict=True)):
        mean, axes, scores = principal(ours, 2)
        deviation = scores.std(0)
        flat = deviation.size < 2 or deviation[1] <= 1e-9 * deviation[0]
        # Where labels end in one of two tokens, what enters the first block is one of two points: no plane, no ring.
        found[layer] = 0.0 if flat else (theirs - mean) @ axes.T / deviation
    if not found.any():
        raise UnweaveError(f"{fit.shape[1]} centroids lie on a line at every layer: no ring is there")
    return found


def _dealt(planes: Plane, order: np.ndarray) -> Plane:
    return np.stack([planes[:, :, 0], planes[:, order, 1]], 2)


def _angles(plane: Float64[np.ndarray, "*l w 2"]) -> Float64[np.ndarray, "*l w"]:
    return np.mod(np.arctan2(plane[..., 1], plane[..., 0]), TURN)


def _neighbours(angles: Float64[np.ndarray, " w"]) -> set[frozenset[int]]:
    order = np.argsort(angles, kind="stable").tolist()
    return {frozenset(pair) for pair in zip(order, order[1:] + order[:1], strict=True)}
