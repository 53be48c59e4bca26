"""Clusters: a few centres and nothing between them, which a tree or a curve must do better than."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

from unweave.base.errors import UnweaveError
from unweave.shapes.manifolds.fitted import Fitted

NAME = "clusters"
_MOST_COUNTS = 12


class Centres(Fitted):
    """Points, of which the nearest is found by trying each; theta is a centre's number."""

    def nearest_by(self, metrics: np.ndarray, targets: np.ndarray) -> np.ndarray:
        # Places are rows of the identity: |c|^2 - 2 b.c is the metric's diagonal less twice the target.
        cost = np.diagonal(metrics, axis1=1, axis2=2)[:, None] - 2 * targets
        return cost.argmin(2)[:, :, None].astype(np.float64)


def clusters(centroids: Float64[np.ndarray, "w d"], count: int) -> Fitted:
    """The means of ``count`` groups of centroids, joined so that the squared distances within groups grow least.

    Raises ``UnweaveError`` where there are not as many centroids. Source: Ward, "Hierarchical grouping to optimize an
    objective function", 1963.
    """
    from scipy.cluster.hierarchy import fcluster, linkage

    if not 1 <= count <= len(centroids):
        raise UnweaveError(f"{count} clusters of {len(centroids)} centroids: give 1 to {len(centroids)}")
    group = fcluster(linkage(centroids, "ward"), count, "maxclust") - 1
    mean = centroids.mean(0)
    means = np.stack([centroids[group == each].mean(0) for each in range(group.max() + 1)])
    numbers = np.arange(len(means), dtype=np.float64)[:, None]
    return Centres(
        NAME, 0, means.size, mean, means - mean, lambda theta: np.eye(len(means))[theta[:, 0].astype(np.int64)],
        numbers, numbers[:1], numbers[-1:], (0.0,), group[:, None].astype(np.float64), {"count": float(len(means))},
    )  # fmt: skip


def counts(values: int) -> list[int]:
    """Numbers of clusters to try: from 2 to half of the values, closer together where they are few."""
    tried = np.geomspace(2, max(values // 2, 2), _MOST_COUNTS)
    return sorted({round(each) for each in tried})
