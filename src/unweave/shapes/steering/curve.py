"""A cubic spline through points at given knots, open or closed, and the way along it from one knot to another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float64
from scipy.interpolate import CubicSpline

from unweave.base.errors import UnweaveError
from unweave.shapes.manifolds.splines import between, through


@dataclass(frozen=True)
class Curve:
    """The natural spline, or with a ``period`` the periodic one, that is at ``points[i]`` where theta is ``knots[i]``.

    Raises ``UnweaveError`` for fewer than 3 points (4 of a closed one) and for two points at one knot.
    """

    knots: Float64[np.ndarray, " w"]
    points: Float64[np.ndarray, "w k"]
    period: float = 0.0
    _spline: CubicSpline = field(init=False, repr=False)

    def __post_init__(self) -> None:
        count, least = len(self.knots), 4 if self.period else 3
        if self.points.ndim != 2 or len(self.points) != count or count < least:
            raise UnweaveError(f"{count} knots and points of shape {self.points.shape}: give {least} or more of each")
        object.__setattr__(self, "_spline", through(self.knots, self.points, self.period))

    def at(self, theta: Float64[np.ndarray, " p"]) -> Float64[np.ndarray, "p k"]:
        """Points at ``theta``; beyond an open curve's ends its ends."""
        ends = self._spline.x
        return self._spline(theta if self.period else np.clip(theta, ends[0], ends[-1]))

    def between(self, first: int, second: int, shares: Float64[np.ndarray, " p"]) -> Float64[np.ndarray, " p"]:
        """Theta at ``shares`` (0 to 1) of the way from one point's knot to another's, the short way round."""
        apart = self.knots[second] - self.knots[first]
        if self.period:
            apart = (apart + self.period / 2) % self.period - self.period / 2
        return self.knots[first] + shares * apart

    def samples(self, per_span: int) -> Float64[np.ndarray, " g"]:
        """Theta at ``per_span`` even steps between each two neighbouring knots, ends included."""
        return between(self._spline.x, per_span)

    def lengths(self, per_span: int = 40) -> Float64[np.ndarray, "w w"]:
        """Lengths along the curve between every two points, each the way that ``between`` goes."""
        theta = self.samples(per_span)
        along = np.append(0.0, np.cumsum(np.linalg.norm(np.diff(self.at(theta), axis=0), axis=1)))
        knots = theta[0] + np.mod(self.knots - theta[0], self.period) if self.period else self.knots
        place = np.interp(knots, theta, along)
        apart = np.abs(place[:, None] - place)
        other_way = np.abs(knots[:, None] - knots) > self.period / 2 if self.period else False
        return np.where(other_way, along[-1] - apart, apart)


def path_length(points: Float64[np.ndarray, "p k"]) -> float:
    """The sum of the straight steps along points."""
    return float(np.linalg.norm(np.diff(points, axis=0), axis=1).sum())


def dealt(knots: Float64[np.ndarray, " w"], generator: np.random.Generator, period: float) -> Float64[np.ndarray, " w"]:
    """The same knots for other points: an order that is not the given one, backwards or turned round.

    Raises ``UnweaveError`` for fewer than 4 knots of a line and 5 of a circle, which are not enough for another.
    """
    count, least = len(knots), 5 if period else 4
    if count < least:
        raise UnweaveError(f"{count} values have no other order: give {least} or more")
    given = np.argsort(knots)
    while True:
        order = generator.permutation(count)
        new = knots[order]
        if not _same_order(given, np.argsort(new), bool(period)):
            return new


def _same_order(first: Sequence[int] | np.ndarray, second: Sequence[int] | np.ndarray, closed: bool) -> bool:
    given = list(first)
    for way in (list(second), list(second)[::-1]):
        turned = way
        if closed:
            start = way.index(given[0])
            turned = way[start:] + way[:start]
        if turned == given:
            return True
    return False
