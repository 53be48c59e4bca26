"""Vectors of the numbers modulo p as waves round circles."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from unweave.base.errors import UnweaveError


class Spectrum(NamedTuple):
    """How vectors of the numbers 0 to p - 1 are made of waves round the circle."""

    power: Float64[np.ndarray, " f"]
    """Share of the variance at frequencies 1 to (p - 1) / 2; they add up to 1."""

    @property
    def strongest(self) -> tuple[int, ...]:
        """Frequencies by falling power."""
        return tuple(int(each) + 1 for each in np.argsort(-self.power, kind="stable"))

    def key_frequencies(self, share: float = 0.9) -> tuple[int, ...]:
        """The fewest frequencies that hold ``share`` of the power."""
        count = int(np.searchsorted(np.sort(self.power)[::-1].cumsum(), share - 1e-12)) + 1
        return self.strongest[:count]


def spectrum(vectors: Float64[np.ndarray, "p d"]) -> Spectrum:
    """The Fourier spectrum over the numbers of vectors of them, such as an embedding or centroids by answer.

    Raises ``UnweaveError`` for an even number of vectors, whose fastest wave has no circle, and for equal ones.
    Source: Nanda et al. 2023, section 4.1.
    """
    given = np.asarray(vectors, np.float64)
    if given.ndim != 2 or len(given) < 5 or len(given) % 2 == 0:
        raise UnweaveError(f"vectors have shape {given.shape}: give one of each number of an odd modulus of 5 or more")
    power = (np.abs(np.fft.rfft(given - given.mean(0), axis=0)) ** 2).sum(1)[1:]
    if not power.sum() > 0:
        raise UnweaveError(f"all {len(given)} vectors are equal: they have no spectrum")
    return Spectrum(power / power.sum())


def component(vectors: Float64[np.ndarray, "p d"], frequency: int) -> Float64[np.ndarray, "p d"]:
    """The circle (an ellipse, if it is squeezed) of one frequency that is in ``vectors``, about their mean."""
    given = np.asarray(vectors, np.float64)
    if not 1 <= frequency <= len(given) // 2:
        raise UnweaveError(f"frequency is {frequency}: {len(given)} numbers have 1 to {len(given) // 2}")
    waves = np.fft.rfft(given, axis=0)
    held = np.zeros_like(waves)
    held[[0, frequency]] = waves[[0, frequency]]
    return np.fft.irfft(held, n=len(given), axis=0)
