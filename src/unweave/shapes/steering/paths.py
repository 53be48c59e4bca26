"""Ways from one value to another through a model's states: along the manifold, straight, and their controls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Float64

from unweave.base.errors import UnweaveError, nearest
from unweave.base.seeds import numpy_generator
from unweave.shapes.manifolds.distances import centroid_distances
from unweave.shapes.manifolds.family import principal
from unweave.shapes.manifolds.splines import TURN, cyclic_knots
from unweave.shapes.steering.curve import Curve, dealt, path_length
from unweave.shapes.steering.system import Labelled, Layout

MANIFOLD, CHORD, IN_SUBSPACE, RENORMED = "manifold", "chord", "chord in subspace", "chord renormed"
SHUFFLED = "shuffled curve"
WAYS = (MANIFOLD, CHORD, IN_SUBSPACE, RENORMED)
"""The ways of which there is one; shuffled curves are numbered: ``shuffled curve 0``, ``shuffled curve 1`` ..."""


def shuffled(number: int) -> str:
    """The name of a shuffled curve."""
    return f"{SHUFFLED} {number}"


@dataclass(frozen=True)
class Manifold:
    """Centroids of w values and the curve through them in a subspace of principal components of the states.

    A state x is ``mean + u @ axes`` plus what is orthogonal to the subspace; ``curve`` goes through the u of the
    centroids.
    """

    mean: Float64[np.ndarray, " d"]
    axes: Float64[np.ndarray, "k d"]
    explained: float
    """Share of the states' variance that the subspace holds."""
    centroids: Float64[np.ndarray, "w d"]
    curve: Curve
    _shuffled: dict[tuple[str, int], Curve] = field(default_factory=dict, init=False, repr=False, compare=False)

    def shuffled(self, way: str, seed: int) -> Curve:
        """A curve through the same centroids in another order, which the name of the way and ``seed`` draw."""
        if (way, seed) not in self._shuffled:
            knots = dealt(self.curve.knots, numpy_generator(seed, way), self.curve.period)
            self._shuffled[way, seed] = Curve(knots, self.curve.points, self.curve.period)
        return self._shuffled[way, seed]

    def inside(self, states: Float[np.ndarray, "n d"]) -> Float64[np.ndarray, "n k"]:
        """Coordinates of states in the subspace."""
        return (np.asarray(states, np.float64) - self.mean) @ self.axes.T

    def outside(self, states: Float[np.ndarray, "n d"]) -> Float64[np.ndarray, "n d"]:
        """What of states is orthogonal to the subspace."""
        return np.asarray(states, np.float64) - self.mean - self.inside(states) @ self.axes

    def put(self, places: Float64[np.ndarray, "p k"], bases: Float[np.ndarray, "b d"]) -> Float64[np.ndarray, "b p d"]:
        """Each base state with its coordinates in the subspace replaced, and the orthogonal rest kept."""
        return self.mean + self.outside(bases)[:, None] + places @ self.axes


def fit_manifold(labelled: Labelled, known: Layout, components: int = 32) -> Manifold:
    """The manifold of values: a natural spline at their known places, or a closed one at the angles of their centroids.

    The subspace is of the first ``components`` principal components of all states (fewer where there are fewer
    states); knots of a closed curve are ``manifolds.splines.cyclic_knots`` of the centroids within it, so that the
    order round the circle is found, not given. Raises ``UnweaveError`` for a value without states.
    Source: "Manifold steering", arXiv 2605.05115, with 64 components.
    """
    states, index = np.asarray(labelled.states, np.float64), labelled.index
    count = len(known.places)
    sizes = np.bincount(index, minlength=count)
    if len(sizes) > count or not sizes.all():
        raise UnweaveError(f"values {np.flatnonzero(sizes[:count] == 0).tolist()} of {count} have no states: give some")
    if components < 2:
        raise UnweaveError(f"components is {components}: a curve needs a subspace of 2 or more")
    mean, axes, scores = principal(states, min(components, len(states) - 1, states.shape[1]))
    total = ((states - mean) ** 2).sum()
    centroids = np.stack([states[index == value].mean(0) for value in range(count)])
    within = (centroids - mean) @ axes.T
    knots, period = (cyclic_knots(within), TURN) if known.period else (known.places, 0.0)
    return Manifold(mean, axes, float((scores**2).sum() / total), centroids, Curve(knots, within, period))


@dataclass(frozen=True)
class Waypoints:
    """A way in two parts: the states of each base context, and the same places seen without any context."""

    states: Float64[np.ndarray, "b p d"]
    plain: Float64[np.ndarray, "p d"]


