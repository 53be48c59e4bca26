"""Whether what was predicted goes with what was observed by more than chance."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float64

from unweave.base.seeds import numpy_generator
from unweave.preferences.predictors.prompts import Prompts


class Agreement(NamedTuple):
    """Pearson's correlation over columns, and its two-sided p; NaN where one side is the same in all columns."""

    r: float
    p: float


def agreement(
    shares: Float[np.ndarray, "n m"],
    prompts: Prompts,
    observed: Float64[np.ndarray, " m"],
    seed: int = 0,
    flips: int = 1999,
) -> Agreement:
    """Of the mean of ``shares`` with ``observed``, against predictions from labels of whole prompts flipped at random.

    ``shares`` must turn their sign with the label of their pair. Flipped labels keep what columns have in common with
    each other. Shuffling the columns' names does not, and finds something in nothing: many columns are relatives.
    Source: Fisher, 1935, section 21; the p-value counts the observation itself: Phipson and Smyth, 2010.
    """
    sums = prompts.sums(shares.astype(np.float64))
    signs = numpy_generator(seed, "agreement").integers(2, size=(flips, len(prompts))) * 2 - 1
    predicted = np.vstack([sums.sum(0), signs @ sums])
    predicted -= predicted.mean(1, keepdims=True)
    away = observed - observed.mean()
    below = np.linalg.norm(predicted, axis=1) * np.linalg.norm(away)
    found = np.divide(predicted @ away, below, out=np.zeros_like(below), where=below > 0)
    if not below[0] > 0:
        return Agreement(float("nan"), float("nan"))
    reached = int((np.abs(found[1:]) >= abs(found[0]) - 1e-12).sum())
    return Agreement(float(found[0]), (1 + reached) / (1 + flips))
