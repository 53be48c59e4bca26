"""What can be steered: values, the states that stand for them, and the answers that any state brings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from jaxtyping import Float, Float64, Int64

from unweave.base.errors import UnweaveError

Square = Float64[np.ndarray, "w w"]


class Labelled(NamedTuple):
    """States with the number of the value that each stands for; every value has one or more."""

    states: Float[np.ndarray, "n d"]
    index: Int64[np.ndarray, " n"]


class System(Protocol):
    """A model of w values. A state of d numbers can be put in the place of its own, and it then gives probabilities.

    Probabilities have w + 1 columns: the values in order, then everything that is no value.
    """

    name: str
    values: Sequence[str]
    metric: Square
    """Known distances of the values: along a line, or the shorter way round a circle."""
    layers: Sequence[int]

    def states(self, layer: int) -> Labelled:
        """States from which a manifold is fitted, of other contexts than ``bases``."""
        ...

    def natural(self, layer: int) -> Float64[np.ndarray, "n v"]:
        """The answers in the contexts of ``states``, row by row, with nothing put in."""
        ...

    def bases(self, layer: int) -> Float[np.ndarray, "b d"]:
        """The states, at this layer, of the contexts in which states are replaced."""
        ...

    def answers(self, layer: int, states: Float[np.ndarray, "b p d"]) -> Float64[np.ndarray, "b p v"]:
        """The answers of each base context when its state is replaced by each of its p states."""
        ...


@dataclass(frozen=True)
class Layout:
    """Where values are known to lie: each one's place along a line or round a circle, in the metric's own unit."""

    places: Float64[np.ndarray, " w"]
    period: float
    """The way round, or 0 for a line."""
    step: float
    """The least distance of two values: how far neighbours are apart."""

    def offsets(self, first: int, second: int) -> list[float]:
        """Signed ways from one value to another: the shorter, or both where they are equally long."""
        straight = float(self.places[second] - self.places[first])
        if not self.period:
            return [straight]
        short = (straight + self.period / 2) % self.period - self.period / 2
        return [short, -short] if np.isclose(abs(short), self.period / 2) else [short]

    def along(self, first: int, offset: float) -> Float64[np.ndarray, " w"]:
        """How far each value lies from ``first`` in the direction of ``offset``: at least 0 on a circle."""
        way = (self.places - self.places[first]) * np.sign(offset)
        if not self.period:
            return way
        # A value at the start must not come out at the end of the way round through rounding.
        return np.mod(way + 1e-9 * self.period, self.period) - 1e-9 * self.period


def layout(metric: Square) -> Layout:
    """The line or circle that distances are of, with the first value at 0 and the second ahead of it.

    On a line some two values are so far apart that every other lies between them; else the angles come from the first
    two principal coordinates of the distances, as those of points on a circle do (Torgerson, "Multidimensional
    scaling", 1952). Raises ``UnweaveError`` where the distances are of neither.
    """
    known = np.asarray(metric, np.float64)
    count = len(known)
    if known.shape != (count, count) or count < 3 or not np.isfinite(known).all() or not np.allclose(known, known.T):
        raise UnweaveError(f"distances of shape {known.shape}: give a finite symmetric square of 3 values or more")
    apart = known[~np.eye(count, dtype=bool)]
    if apart.min() <= 0 or np.abs(known.diagonal()).max() > 0:
        raise UnweaveError("two values are at distance 0, or one is not at 0 from itself: give each value once")
    slack = 1e-6 * known.max()
    end = int(known.max(1).argmax())
    line = known[end]
    if np.abs(np.abs(line[:, None] - line) - known).max() <= slack:
        places, period = line - line[0], 0.0
    else:
        places, period = _round(known)
        apart_round = np.abs(places[:, None] - places)
        if np.abs(np.minimum(apart_round, period - apart_round) - known).max() > max(slack, 0.02 * known.max()):
            raise UnweaveError("the distances are neither of a line nor the shorter ways round a circle")
    ahead = places[1] if not period else (places[1] + period / 2) % period - period / 2
    if ahead < 0:
        places = -places if not period else np.mod(-places, period)
    return Layout(places, period, float(apart.min()))


def _round(known: Square) -> tuple[np.ndarray, float]:
    centred = known**2 - (known**2).mean(0)
    centred = -(centred - centred.mean(1, keepdims=True)) / 2
    _, axes = np.linalg.eigh(centred)
    angle = np.arctan2(axes[:, -2], axes[:, -1])
    order = np.argsort(angle, kind="stable")
    # Going round in steps of the known distances is exact where the angles are not quite even.
    steps = known[order, np.roll(order, -1)]
    places = np.empty(len(known))
    places[order] = np.append(0.0, np.cumsum(steps[:-1]))
    period = float(steps.sum())
    return np.mod(places - places[0], period), period
