"""What leaving rows out undoes: a column's change after training on all rows, and after training without some."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float64, Int

from unweave.base.errors import UnweaveError
from unweave.preferences.predictors.prompts import Prompts, drawn_weights
from unweave.stats.bootstrap import Interval

LEVEL = 0.95


def prompt_changes(
    before: Float[np.ndarray, " a"],
    before_prompts: Int[np.ndarray, " a"],
    after: Float[np.ndarray, " b"],
    after_prompts: Int[np.ndarray, " b"],
    spread: float,
) -> Float64[np.ndarray, " g"]:
    """How one column's mean moved at each prompt, in units of ``spread``, in the order of the prompts' ids.

    Raises ``UnweaveError`` for prompts that are answered on one side only.
    """
    old, new = Prompts.of(before_prompts), Prompts.of(after_prompts)
    if not np.array_equal(old.ids, new.ids):
        raise UnweaveError(
            f"{len(np.setxor1d(old.ids, new.ids))} prompts are answered on one side only: sample both sides"
        )
    first, second = (side.astype(np.float64) / spread for side in (before, after))
    return new.sums(second) / new.sizes - old.sums(first) / old.sizes


def mean_change(moved: Float64[np.ndarray, "s g"], seed: int = 0, resamples: int = 2000) -> Interval:
    """The mean change over trainings (s) and prompts (g), with an interval that draws both anew."""
    return Interval(float(moved.mean()), *_ends(_drawn(seed, resamples, moved)[0]), moved.shape[1])


def undone_share(
    full: Float64[np.ndarray, "s g"], less: Float64[np.ndarray, "s g"], seed: int = 0, resamples: int = 2000
) -> Interval:
    """The share of the change of training on all rows, ``full``, that is missing after training on ``less`` of them.

    1 where nothing is left of the change, 0 where all of it is, below 0 where it grew. Row s of both is of the same
    seed, column g the same prompt: the interval (95 %, percentiles) draws seeds and prompts anew, the same of both. It
    is wide where the full change is within its noise; NaN where there is none. ``n`` counts prompts. Raises
    ``UnweaveError`` for sides of different shapes.
    """
    if full.shape != less.shape or full.ndim != 2 or not full.size:
        raise UnweaveError(f"changes of {full.shape} and {less.shape}: give the same seeds and prompts of both")
    share = _share(full.mean(keepdims=True), less.mean(keepdims=True))
    drawn = _share(*_drawn(seed, resamples, full, less))
    return Interval(float(share.item()), *_ends(drawn), full.shape[1])


def _share(full: np.ndarray, less: np.ndarray) -> np.ndarray:
    return np.divide(full - less, full, out=np.full(full.shape, np.nan), where=full != 0)


def _drawn(seed: int, resamples: int, *changes: np.ndarray) -> list[np.ndarray]:
    """The mean over each resample's trainings and prompts, the same of all changes, which have one shape."""
    seeds, prompts = (
        drawn_weights(count, resamples, seed, "undoing", what).astype(np.float64) / count
        for count, what in zip(changes[0].shape, ("seeds", "prompts"), strict=True)
    )
    return [((seeds @ moved) * prompts).sum(1) for moved in changes]


def _ends(drawn: np.ndarray) -> tuple[float, float]:
    finite = drawn[np.isfinite(drawn)]
    if not len(finite):
        return float("nan"), float("nan")
    low, high = np.quantile(finite, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
