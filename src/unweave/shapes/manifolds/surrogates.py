"""What a score is when the shape is taken out of the points and the rest is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float64

from unweave.base.errors import UnweaveError
from unweave.base.seeds import numpy_generator
from unweave.shapes.manifolds.family import checked, spanning
from unweave.stats.permutation import exceeds_null, max_null_threshold

Kind = Literal["columns", "phases", "gaussian"]
KINDS = ("columns", "phases", "gaussian")


class SurrogateTest(NamedTuple):
    """A score, its one-sided p among scores of surrogates, and the score that 5 % of them reach."""

    score: float
    p: float
    threshold: float


def surrogate(points: Float64[np.ndarray, "w d"], kind: Kind, generator: np.random.Generator) -> np.ndarray:
    """Points with the same variance along each principal axis [w, min(w - 1, d)], and no shape.

    ``columns`` deals the scores on each axis to the points anew, which keeps how each is distributed. ``gaussian``
    draws them. ``phases`` takes the points as a series in the order given and turns the phases of each axis at random
    on its own: what stays is that neighbours are near each other, which alone makes arcs and loops of first principal
    components. Source: Theiler et al., "Testing for nonlinearity in time series: the method of surrogate data", 1992;
    Shinn, "Phantom oscillations in principal component analysis", 2023, for the need.
    """
    scores = spanning(checked(points))[2]
    count = len(scores)
    if kind == "columns":
        return generator.permuted(scores, axis=0)
    if kind == "gaussian":
        return generator.standard_normal(scores.shape) * scores.std(0)
    if kind != "phases":
        raise UnweaveError(f"no surrogate is named {kind!r}: choose {', '.join(KINDS)}")
    spectrum = np.fft.rfft(scores, axis=0)
    turned = np.exp(2j * np.pi * generator.random(spectrum.shape))
    # The mean, and at even length the fastest wave, are real.
    turned[0] = 1
    if count % 2 == 0:
        turned[-1] = generator.integers(2, size=scores.shape[1]) * 2 - 1
    return np.fft.irfft(spectrum * turned, n=count, axis=0)


def surrogate_test(
    score: Callable[[Float64[np.ndarray, "w d"]], float],
    points: Float64[np.ndarray, "w d"],
    kind: Kind = "columns",
    shuffles: int = 199,
    seed: int = 0,
) -> SurrogateTest:
    """Whether ``score`` of ``points`` is larger than of surrogates; give the negative of one that shapes make small.

    Raises ``UnweaveError`` for fewer than 19 shuffles, which cannot reach 0.05.
    """
    found = float(score(checked(points)))
    generator = numpy_generator(seed, "surrogates", kind)
    null = [float(score(surrogate(points, kind, generator))) for _ in range(shuffles)]
    return SurrogateTest(found, exceeds_null(found, null).p, max_null_threshold(null))
