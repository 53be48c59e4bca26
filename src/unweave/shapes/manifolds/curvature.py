"""Whether points lie on a bent sheet: ways along it against straight ones, and heights over its plane."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from unweave.base.errors import UnweaveError
from unweave.base.seeds import numpy_generator
from unweave.shapes.manifolds.family import checked, principal
from unweave.stats.permutation import exceeds_null

FOLDS = 5


class SheetTest(NamedTuple):
    """Held-out R^2 of the third principal score by a plane and by a quadratic sheet over the first two."""

    plane: float
    sheet: float
    p: float
    """That heights dealt to the points anew give the sheet as large a gain over the plane."""

    @property
    def gain(self) -> float:
        return self.sheet - self.plane


def geodesic_ratio(points: Float64[np.ndarray, "n d"], neighbours: int = 5) -> float:
    """The mean, over pairs, of the way along the graph of nearest neighbours to the straight distance; 1 is flat.

    A pair is joined where either is among the other's ``neighbours``. Noise makes ways longer too, so compare with
    ``surrogates``. Raises ``UnweaveError`` where the graph falls apart. Source: Tenenbaum, de Silva and Langford,
    "A global geometric framework for nonlinear dimensionality reduction", 2000.
    """
    from scipy.sparse.csgraph import dijkstra
    from scipy.spatial.distance import pdist
    from sklearn.neighbors import kneighbors_graph

    given = checked(points)
    if not 1 <= neighbours < len(given):
        raise UnweaveError(f"{neighbours} neighbours among {len(given)} points: give 1 or more, and fewer than points")
    graph = kneighbors_graph(given, neighbours, mode="distance")
    ways = dijkstra(graph, directed=False)[np.triu_indices(len(given), 1)]
    if not np.isfinite(ways).all():
        raise UnweaveError(f"with {neighbours} neighbours the points fall into parts that no way joins: give more")
    straight = pdist(given)
    if not (straight > 0).all():
        raise UnweaveError("a point is given twice: leave the duplicates out")
    return float((ways / straight).mean())


def sheet_test(
    points: Float64[np.ndarray, "n d"],
    shuffles: int = 199,
    seed: int = 0,
    groups: Sequence[object] | np.ndarray | None = None,
    deal: Callable[[Float64[np.ndarray, " n"], np.random.Generator], Float64[np.ndarray, " n"]] | None = None,
) -> SheetTest:
    """Whether the third principal score is a quadratic function of the first two, in cross-validation.

    The axes are those of all points, for the null as well, which deals the third score to the points anew. Points that
    hang together need ``groups``, one name a point, which are left out whole, and ``deal``, which draws heights of the
    null; else there are five folds, and every order of the heights is as likely. Raises ``UnweaveError`` for fewer
    than 12 points or 3 columns, for points on one plane, and for a single group.
    """
    given = checked(points)
    if len(given) < 12 or given.shape[1] < 3:
        raise UnweaveError(f"{len(given)} points of width {given.shape[1]}: 12 points and 3 columns are needed")
    scores = principal(given, 3)[2]
    deviation = scores.std(0)
    if deviation[2] <= 1e-9 * deviation[0]:
        raise UnweaveError(f"{len(given)} points lie on one plane: there is no height over it to explain")
    x, y, height = (scores / deviation).T
    generator = numpy_generator(seed, "sheet test")
    if groups is None:
        fold = generator.permutation(len(given)) % FOLDS
    else:
        fold = np.unique(np.asarray(groups), return_inverse=True)[1]
        if len(fold) != len(given) or fold.max() == 0:
            raise UnweaveError(f"{len(fold)} names of {fold.max() + 1} groups, {len(given)} points: name two or more")
    draw = deal or (lambda given, generator: generator.permutation(given))
    heights = np.stack([height, *(draw(height, generator) for _ in range(shuffles))], 1)
    flat = np.stack([np.ones_like(x), x, y], 1)
    plane = _held_out(flat, heights, fold)
    sheet = _held_out(np.concatenate([flat, np.stack([x * x, x * y, y * y], 1)], 1), heights, fold)
    gains = sheet - plane
    return SheetTest(float(plane[0]), float(sheet[0]), exceeds_null(float(gains[0]), gains[1:]).p)


def _held_out(terms: Float64[np.ndarray, "n t"], heights: Float64[np.ndarray, "n s"], fold: np.ndarray) -> np.ndarray:
    """R^2 of each column of ``heights`` against the mean of the training folds."""
    missed, varied = np.zeros(heights.shape[1]), np.zeros(heights.shape[1])
    for each in np.unique(fold):
        test = fold == each
        weights = np.linalg.lstsq(terms[~test], heights[~test], rcond=None)[0]
        missed += ((heights[test] - terms[test] @ weights) ** 2).sum(0)
        varied += ((heights[test] - heights[~test].mean(0)) ** 2).sum(0)
    return 1 - missed / varied
