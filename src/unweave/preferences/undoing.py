"""What leaving rows out undoes: a column's change after training on all rows, and after training without some."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float64, Int

from unweave.base.errors import UnweaveError
from unweave.base.seeds import numpy_generator
from unweave.preferences.predictors.prompts import Prompts
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
    drawn = [_drawn(moved, *each) for each in _draws(moved.shape, seed, resamples)]
    return Interval(float(moved.mean()), *_ends(drawn), moved.shape[1])


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
    drawn = [_share(_drawn(full, *each), _drawn(less, *each)) for each in _draws(full.shape, seed, resamples)]
    return Interval(_share(float(full.mean()), float(less.mean())), *_ends(drawn), full.shape[1])


def _share(full: float, less: float) -> float:
    return (full - less) / full if full else float("nan")


def _draws(shape: tuple[int, ...], seed: int, resamples: int) -> list[tuple[np.ndarray, np.ndarray]]:
    generator = numpy_generator(seed, "undoing")
    return [
        (generator.integers(shape[0], size=shape[0]), generator.integers(shape[1], size=shape[1]))
        for _ in range(resamples)
    ]


def _drawn(moved: np.ndarray, seeds: np.ndarray, prompts: np.ndarray) -> float:
    return float(moved[np.ix_(seeds, prompts)].mean())


def _ends(drawn: list[float]) -> tuple[float, float]:
    finite = np.array(drawn)[np.isfinite(drawn)]
    if not len(finite):
        return float("nan"), float("nan")
    low, high = np.quantile(finite, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
