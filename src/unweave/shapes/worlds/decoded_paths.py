"""Paths between two positions of the car: where the world model shows it on the way, along a curve and along chords."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64

from unweave.base.errors import UnweaveError, nearest
from unweave.base.seeds import numpy_generator
from unweave.shapes.manifolds.family import principal
from unweave.shapes.steering.curve import Curve
from unweave.shapes.steering.paths import CHORD, IN_SUBSPACE, MANIFOLD, SHUFFLED, Manifold, waypoints
from unweave.shapes.worlds.car_system import CarSystem
from unweave.shapes.worlds.states import centroids

WAYS = (MANIFOLD, CHORD, IN_SUBSPACE, SHUFFLED)
MEASURES = ("error", "unexplained", "jumps")
NEAR = 3
"""Bins apart, at most, that count as near."""
HELD = 0.95
"""Of the centroids' variance, in the subspace of the chord in it."""
_LEAST_DRAWS = 19


@dataclass(frozen=True)
class DecodedPaths:
    """What the predicted pictures show along paths between pairs of values, one number a pair, means over contexts."""

    way: str
    pairs: Int64[np.ndarray, "m 2"]
    error: Float64[np.ndarray, " m"]
    """Mean distance of the car from where it was meant to be, in the units of the track (1.8 long)."""
    unexplained: Float64[np.ndarray, " m"]
    """Mean share of the picture that no single car explains."""
    jumps: Float64[np.ndarray, " m"]
    """How often the car moves by more than a bin from one step to the next, though it was meant to by less."""

    @property
    def near(self) -> np.ndarray:
        return np.abs(self.pairs[:, 1] - self.pairs[:, 0]) <= NEAR

    def measure(self, name: str) -> Float64[np.ndarray, " m"]:
        if name not in MEASURES:
            raise UnweaveError(f"no measure is named {name!r}; {nearest(name, MEASURES)}")
        return getattr(self, name)


def decoded_paths(
    system: CarSystem,
    layer: int,
    way: str,
    pairs: Int64[np.ndarray, "m 2"] | None = None,
    steps: int = 50,
    seed: int = 0,
) -> DecodedPaths:
    """Where the car is along the path of each pair (all by default), in ``steps`` steps, ends included.

    The car is meant to go evenly from the first position to the second. ``manifold`` is the natural spline through the
    centroids at their positions, ``chord`` the straight line between two centroids, ``chord in subspace`` that line
    with what is outside the centroids' first principal axes (as many as hold 95 % of their variance) left as it is in
    each context; ``shuffled curve``, the null, is a spline through the same centroids with the ones between both ends
    dealt to the positions in another order. Every way but the ``chord in subspace`` replaces the whole state.

    Raises ``UnweaveError`` for an unknown way, a pair of one value and too few steps to tell a jump.
    """
    if way not in WAYS:
        raise UnweaveError(f"no way is named {way!r}; {nearest(way, WAYS)}")
    count = len(system.values)
    chosen = np.stack(np.triu_indices(count, 1), 1) if pairs is None else np.asarray(pairs, np.int64)
    if chosen.ndim != 2 or chosen.shape[1] != 2 or (chosen[:, 0] == chosen[:, 1]).any():
        raise UnweaveError(f"pairs have shape {chosen.shape}: give two different values of each, [m, 2]")
    bin_width = float(system.edges[1] - system.edges[0])
    widest = float(system.metric[chosen[:, 0], chosen[:, 1]].max())
    if (steps - 1) * bin_width < 1.5 * widest:
        raise UnweaveError(f"{steps} steps: give {int(1.5 * widest / bin_width) + 2} or more, so that a jump shows")
    means = centroids(system.states(layer), count)
    bases = system.bases(layer)
    generator = numpy_generator(seed, "decoded paths")
    shares = np.linspace(0, 1, steps)
    manifold = _manifold(means, system.positions, HELD if way == IN_SUBSPACE else 1)
    found = np.empty((len(MEASURES), len(chosen)))
    for index, (first, second) in enumerate(chosen):
        ends = system.positions[[first, second]]
        meant = ends[0] + shares * (ends[1] - ends[0])
        walked = manifold
        if way == SHUFFLED:
            order = np.arange(count)
            rest = np.setdiff1d(order, [first, second])
            order[rest] = generator.permutation(rest)
            curve = Curve(system.positions, manifold.curve.points[order])
            walked = Manifold(manifold.mean, manifold.axes, manifold.explained, means, curve)
        steered = waypoints(walked, MANIFOLD if way == SHUFFLED else way, first, second, shares, bases)
        placed = steered.states
        if way != IN_SUBSPACE:
            placed = np.broadcast_to(steered.plain, placed.shape)
        seen = system.decoded(layer, placed)
        leaps = np.abs(np.diff(seen.positions, axis=1)) > bin_width
        found[:, index] = np.abs(seen.positions - meant).mean(), seen.unexplained.mean(), leaps.sum(1).mean()
    return DecodedPaths(way, chosen, *found)


class Difference(NamedTuple):
    """The mean over pairs of one way's measure less another's, with its 95 % interval."""

    mean: float
    low: float
    high: float
    pairs: int
    values: int


def difference(
    one: DecodedPaths, other: DecodedPaths, measure: str, near: bool | None = None, draws: int = 2000, seed: int = 0
) -> Difference:
    """How much more ``one`` has of ``measure`` than ``other``, over all pairs, the near or the far ones.

    Pairs share values, so that values are what is drawn anew: a pair weighs as often as both its values were drawn.
    Raises ``UnweaveError`` where the two are not of the same pairs. Source: Snijders and Borgatti, "Non-parametric
    standard errors and tests for network statistics", 1999.
    """
    if not np.array_equal(one.pairs, other.pairs):
        raise UnweaveError(f"{len(one.pairs)} and {len(other.pairs)} pairs that differ: compare ways over the same")
    if draws < _LEAST_DRAWS:
        raise UnweaveError(f"{draws} draws are too few for an interval: give 2000")
    kept = np.ones(len(one.pairs), bool) if near is None else one.near == near
    if not kept.any():
        raise UnweaveError(f"none of the {len(kept)} pairs is {'near' if near else 'far'}: give others")
    gap = (one.measure(measure) - other.measure(measure))[kept]
    first, second = one.pairs[kept].T
    values = int(one.pairs.max()) + 1
    generator = numpy_generator(seed, "decoded paths", "values drawn")
    often = generator.multinomial(values, np.full(values, 1 / values), size=draws)
    weights = often[:, first] * often[:, second]
    total = weights.sum(1)
    means = (weights[total > 0] @ gap) / total[total > 0]
    low, high = np.quantile(means, [0.025, 0.975])
    return Difference(float(gap.mean()), float(low), float(high), len(gap), values)


def _manifold(centroids: Float64[np.ndarray, "w d"], positions: Float64[np.ndarray, " w"], share: float) -> Manifold:
    """The natural spline through the centroids in the principal axes that hold ``share`` of their variance."""
    mean, axes, scores = principal(centroids, min(centroids.shape[1], len(centroids) - 1))
    held = np.cumsum((scores**2).sum(0)) / (scores**2).sum()
    kept = len(axes) if share == 1 else int(np.searchsorted(held, share)) + 1
    return Manifold(mean, axes[:kept], float(held[kept - 1]), centroids, Curve(positions, scores[:, :kept]))
