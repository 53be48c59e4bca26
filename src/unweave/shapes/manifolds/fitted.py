"""A fitted curve or surface: where it is, and which of its points is nearest to a given one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float64

from unweave.base.errors import UnweaveError

Theta = Float64[np.ndarray, "n k"]
Local = Float64[np.ndarray, "n m"]

STEPS = 25
BEST_STARTS = 2
TOLERANCE = 1e-11
"""Of the cost: a step that gains less is the last."""


@dataclass(frozen=True)
class Fitted:
    """The points ``origin + local(theta) @ frame`` of a space of d dimensions.

    ``theta`` has one number a point on a curve and two on a surface. ``low`` and ``high`` are its ends, one row for all
    ``starts`` or one for each; an axis of which ``periods`` is not 0 has no ends and comes round.
    """

    family: str
    dimension: int
    """Of the manifold itself: 0 for points, 1 for a curve, 2 for a surface."""
    freedom: int
    """Numbers that were fitted."""
    origin: Float64[np.ndarray, " d"]
    frame: Float64[np.ndarray, "m d"]
    local: Callable[[Theta], Local] = field(repr=False)
    starts: Float64[np.ndarray, "g k"] = field(repr=False)
    """Places from which a nearest point is sought."""
    low: Float64[np.ndarray, "#g k"] = field(repr=False)
    high: Float64[np.ndarray, "#g k"] = field(repr=False)
    periods: tuple[float, ...]
    knots: Float64[np.ndarray, "w k"] = field(repr=False)
    """``theta`` of each centroid that was fitted."""
    parameters: dict[str, float]

    def at(self, theta: Float64[np.ndarray, ...]) -> Float64[np.ndarray, "... d"]:
        """Points at ``theta``: [...] of a curve, [..., 2] of a surface.

        Raises ``UnweaveError`` where a surface is given one number a point.
        """
        given = np.asarray(theta, np.float64)
        shape = given.shape
        if self.dimension > 1:
            if not shape or shape[-1] != self.dimension:
                raise UnweaveError(
                    f"theta has shape {shape}: a {self.family} needs {self.dimension} numbers a point, [..., "
                    f"{self.dimension}]"
                )
            shape = shape[:-1]
        local = self.local(given.reshape(-1, len(self.periods)))
        return (self.origin + local @ self.frame).reshape(*shape, len(self.origin))

    def nearest(self, points: Float64[np.ndarray, "n d"]) -> Float64[np.ndarray, ...]:
        """``theta`` of the manifold's nearest point to each of ``points``: [n] of a curve, [n, 2] of a surface.

        Damped Gauss-Newton steps from the two nearest of ``starts``. Raises ``UnweaveError`` for points of another
        width. Source: Marquardt, "An algorithm for least-squares estimation of nonlinear parameters", 1963.
        """
        given = np.asarray(points, np.float64)
        if given.ndim != 2 or given.shape[1] != len(self.origin):
            raise UnweaveError(f"points have shape {given.shape}: this {self.family} needs [n, {len(self.origin)}]")
        found = self.nearest_by((self.frame @ self.frame.T)[None], ((given - self.origin) @ self.frame.T)[None])[0]
        return found if self.dimension > 1 else found[:, 0]

    def nearest_by(
        self, metrics: Float64[np.ndarray, "s m m"], targets: Float64[np.ndarray, "s n m"]
    ) -> Float64[np.ndarray, "s n k"]:
        """``theta`` of the least ``g F g - 2 b g``, g its local coordinates, for each F and b of the arguments.

        With F and b from some of the d columns only, it is the nearest point as those columns see it.
        """
        sets, count, _ = targets.shape
        places = self.local(self.starts)
        cost = ((places @ metrics) * places).sum(2)[:, None] - 2 * targets @ places.T
        tries = min(BEST_STARTS, len(self.starts))
        chosen = np.argpartition(cost, tries - 1, axis=2)[:, :, :tries] if tries < len(self.starts) else None
        index = np.arange(tries) + np.zeros((sets, count, 1), np.int64) if chosen is None else chosen
        problem = _Problem(
            self,
            np.repeat(np.arange(sets), count * tries),
            metrics,
            np.repeat(targets.reshape(sets * count, -1), tries, axis=0),
            index.reshape(-1),
        )
        theta, value = problem.solved()
        best = value.reshape(sets, count, tries).argmin(2)
        return np.take_along_axis(theta.reshape(sets, count, tries, -1), best[:, :, None, None], 2)[:, :, 0]


class _Problem:
    """Many small least-squares problems of one manifold, solved side by side."""

    def __init__(
        self, fitted: Fitted, sets: np.ndarray, metrics: np.ndarray, targets: np.ndarray, starts: np.ndarray
    ) -> None:
        self.fitted, self.sets, self.metrics, self.targets = fitted, sets, metrics, targets
        self.theta = fitted.starts[starts].copy()
        shape = fitted.starts.shape
        self.low = np.broadcast_to(fitted.low, shape)[starts]
        self.high = np.broadcast_to(fitted.high, shape)[starts]
        periods = np.array(fitted.periods)
        finite = np.isfinite(self.high - self.low)
        span = np.subtract(self.high, self.low, out=np.ones_like(self.low), where=finite)
        self.reach = 1e-6 * np.where(periods > 0, periods, span)

    def _cost(self, theta: np.ndarray, which: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The cost at ``theta``, and half its gradient by the local coordinates."""
        place = self.fitted.local(theta)
        pulled = np.empty_like(place)
        for each in np.unique(self.sets[which]):
            rows = self.sets[which] == each
            pulled[rows] = place[rows] @ self.metrics[each]
        slope = pulled - self.targets[which]
        return ((slope - self.targets[which]) * place).sum(1), slope

    def _slopes(self, theta: np.ndarray, which: np.ndarray) -> np.ndarray:
        """Derivatives [p, k, m] of the local coordinates, by central differences."""
        found = []
        for axis in range(theta.shape[1]):
            step = np.zeros_like(theta)
            step[:, axis] = self.reach[which, axis]
            ahead, behind = self.fitted.local(theta + step), self.fitted.local(theta - step)
            found.append((ahead - behind) / (2 * step[:, axis, None]))
        return np.stack(found, 1)

    def solved(self) -> tuple[np.ndarray, np.ndarray]:
        count, dimension = self.theta.shape
        damping = np.full(count, 1e-4)
        active = np.arange(count)
        value, slope = self._cost(self.theta, active)
        for _ in range(STEPS):
            derivative = self._slopes(self.theta[active], active)
            pulled = np.empty_like(derivative)
            for each in np.unique(self.sets[active]):
                rows = self.sets[active] == each
                pulled[rows] = derivative[rows] @ self.metrics[each]
            bend = np.einsum("pkm,plm->pkl", pulled, derivative)
            gradient = np.einsum("pkm,pm->pk", derivative, slope[active])
            diagonal = np.einsum("pkk->pk", bend)
            largest = diagonal.max(1, keepdims=True)
            weight = damping[active, None] * np.maximum(diagonal, 1e-6 * largest) + 1e-12 * largest + 1e-300
            step = np.linalg.solve(bend + weight[:, :, None] * np.eye(dimension), -gradient[:, :, None])[:, :, 0]
            tried = np.clip(self.theta[active] + step, self.low[active], self.high[active])
            reached, pull = self._cost(tried, active)
            better = reached < value[active]
            moved = np.abs(tried - self.theta[active]).max(1) > 1e-4 * self.reach[active].max(1)
            gained = value[active] - reached > TOLERANCE * np.abs(value[active])
            won = active[better]
            self.theta[won], value[won], slope[won] = tried[better], reached[better], pull[better]
            damping[active] = np.where(better, damping[active] * 0.1, damping[active] * 10)
            active = active[np.where(better, moved & gained, (damping[active] < 1e6) & moved)]
            if not len(active):
                break
        periods = np.array(self.fitted.periods)
        wrapped = np.mod(self.theta, np.where(periods > 0, periods, 1.0))
        return np.where(periods > 0, wrapped, self.theta), value
