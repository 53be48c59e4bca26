"""What tried settings tell about untried ones: a Gaussian process over the ordered fields of a search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LENGTHS = (0.15, 0.3, 0.6, 1.2)
"""Of the whole range of a field, over which values change."""


@dataclass(frozen=True)
class Place:
    """Where a candidate stands: its ranks on the ordered fields (0 to 1), and its values on the others."""

    ranks: tuple[float, ...]
    kind: tuple[str, ...]


@dataclass(frozen=True)
class Mixture:
    """What is believed of several settings: normal distributions by hypothesis (h, m), and each one's weight."""

    weights: NDArray[np.float64]
    means: NDArray[np.float64]
    spreads: NDArray[np.float64]

    def above(self, bar: float) -> NDArray[np.float64]:
        """The probability of each setting's true value to be above ``bar`` (m,)."""
        from scipy.special import ndtr

        return self.weights @ ndtr((self.means - bar) / self.spreads)


def predict(
    seen: Sequence[Place], values: Sequence[float], noise: Sequence[float], asked: Sequence[Place], scale: float = 0.0
) -> Mixture:
    """What is to be expected of the outcome at ``asked`` (m,), given noisy ``values`` (n,) at ``seen``.

    ``noise`` (n,) is the standard deviation of each value, ``scale`` how much settings differ at least. Lengths are
    weighed by their marginal likelihood rather than chosen, since a few values decide nothing. Source:
    Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006, equations 2.23 to 2.30 and 5.10.
    """
    y = np.asarray(values, dtype=np.float64)
    variance = np.square(np.asarray(noise, dtype=np.float64)) + 1e-12
    centre = float(y.mean())
    amplitude = max(float(y.var()), float(variance.mean()), scale**2)
    fits, means, spreads = [], [], []
    for length in LENGTHS:
        gram = amplitude * _likeness(seen, seen, length) + np.diag(variance)
        factor = np.linalg.cholesky(gram + 1e-9 * amplitude * np.eye(len(y)))
        solved = np.linalg.solve(factor.T, np.linalg.solve(factor, y - centre))
        fits.append(-0.5 * float((y - centre) @ solved) - float(np.log(np.diag(factor)).sum()))
        cross = amplitude * _likeness(asked, seen, length)
        reduced = np.linalg.solve(factor, cross.T)
        means.append(centre + cross @ solved)
        spreads.append(np.sqrt(np.maximum(amplitude - np.square(reduced).sum(0), 1e-12)))
    weights = np.exp(np.array(fits) - max(fits))
    return Mixture(weights / weights.sum(), np.array(means), np.array(spreads))


def _likeness(one: Sequence[Place], two: Sequence[Place], length: float) -> NDArray[np.float64]:
    first, second = (np.array([place.ranks for place in places]).reshape(len(places), -1) for places in (one, two))
    distance = np.square(first[:, None, :] - second[None, :, :]).sum(-1)
    # That most sites do nothing says nothing about the next one: only the same values elsewhere make neighbours.
    same = np.array([[x.kind == y.kind for y in two] for x in one])
    return np.exp(-0.5 * distance / length**2) * same