def waypoints(
    manifold: Manifold, way: str, first: int, second: int, shares: Float64[np.ndarray, " p"],
    bases: Float[np.ndarray, "b d"], seed: int = 0,
) -> Waypoints:  # fmt: skip
    """States at ``shares`` (0 to 1) of a way from one value to another, by number.

    - manifold: along the curve, the short way round, each base keeping what is orthogonal to the subspace;
    - chord: straight from centroid to centroid, in the full space; nothing of the base is kept;
    - chord in subspace: straight between the centroids' coordinates, with the base's orthogonal rest, as the manifold;
    - chord renormed: the chord moved out from the mean of centroids until it is as far from it as the centroids are,
      going evenly from the one's distance to the other's; nothing of the base is kept;
    - shuffled curve N: as the manifold, along a spline through the same centroids in another order, drawn by ``seed``.

    Raises ``UnweaveError`` for another way.
    """
    share = shares[:, None]
    places = None
    if way == MANIFOLD or way.startswith(SHUFFLED):
        curve = manifold.curve if way == MANIFOLD else manifold.shuffled(way, seed)
        places = curve.at(curve.between(first, second, shares))
    elif way == IN_SUBSPACE:
        ends = manifold.curve.points
        places = (1 - share) * ends[first] + share * ends[second]
    if places is not None:
        return Waypoints(manifold.put(places, bases), manifold.mean + places @ manifold.axes)
    ends = manifold.centroids
    line = (1 - share) * ends[first] + share * ends[second]
    if way == RENORMED:
        middle = ends.mean(0)
        radius = np.linalg.norm(ends - middle, axis=1)
        wanted = (1 - shares) * radius[first] + shares * radius[second]
        found = np.linalg.norm(line - middle, axis=1)
        line = middle + (line - middle) * (wanted / np.maximum(found, 1e-9 * wanted))[:, None]
    elif way != CHORD:
        raise UnweaveError(f"no way is named {way!r}; {nearest(way, [*WAYS, shuffled(0)])}")
    return Waypoints(np.broadcast_to(line, (len(bases), *line.shape)), line)


def way_lengths(manifold: Manifold, way: str, seed: int = 0) -> Float64[np.ndarray, "w w"]:
    """How long a way through states is between every two values, however many waypoints it is walked in.

    Raises ``UnweaveError`` for a way that ``waypoints`` does not know.
    """
    if way == MANIFOLD or way.startswith(SHUFFLED):
        return (manifold.curve if way == MANIFOLD else manifold.shuffled(way, seed)).lengths()
    if way in (CHORD, IN_SUBSPACE):
        return centroid_distances(manifold.centroids if way == CHORD else manifold.curve.points)
    found, shares = np.zeros((len(manifold.centroids),) * 2), np.linspace(0, 1, 100)
    for first, second in zip(*np.triu_indices(len(found), 1), strict=True):
        line = waypoints(manifold, way, int(first), int(second), shares, manifold.centroids[:0], seed).plain
        found[first, second] = found[second, first] = path_length(line)
    return found


def neighbours_and_far(
    known: Layout, metric: Float64[np.ndarray, "w w"], most: int, seed: int = 0
) -> list[tuple[int, int, str]]:
    """Pairs of values as (first, second, ``near`` or ``far``); near ones are the least distance apart.

    All of them, or where those are more than ``most`` a draw of that many, half of it near if there are as many.
    """
    count = len(known.places)
    pairs = [(a, b) for a in range(count) for b in range(a + 1, count)]
    near = [pair for pair in pairs if metric[pair] <= known.step * (1 + 1e-6)]
    far = [pair for pair in pairs if metric[pair] > known.step * (1 + 1e-6)]
    if len(pairs) > most:
        half = min(len(near), most // 2)
        generator = numpy_generator(seed, "pairs of values")
        near = _drawn(near, half, generator)
        far = _drawn(far, most - half, generator)
    return [(*pair, "near") for pair in near] + [(*pair, "far") for pair in far]


def exchanged(
    pairs: Sequence[tuple[int, int, str]], metric: Float64[np.ndarray, "w w"], seed: int = 0
) -> frozenset[int]:
    """The numbers of half of the near and half of the far pairs: of each two that are about as far, one by a coin.

    Where two ways change names in these pairs, neither name costs less on average, whatever the ways cost.
    """
    generator = numpy_generator(seed, "exchanged ways")
    found = []
    for distance in ("near", "far"):
        here = [number for number, pair in enumerate(pairs) if pair[2] == distance]
        shuffled_first = [here[int(place)] for place in generator.permutation(len(here))]
        alike = sorted(shuffled_first, key=lambda number: metric[pairs[number][:2]])
        for start in range(0, len(alike), 2):
            # Of an odd number the last is alone, and is exchanged or not.
            chosen = start + int(generator.integers(2))
            found += alike[chosen : chosen + 1]
    return frozenset(found)


def _drawn(pairs: Sequence[tuple[int, int]], most: int, generator: np.random.Generator) -> list[tuple[int, int]]:
    if len(pairs) <= most:
        return list(pairs)
    return [pairs[int(each)] for each in np.sort(generator.permutation(len(pairs))[:most])]
