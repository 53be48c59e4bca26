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


def through(knots: Float64[np.ndarray, " w"], points: Float64[np.ndarray, "w k"], period: float = 0.0) -> CubicSpline:
    """The natural cubic spline, or with a ``period`` the periodic one, at ``points[i]`` where theta is ``knots[i]``.

    Its ``x`` are the knots in order, of a closed one with the first again a period later. Raises ``UnweaveError`` for
    two points at one knot. Source: de Boor, "A Practical Guide to Splines", 1978, chapter IV.
    """
    place = np.mod(knots, period) if period else knots
    order = np.argsort(place, kind="stable")
    ordered, points = place[order], points[order]
    if period:
        ordered, points = np.append(ordered, ordered[0] + period), np.vstack([points, points[:1]])
    steps = np.diff(ordered)
    if not (steps > 1e-9 * (ordered[-1] - ordered[0])).all():
        twice = float(ordered[int(np.argmin(steps))])
        raise UnweaveError(f"two points have the value {twice:g}: a spline needs each value once, so average them")
    return CubicSpline(ordered, points, bc_type="periodic" if period else "natural")


def between(knots: Float64[np.ndarray, " w"], per_span: int) -> Float64[np.ndarray, " g"]:
    """Theta at ``per_span`` even steps between each two neighbouring knots, ends included."""
    shares = np.arange(per_span) / per_span
    return np.append((knots[:-1, None] + shares * np.diff(knots)[:, None]).ravel(), knots[-1])


@family("natural spline", dimension=1, least=3, least_width=1)
def natural_spline(centroids: Float64[np.ndarray, "w d"], values: Values = None) -> Fitted:
    """The natural cubic spline through the centroids at their ordinal values; straight beyond its ends.

    Without values, knots are scores on the first principal axis. It may go on by one mean step at each end, as far as
    a line does. Raises ``UnweaveError`` for two centroids at one value.
    """
    knots = ordinals(values, centroids)
    mean, axes, scores = spanning(centroids)
    spline = through(knots, scores)
    first, last = spline.x[0], spline.x[-1]
    slopes = {end: spline(end, 1) for end in (first, last)}
    step = (last - first) / (len(knots) - 1)

    def local(theta: np.ndarray) -> np.ndarray:
        inside = np.clip(theta[:, 0], first, last)
        beyond = theta[:, 0] - inside
        slope = np.where(beyond[:, None] < 0, slopes[first], slopes[last])
        return spline(inside) + beyond[:, None] * slope

    low, high = np.array([[first - step]]), np.array([[last + step]])
    places = np.concatenate([low[0], between(spline.x, PER_KNOT), high[0]])[:, None]
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
    mean, axes, scores = spanning(centroids)
    spline = through(knots, scores, TURN)
    places, ends = between(spline.x, PER_KNOT)[:, None], np.array([[np.inf]])
    return Fitted(
        "closed spline", 1, centroids.size, mean, axes, lambda theta: spline(theta[:, 0]), places,
        -ends, ends, (TURN,), knots[:, None], {"first": float(spline.x[0])},
    )  # fmt: skip
