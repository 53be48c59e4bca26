"""Splines that pass through every centroid: open and closed curves."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float64
from scipy.interpolate import CubicSpline

from unweave.base.errors import UnweaveError
from unweave.shapes.manifolds.family import Values, family, ordinals, principal, spanning
from unweave.shapes.manifolds.fitted import Fitted

TURN = 2 * math.pi
PER_KNOT = 6
"""Places between two knots from which a nearest point is sought."""


def cyclic_knots(centroids: Float64[np.ndarray, "w d"]) -> Float64[np.ndarray, " w"]:
    """Angles in [0, 2 pi): atan2 of the scores on the first two principal axes, each divided by its deviation.

    Raises ``UnweaveError`` where the centroids lie on a line. Source: Goodfire's ``causalab``, the code of "manifold
    steering" (arXiv 2605.05115); the paper's text omits the division, which moves angles by up to 0.13.
    """
    scores = principal(centroids, 2)[2]
    deviation = scores.std(0)
    if deviation.size < 2 or deviation[1] <= 1e-9 * deviation[0]:
        raise UnweaveError(f"{len(centroids)} centroids lie on a line: a closed curve needs two directions")
    first, second = (scores / deviation).T
    return np.mod(np.arctan2(second, first), TURN)


@family("natural spline", dimension=1, least=3, least_width=1)
def natural_spline(centroids: Float64[np.ndarray, "w d"], values: Values = None) -> Fitted:
    """The natural cubic spline through the centroids at their ordinal values; straight beyond its ends.

    Without values, knots are scores on the first principal axis. It may go on by one mean step at each end, as far as
    a line does. Raises ``UnweaveError`` for two centroids at one value. Source: de Boor, "A Practical Guide to
    Splines", 1978, chapter IV.
    """
    knots = ordinals(values, centroids)
    order = np.argsort(knots, kind="stable")
    sorted_knots = _apart(knots[order])
    mean, axes, scores = spanning(centroids)
    spline = CubicSpline(sorted_knots, scores[order], bc_type="natural")
    first, last = sorted_knots[0], sorted_knots[-1]
    slopes = {end: spline(end, 1) for end in (first, last)}
    step = (last - first) / (len(knots) - 1)

    def local(theta: np.ndarray) -> np.ndarray:
        inside = np.clip(theta[:, 0], first, last)
        beyond = theta[:, 0] - inside
        slope = np.where(beyond[:, None] < 0, slopes[first], slopes[last])
        return spline(inside) + beyond[:, None] * slope

    low, high = np.array([[first - step]]), np.array([[last + step]])
    places = np.concatenate([low[0], _between(sorted_knots), high[0]])[:, None]
    return Fitted(
        "natural spline", 1, centroids.size, mean, axes, local, places, low, high, (0.0,), knots[:, None],
        {"first": float(first), "last": float(last)},
    )  # fmt: skip


@family("closed spline", dimension=1, least=4, least_width=2)
def closed_spline(centroids: Float64[np.ndarray, "w d"], values: Values = None) -> Fitted:
    """The periodic cubic spline, twice continuously differentiable, through the centroids at ``cyclic_knots``.

    Raises ``UnweaveError`` for two centroids at one angle.
    """
    del values
    knots = cyclic_knots(centroids)
    order = np.argsort(knots, kind="stable")
    around = _apart(np.append(knots[order], knots[order[0]] + TURN))
    mean, axes, scores = spanning(centroids)
    ring = scores[np.append(order, order[0])]
    spline = CubicSpline(around, ring, bc_type="periodic")
    ends = np.array([[np.inf]])
    return Fitted(
        "closed spline", 1, centroids.size, mean, axes, lambda theta: spline(theta[:, 0]), _between(around)[:, None],
        -ends, ends, (TURN,), knots[:, None], {"first": float(around[0])},
    )  # fmt: skip


def _apart(knots: Float64[np.ndarray, " w"]) -> Float64[np.ndarray, " w"]:
    steps = np.diff(knots)
    if not (steps > 1e-9 * (knots[-1] - knots[0])).all():
        place = float(knots[int(np.argmin(steps))])
        raise UnweaveError(f"two centroids have the value {place:g}: a spline needs each value once, so average them")
    return knots


def _between(knots: Float64[np.ndarray, " w"]) -> Float64[np.ndarray, " g"]:
    shares = np.arange(PER_KNOT) / PER_KNOT
    return np.append((knots[:-1, None] + shares * np.diff(knots)[:, None]).ravel(), knots[-1])
