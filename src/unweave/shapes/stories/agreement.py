"""How far what was read goes with gold, sentence by sentence, with intervals over whole stories."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float64, Int64

from unweave.base.errors import UnweaveError
from unweave.base.seeds import numpy_generator
from unweave.stats import Interval

RESAMPLES = 1000


class Agreement(NamedTuple):
    """Pearson's correlations with gold; ``n`` of their intervals counts stories."""

    pooled: Interval
    """Over all sentences."""
    within: Interval
    """Over sentences less their story's means: what is left when a story's own level says nothing."""
    sentences: int


class Difference(NamedTuple):
    """How much larger one reading's correlation with gold is than another's, by resampling the same stories."""

    pooled: Interval
    within: Interval


def agreement(
    values: Float[np.ndarray, " n"], gold: Float[np.ndarray, " n"], stories: Sequence[int] | np.ndarray, seed: int = 0
) -> Agreement:
    """Correlations of ``values`` with ``gold``, with 95 % bootstrap intervals that draw stories.

    A correlation of values that do not vary is 0, as of a reading that says nothing. Raises ``UnweaveError`` for gold
    that does not vary, for values that are not finite, and for fewer than two stories.
    """
    rows = _checked(values, gold, stories)
    found = _both(values, gold, stories)
    draws = np.array([_both(values[each], gold[each], names) for each, names in _drawn(rows, seed)])
    pooled, within = _intervals(found, draws, len(rows))
    return Agreement(pooled, within, len(gold))


def agreement_difference(
    first: Float[np.ndarray, " n"],
    second: Float[np.ndarray, " n"],
    gold: Float[np.ndarray, " n"],
    stories: Sequence[int] | np.ndarray,
    seed: int = 0,
) -> Difference:
    """The first reading's correlations less the second's; both are of the same sentences."""
    rows = _checked(first, gold, stories)
    _checked(second, gold, stories)
    found = _both(first, gold, stories) - _both(second, gold, stories)
    draws = np.array(
        [
            _both(first[each], gold[each], names) - _both(second[each], gold[each], names)
            for each, names in _drawn(rows, seed)
        ]
    )
    return Difference(*_intervals(found, draws, len(rows)))


def centred(values: Float[np.ndarray, " n"], stories: Sequence[int] | np.ndarray) -> Float64[np.ndarray, " n"]:
    """Values less the mean of their story."""
    _, group = np.unique(np.asarray(stories), return_inverse=True)
    return values - (np.bincount(group, values) / np.bincount(group))[group]


def _drawn(rows: list[np.ndarray], seed: int) -> list[tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " n"]]]:
    """Rows of stories drawn with replacement, and their numbers: a story drawn twice counts as two."""
    generator = numpy_generator(seed, "agreement")
    found = []
    for _ in range(RESAMPLES):
        picked = [rows[number] for number in generator.integers(len(rows), size=len(rows))]
        found.append((np.concatenate(picked), np.repeat(np.arange(len(picked)), [len(each) for each in picked])))
    return found


def _both(values: np.ndarray, gold: np.ndarray, stories: Sequence[int] | np.ndarray) -> np.ndarray:
    return np.array([_correlation(values, gold), _correlation(centred(values, stories), centred(gold, stories))])


def _correlation(values: np.ndarray, gold: np.ndarray) -> float:
    one, other = values - values.mean(), gold - gold.mean()
    size = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(one @ other) / size if size > 1e-9 * len(one) else 0.0


def _intervals(found: np.ndarray, draws: np.ndarray, stories: int) -> list[Interval]:
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    return [Interval(float(found[each]), float(low[each]), float(high[each]), stories) for each in range(2)]


def _checked(values: np.ndarray, gold: np.ndarray, stories: Sequence[int] | np.ndarray) -> list[np.ndarray]:
    names = np.asarray(stories)
    if not len(values) == len(gold) == len(names):
        raise UnweaveError(f"{len(values)} values, {len(gold)} of gold, {len(names)} stories: give one a sentence")
    if not (np.isfinite(values).all() and np.isfinite(gold).all()):
        raise UnweaveError("some values or gold are not finite: leave out texts without gold")
    if np.ptp(gold) == 0:
        raise UnweaveError("the gold is the same after every sentence: there is nothing to agree with")
    rows = [np.flatnonzero(names == each) for each in np.unique(names)]
    if len(rows) < 2:
        raise UnweaveError(f"{len(rows)} story: an interval over stories needs two or more")
    return rows
