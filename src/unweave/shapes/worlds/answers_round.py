"""Once round the curve through the numbers' states: which numbers the network answers with, and in which order."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Int64

from unweave.base.errors import UnweaveError, nearest
from unweave.base.seeds import numpy_generator
from unweave.shapes.manifolds.splines import cyclic_knots
from unweave.shapes.steering.curve import Curve
from unweave.shapes.worlds.addition_system import AdditionSystem

TURN = 2 * np.pi
ORDERS = ("frequency", "axes", "shuffled")


class Round(NamedTuple):
    """What is answered once round a closed curve."""

    answers: Int64[np.ndarray, " s"]
    """The likeliest value at each step, by the mean over contexts."""
    reached: float
    """Share of the values that are the answer at some step."""
    in_order: float
    """Share of the answer's changes that go from a value to the curve's next one, with nothing else between."""
    neighbours: float
    """Share of the values whose next one on the curve is beside them by the system's metric: of the curve alone."""


def answers_round(
    system: AdditionSystem, layer: int, order: str = "frequency", per_value: int = 20, seed: int = 0
) -> Round:
    """The answers along a closed spline through all centroids, in one of three orders.

    ``frequency``: that of the layer's strongest frequency, evenly round, which need not be the one of the metric.
    ``axes``: by the angle in the plane of the centroids' first two axes, which is told nothing of the numbers, and
    finds that order where one circle is larger than the others. ``shuffled``, the null: drawn at random. Where a second
    circle is nearly as large, states between two neighbours on the first are near other numbers on the second. Raises
    ``UnweaveError`` for fewer than 2 steps a value.
    """
    if per_value < 2:
        raise UnweaveError(f"{per_value} steps a value: give 2 or more")
    means, count = system.centroids(layer), len(system.values)
    if order == "axes":
        knots = cyclic_knots(means)
    elif order == "frequency":
        knots = TURN * (np.arange(count) * system.spectrum(layer).strongest[0] % count) / count
    elif order == "shuffled":
        knots = TURN * numpy_generator(seed, "answers round", layer).permutation(count) / count
    else:
        raise UnweaveError(f"no order is named {order!r}; {nearest(order, ORDERS)}")
    states = Curve(knots, means, TURN).at(np.arange(count * per_value) / (count * per_value) * TURN)
    bases = len(system.bases(layer))
    answers = system.answers(layer, np.broadcast_to(states, (bases, *states.shape))).mean(0)[:, :-1].argmax(1)
    along = np.argsort(knots)
    following = np.empty(count, np.int64)
    following[along] = np.roll(along, -1)
    after = np.roll(answers, -1)
    changes = answers != after
    right = (following[answers] == after)[changes]
    return Round(
        answers,
        len(np.unique(answers)) / count,
        float(right.mean()) if len(right) else 0.0,
        float((system.metric[along, following[along]] == 1).mean()),
    )
