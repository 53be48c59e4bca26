"""Loops: one-dimensional persistent homology of a cloud of points, and a score of how clearly there is one circle.

Written here because ``ripser`` brings eleven packages (matplotlib and a compiler among them) and parts of ``gudhi`` are
under the GPL; a few dozen points need neither.
"""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from unweave.base.errors import UnweaveError
from unweave.shapes.manifolds.family import checked

LANDMARKS = 40


class LoopScore(NamedTuple):
    """``score`` is 1 - birth / death of the loop that lasts longest, in [0, 1]; ``second`` that of the next."""

    score: float
    second: float
    birth: float
    death: float


def loop_score(points: Float64[np.ndarray, "n d"], landmarks: int = LANDMARKS) -> LoopScore:
    """How long the longest-lived loop among ``points`` lasts; 0 where there is none.

    W points evenly on a circle have birth 2 sin(pi / W) and death sqrt(3), in radii, where 3 divides W. More than
    ``landmarks`` points are thinned to that many, each the farthest from those before it. Compare it with the score of
    ``surrogates``: noise has loops too. Raises ``UnweaveError`` for fewer than 4 points.
    """
    given = checked(points)
    if len(given) < 4 or landmarks < 4:
        raise UnweaveError(f"{len(given)} points and {landmarks} landmarks: a loop needs 4 or more of each")
    from scipy.spatial.distance import pdist, squareform

    bars = loops(squareform(pdist(given[_farthest(given, landmarks)])))
    if not len(bars):
        return LoopScore(0.0, 0.0, 0.0, 0.0)
    order = np.argsort(bars[:, 0] - bars[:, 1])
    scores = 1 - bars[order, 0] / bars[order, 1]
    birth, death = bars[order[0]]
    return LoopScore(float(scores[0]), float(scores[1]) if len(scores) > 1 else 0.0, float(birth), float(death))


def loops(distances: Float64[np.ndarray, "n n"]) -> Float64[np.ndarray, "b 2"]:
    """Birth and death of each loop of the Vietoris-Rips complexes of ``distances``, over the field of two elements.

    Loops that are born and die at one length are left out. Time grows with the cube of n: 0.3 s for 40.
    Source: Edelsbrunner, Letscher and Zomorodian, "Topological persistence and simplification", 2002.
    """
    count = len(distances)
    if distances.shape != (count, count) or not np.isfinite(distances).all():
        raise UnweaveError(f"distances have shape {distances.shape}: give a square of finite numbers")
    first, second = np.triu_indices(count, 1)
    order = np.argsort(distances[first, second], kind="stable")
    lengths = distances[first, second][order]
    rank = np.empty((count, count), np.int64)
    rank[first[order], second[order]] = rank[second[order], first[order]] = np.arange(len(order))
    triples = np.array(list(combinations(range(count), 3)), np.int64).reshape(-1, 3)
    sides = np.stack([rank[triples[:, i], triples[:, j]] for i, j in ((0, 1), (0, 2), (1, 2))], 1)
    sides = sides[np.argsort(sides.max(1), kind="stable")]
    # A column is a set of edges, held as the bits of one integer, the latest edge as its highest bit.
    reduced: dict[int, int] = {}
    bars = []
    cycles = len(lengths) - (count - 1)
    for edges in sides.tolist():
        column = (1 << edges[0]) ^ (1 << edges[1]) ^ (1 << edges[2])
        while column:
            latest = column.bit_length() - 1
            other = reduced.get(latest)
            if other is None:
                reduced[latest] = column
                birth, death = lengths[latest], lengths[max(edges)]
                if death > birth:
                    bars.append((birth, death))
                break
            column ^= other
        if len(reduced) == cycles:
            break
    return np.array(bars, np.float64).reshape(-1, 2)


def _farthest(points: Float64[np.ndarray, "n d"], count: int) -> np.ndarray:
    """Indices of ``count`` points, from the one nearest to the mean on, each the farthest from those before it."""
    if len(points) <= count:
        return np.arange(len(points))
    found = [int(((points - points.mean(0)) ** 2).sum(1).argmin())]
    apart = ((points - points[found[0]]) ** 2).sum(1)
    while len(found) < count:
        found.append(int(apart.argmax()))
        apart = np.minimum(apart, ((points - points[found[-1]]) ** 2).sum(1))
    return np.array(found)
