"""What a way costs: how far its answers stray, how much of them is about the concept, and in which order they come."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from unweave.base.seeds import numpy_generator
from unweave.shapes.manifolds.distances import distance_correlation
from unweave.shapes.steering.behaviour import Behaviour
from unweave.shapes.steering.system import Layout

Square = Float64[np.ndarray, "w w"]


@dataclass(frozen=True)
class Cost:
    """Of one way between two values."""

    energy: float
    """Bhattacharyya distances to the behaviour manifold, summed over waypoints, mean over base contexts."""
    worst: float
    """The largest mean distance of any waypoint."""
    mass: float
    """Mean probability of the values, which leaves out everything else."""
    order: float
    """Share of the waypoints in the longest run of answers that never turn back, from the first value to the second."""
    visited: float | None
    """Share of the values that lie between the two which are the answer somewhere; none where none lies between."""
    jumps: int
    """Steps of the way at which the answer changes by more than neighbours are apart, and by more than an even walk."""


def cost(
    probabilities: Float64[np.ndarray, "b p v"], behaviour: Behaviour, known: Layout, first: int, second: int
) -> Cost:
    """The cost of a way with p waypoints; answers are the likeliest value of the mean over base contexts.

    On a circle the two values may have two ways that are equally short: the one that the answers follow better counts.
    """
    distance = behaviour.bhattacharyya(probabilities).mean(0)
    mean = probabilities.mean(0)
    answers = mean[:, :-1].argmax(1)
    best = max(
        (
            _order(known.along(first, offset), answers, abs(offset), known.step)
            for offset in known.offsets(first, second)
        ),
        key=lambda found: (found[0], found[1] or 0.0),
    )
    steps = [min(abs(each) for each in known.offsets(a, b)) for a, b in itertools.pairwise(answers)]
    # With fewer waypoints than values between, each step of an even walk passes some by.
    pace = min(abs(each) for each in known.offsets(first, second)) / max(len(steps), 1)
    allowed = known.step * (max(np.ceil(pace / known.step - 1e-6), 1) + 0.5)
    jumps = sum(step > allowed for step in steps)
    return Cost(float(distance.sum()), float(distance.max()), float(1 - mean[:, -1].mean()), *best, jumps)


def _order(along: np.ndarray, answers: np.ndarray, whole: float, step: float) -> tuple[float, float | None]:
    places = along[answers]
    slack = 1e-6 * step
    kept = places[(places >= -slack) & (places <= whole + slack)]
    longest: list[float] = []
    for place in kept:
        # Patience sorting: the least end of a run of each length.
        at = int(np.searchsorted(longest, place + slack, side="right"))
        longest[at : at + 1] = [place]
    inner = np.flatnonzero((along > slack) & (along < whole - slack))
    visited = float(np.isin(inner, answers).mean()) if len(inner) else None
    return len(longest) / len(answers), visited


class Isometry(NamedTuple):
    """Pearson's r of ways' lengths through states with distances along the behaviour manifold, over pairs of values.

    ``low`` and ``high`` are of a bootstrap over values; ``threshold`` is what 5 % of orders of the values exceed.
    """

    r: float
    low: float
    high: float
    p: float
    threshold: float


def isometry(lengths: Square, distances: Square, seed: int = 0, resamples: int = 2000) -> Isometry:
    """Whether a way is the longer the more behaviour changes along it; values are what is drawn anew and permuted.

    A pair of values that are drawn m and n times counts m n times. Raises ``UnweaveError`` where all lengths or all
    distances are the same.
    """
    found = distance_correlation(lengths, distances, seed=seed)
    count = len(lengths)
    first, second = np.triu_indices(count, 1)
    generator = numpy_generator(seed, "isometry")
    times = generator.multinomial(count, np.full(count, 1 / count), resamples).astype(float)
    weights = times[:, first] * times[:, second]
    # A draw of one value only has no pair.
    weights = weights[weights.any(1)]
    weights /= weights.sum(1, keepdims=True)
    one, other = lengths[first, second], distances[first, second]
    one, other = one - weights @ one[:, None], other - weights @ other[:, None]
    both = (weights * one * other).sum(1)
    size = np.sqrt((weights * one**2).sum(1) * (weights * other**2).sum(1))
    r = both[size > 1e-12 * size.max()] / size[size > 1e-12 * size.max()]
    low, high = np.quantile(r, [0.025, 0.975])
    return Isometry(found.r, float(low), float(high), found.p, found.threshold)
