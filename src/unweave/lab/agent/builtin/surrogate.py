"""What tried settings tell about untried ones: a Gaussian process over the ordered fields of a search."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LENGTHS = (0.15, 0.3, 0.6, 1.2)
"""Of the whole range of a field, over which values change."""
SHARED = (0.0, 0.5, 0.9)
"""How alike two settings are that differ in a field without an order."""


@dataclass(frozen=True)
class Place:
    """Where a candidate stands: its ranks on the ordered fields (0 to 1), and its values on the others."""

    ranks: tuple[float, ...]
    kind: tuple[str, ...]


def predict(
    seen: Sequence[Place], values: Sequence[float], noise: Sequence[float], asked: Sequence[Place]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of the outcome at ``asked`` (m,), given noisy ``values`` (n,) at ``seen``.

    ``noise`` (n,) is the standard deviation of each value. Length and likeness are those of the greatest marginal
    likelihood. Source: Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006, equations 2.23 to 2.30.
    """
    y = np.asarray(values, dtype=np.float64)
    variance = np.square(np.asarray(noise, dtype=np.float64)) + 1e-12
    centre = float(y.mean())
    amplitude = max(float(y.var()), float(variance.mean()))
    best: tuple[float, NDArray[np.float64], NDArray[np.float64], tuple[float, float]] | None = None
    for length, shared in itertools.product(LENGTHS, SHARED):
        gram = amplitude * _likeness(seen, seen, length, shared) + np.diag(variance)
        factor = np.linalg.cholesky(gram + 1e-9 * amplitude * np.eye(len(y)))
        solved = np.linalg.solve(factor.T, np.linalg.solve(factor, y - centre))
        fit = -0.5 * float((y - centre) @ solved) - float(np.log(np.diag(factor)).sum())
        if best is None or fit > best[0]:
            best = (fit, factor, solved, (length, shared))
    assert best is not None
    _, factor, solved, (length, shared) = best
    cross = amplitude * _likeness(asked, seen, length, shared)
    mean = centre + cross @ solved
    reduced = np.linalg.solve(factor, cross.T)
    spread = amplitude - np.square(reduced).sum(0)
    return mean, np.sqrt(np.maximum(spread, 1e-12))


def _likeness(one: Sequence[Place], two: Sequence[Place], length: float, shared: float) -> NDArray[np.float64]:
    first, second = (np.array([place.ranks for place in places]).reshape(len(places), -1) for places in (one, two))
    distance = np.square(first[:, None, :] - second[None, :, :]).sum(-1)
    differing = np.array([[sum(a != b for a, b in zip(x.kind, y.kind, strict=True)) for y in two] for x in one])
    return np.exp(-0.5 * distance / length**2) * np.where(differing > 0, shared ** np.maximum(differing, 1), 1.0)
