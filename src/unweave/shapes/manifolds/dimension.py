"""How many dimensions points have near each of them."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

from unweave.base.errors import UnweaveError
from unweave.shapes.manifolds.family import checked


def two_nn(points: Float64[np.ndarray, "n d"], discarded: float = 0.1) -> float:
    """The intrinsic dimension by the ratio of the distances to the second and the first neighbour.

    The slope through 0 of -log(1 - F) on log ratio, without the largest ``discarded`` share of ratios. It sees only the
    finest scale, so that noise counts as dimensions once it exceeds the spacing of points. Raises ``UnweaveError`` for
    fewer than 4 points and for duplicates. Source: Facco et al. 2017, "Estimating the intrinsic dimension of datasets
    by a minimal neighborhood information", equation 5.
    """
    if not 0 <= discarded < 1:
        raise UnweaveError(f"discarded is {discarded}: give a share below 1, such as 0.1")
    distances = _neighbours(points, 2)[0]
    ratios = np.sort(np.log(distances[:, 1] / distances[:, 0]))
    count = len(ratios)
    kept = min(max(int(count * (1 - discarded)), 2), count - 1)
    height = -np.log1p(-np.arange(1, kept + 1) / count)
    return float(ratios[:kept] @ height / (ratios[:kept] @ ratios[:kept]))


def local_pca(points: Float64[np.ndarray, "n d"], neighbours: int = 10, share: float = 0.95) -> float:
    """The mean number of principal axes that hold ``share`` of the variance of a point's ``neighbours`` and itself.

    At most ``neighbours``; where noise fills all columns it tends to that. Raises ``UnweaveError`` as the others do.
    Source: Fukunaga and Olsen 1971, "An algorithm for finding intrinsic dimensionality of data".
    """
    if neighbours < 2 or not 0 < share < 1:
        raise UnweaveError(f"{neighbours} neighbours and share {share}: give 2 or more, and a share such as 0.95")
    indices = _neighbours(points, neighbours)[1]
    near = np.asarray(points, np.float64)[np.concatenate([np.arange(len(points))[:, None], indices], 1)]
    sizes = np.linalg.svd(near - near.mean(1, keepdims=True), compute_uv=False) ** 2
    shares = np.cumsum(sizes, 1) / sizes.sum(1, keepdims=True)
    return float(1 + (shares < share).sum(1).mean())


def _neighbours(points: Float64[np.ndarray, "n d"], count: int) -> tuple[np.ndarray, np.ndarray]:
    """Distances and indices [n, count] of the nearest other points."""
    from sklearn.neighbors import NearestNeighbors

    given = checked(points)
    if len(given) < count + 2:
        raise UnweaveError(f"{len(given)} points with {count} neighbours each: at least {count + 2} points are needed")
    distances, indices = NearestNeighbors(n_neighbors=count).fit(given).kneighbors()
    if not (distances[:, 0] > 0).all():
        raise UnweaveError(f"{int((distances[:, 0] == 0).sum())} points are given twice: leave the duplicates out")
    return distances, indices
