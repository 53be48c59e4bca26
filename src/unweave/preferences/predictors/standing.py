"""Standing: which columns a dataset can be said to change, so that shuffled labels say nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64

from unweave.base.errors import UnweaveError
from unweave.base.seeds import numpy_generator
from unweave.preferences.evidence import Evidence
from unweave.preferences.predictors.prompts import Prompts, Resampling, hashed
from unweave.preferences.predictors.registry import check_evidence, find_predictor
from unweave.stats import holm

MOST_BLOCKS = 1024
"""Units whose signs are flipped; with more prompts than this, prompts are put together by their hash."""
FEWEST_FLIPS = 9999
_AT_ONCE = 2048


@dataclass(frozen=True)
class Standing:
    """One entry a column. ``push`` is the mean over pairs of what turns its sign with a pair's label."""

    names: tuple[str, ...]
    push: Float64[np.ndarray, " m"]
    p: Float64[np.ndarray, " m"]
    """Two-sided, of the null that labels say nothing."""
    adjusted: Float64[np.ndarray, " m"]
    """``p`` by Holm's method over columns."""
    halves: Float64[np.ndarray, "2 m"]
    """``push`` in each half of the prompts."""
    level: float
    flips: int

    @property
    def agree(self) -> Bool[np.ndarray, " m"]:
        """Both halves point the same way."""
        return (np.sign(self.halves[0]) == np.sign(self.halves[1])) & (np.abs(self.halves) > 1e-6).all(0)

    @property
    def stands(self) -> Bool[np.ndarray, " m"]:
        """The columns that are said to change: the adjusted p is within the level and both halves agree."""
        return (self.adjusted <= self.level) & self.agree

    @property
    def agreement(self) -> float:
        """Correlation over columns between the halves; NaN for fewer than 3 columns that vary."""
        if self.halves.shape[1] < 3 or not self.halves.std(1).all():
            return float("nan")
        return float(np.corrcoef(self.halves)[0, 1])


def standing_of(evidence: Evidence, predictor: str = "mean-difference", level: float = 0.05, seed: int = 0) -> Standing:
    """Tests each column of what a predictor says, by flipping the labels of prompts at random.

    All pairs of a prompt turn together, so pairs that share a reply may hang together. A predictor that learns from the
    labels (``tilt``) is tested by its push before it has learnt any, as a score test is: its own shares lean to where
    it was fitted. The family-wise error over columns is ``level`` whatever hangs together. Halves are by a hash of the
    prompt's id. Raises ``UnweaveError`` for a predictor that cannot predict here.
    """
    check_evidence(evidence)
    if not 0 < level < 1:
        raise UnweaveError(f"level {level} is not between 0 and 1: use 0.05")
    found = find_predictor(predictor)
    if (lacking := found.lacks(evidence)) is not None:
        raise UnweaveError(f"predictor {predictor!r} cannot predict here: {lacking}")
    resampling = Resampling.draw(evidence.groups, evidence.reference_groups, 2, seed)
    pushes = found.pushes(evidence, resampling) if found.pushes else found.function(evidence, resampling).shares
    return flipped_standing(pushes, resampling.pairs, evidence.names, level, seed)


def flipped_standing(
    pushes: Float[np.ndarray, "n m"], prompts: Prompts, names: tuple[str, ...], level: float = 0.05, seed: int = 0
) -> Standing:
    """As ``standing_of``, from pushes that turn their sign with the label of their pair.

    Source: Fisher, 1935, section 21, on sums over prompts; with more than ``MOST_BLOCKS`` prompts on sums over blocks
    of them, which is a test of the same null, as exact. The number of flips grows with that of columns, so that Holm's
    method can reach the level. The p-value counts the observation itself: Phipson and Smyth, 2010.
    """
    sums = prompts.sums(pushes.astype(np.float64))
    marks = hashed(prompts.ids)
    upper = (marks >> np.uint64(63)).astype(bool)
    rows = [float(prompts.sizes[half].sum()) for half in (upper, ~upper)]
    halves = np.stack([sums[half].sum(0) / max(count, 1) for half, count in zip((upper, ~upper), rows, strict=True)])
    if len(sums) > MOST_BLOCKS:
        sums = Prompts.of((marks % np.uint64(MOST_BLOCKS)).astype(np.int64)).sums(sums)
    flips = max(FEWEST_FLIPS, 50 * sums.shape[1])
    p = _flipped(sums, flips, seed)
    return Standing(names, pushes.mean(0, dtype=np.float64), p, holm(p), halves, level, flips)


def _flipped(sums: Float64[np.ndarray, "g m"], flips: int, seed: int) -> Float64[np.ndarray, " m"]:
    # Scaled so that single precision's rounding is the same for every column, and well below the margin.
    size = np.abs(sums).sum(0)
    scaled = (sums / np.where(size > 0, size, 1)).astype(np.float32)
    target = np.abs(scaled.sum(0, dtype=np.float64)) - 1e-5
    generator = numpy_generator(seed, "standing")
    reached = np.zeros(sums.shape[1])
    for start in range(0, flips, _AT_ONCE):
        shape = (min(_AT_ONCE, flips - start), len(sums))
        signs = generator.integers(2, size=shape, dtype=np.int8).astype(np.float32) * 2 - 1
        reached += (np.abs(signs @ scaled) >= target).sum(0)
    return (1 + reached) / (1 + flips)
