"""How near distances are to those of a tree, by the four-point condition."""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from unweave.base.errors import UnweaveError
from unweave.base.seeds import numpy_generator

EXACT = 40
"""Points of which all sets of four are looked at (91,390)."""
DRAWN = 100_000


class TreeLikeness(NamedTuple):
    """Both are 0 for the distances of a tree."""

    hyperbolicity: float
    """Gromov's delta: the largest four-point gap, halved, as a share of the largest distance; at most 0.5."""
    delta: float
    """The mean over fours of (largest - middle) / (largest - smallest) of their three sums of distances, in [0, 1]."""


def tree_likeness(distances: Float64[np.ndarray, "w w"], seed: int = 0) -> TreeLikeness:
    """The four-point condition on all fours of up to 40 points, or on 100,000 fours drawn from more.

    Distances that are all alike are of a star: its hyperbolicity is 0, and so is nearly that of noise in many columns,
    which is why ``delta`` is there: it is about a half for noise at any size. Raises ``UnweaveError`` for fewer than
    four points. Source: Gromov, "Hyperbolic groups", 1987; Holland, Huber, Dress and Moulton, "Delta plots", 2002.
    """
    count = len(distances)
    if distances.shape != (count, count) or count < 4 or not np.isfinite(distances).all():
        raise UnweaveError(f"distances have shape {distances.shape}: four points or more are needed, all finite")
    if count <= EXACT:
        fours = np.array(list(combinations(range(count), 4)))
    else:
        generator = numpy_generator(seed, "tree likeness")
        fours = generator.integers(count, size=(DRAWN, 4))
        fours = fours[(np.diff(np.sort(fours, 1), axis=1) > 0).all(1)]
    a, b, c, d = fours.T
    sums = np.sort(
        [
            distances[a, b] + distances[c, d],
            distances[a, c] + distances[b, d],
            distances[a, d] + distances[b, c],
        ],
        axis=0,
    )
    gap, range_ = sums[2] - sums[1], sums[2] - sums[0]
    # Sums that differ by rounding only are of a star.
    told = range_ > 1e-9 * sums[2]
    shares = np.divide(gap, range_, out=np.zeros_like(gap), where=told)
    widest = float(distances.max()) or 1.0
    return TreeLikeness(float(gap.max()) / 2 / widest, float(shares.mean()))
