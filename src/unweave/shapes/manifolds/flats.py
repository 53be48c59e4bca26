"""Lines, planes and flats of any dimension: principal components."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

from unweave.shapes.manifolds.family import Values, family, flat_freedom, principal
from unweave.shapes.manifolds.fitted import Fitted


class Flat(Fitted):
    """A flat, whose nearest points need no search."""

    def nearest_by(self, metrics: np.ndarray, targets: np.ndarray) -> np.ndarray:
        return np.linalg.solve(metrics, targets.transpose(0, 2, 1)).transpose(0, 2, 1)


def flat(centroids: Float64[np.ndarray, "w d"], dimension: int) -> Fitted:
    """The flat of ``dimension`` that is nearest to ``centroids``: their mean and first principal axes.

    Source: Pearson, "On lines and planes of closest fit to systems of points in space", 1901.
    """
    origin, frame, scores = principal(centroids, dimension)
    ends = np.full((1, dimension), np.inf)
    return Flat(
        f"flat {dimension}",
        dimension,
        flat_freedom(dimension, centroids.shape[1]),
        origin,
        frame,
        lambda theta: theta,
        np.zeros((1, dimension)),
        -ends,
        ends,
        (0.0,) * dimension,
        scores,
        {f"deviation {axis + 1}": float(scores[:, axis].std()) for axis in range(dimension)},
    )


@family("line", dimension=1, least=2, least_width=1)
def line(centroids: Float64[np.ndarray, "w d"], values: Values = None) -> Fitted:
    """The first principal axis; theta is the distance from the mean along it."""
    del values
    return flat(centroids, 1)


@family("plane", dimension=2, least=3, least_width=2)
def plane(centroids: Float64[np.ndarray, "w d"], values: Values = None) -> Fitted:
    """The first two principal axes; theta holds both scores."""
    del values
    return flat(centroids, 2)
