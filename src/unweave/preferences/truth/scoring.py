"""Scoring: how well predicted changes match observed ones, beside what noise allows and what chance does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64

from unweave.base.errors import UnweaveError
from unweave.base.seeds import numpy_generator
from unweave.preferences.evidence import Prediction
from unweave.preferences.predictors.prompts import drawn_weights
from unweave.preferences.truth.cells import Cells, side_by_side, views
from unweave.preferences.truth.observed import Observed
from unweave.preferences.truth.slopes import (
    Sums,
    correlation,
    in_sample_r2,
    other_slopes,
    out_of_sample_r2,
    total_squares,
)

LEVEL = 0.95
POOLED = "pooled"
_AT_ONCE = 64


class Estimate(NamedTuple):
    """A number with the ends of its 95 % interval; NaN where it cannot be had."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Score:
    """How one predictor did on one dataset, or on all, in one view of the columns.

    Intervals draw datasets and columns anew (those of a single dataset only columns).
    """

    predictor: str
    dataset: str
    """Its name, or ``pooled``."""
    view: str
    """``all``, ``behaviours`` or ``clusters``."""
    reliable: bool
    """Only cells whose reliability reaches the floor."""
    cells: int
    slope: float
    """Fitted on the other datasets; pooled, the mean of these."""
    r2: Estimate
    """With that slope; below 0 where the mean of the cells would have been the better prediction."""
    r2_in_sample: Estimate
    """Squared Pearson correlation, as published: a free slope and intercept flatter."""
    spearman: Estimate
    sign_accuracy: Estimate
    """Over cells whose reliability reaches the floor, in either row; saying nothing counts as wrong."""
    signs: int
    """How many those are."""
    ceiling: float
    """``r2`` that the true change would have, since prompts differ: 1 less the squared errors over the total."""
    r2_of_ceiling: float
    shuffled: float
    """``r2`` at the 95th percentile when columns' names are shuffled; NaN for a single dataset."""
    p_shuffled: float
    """That shuffled names do as well. Too small where columns are relatives of each other, which names forget."""


def score_predictions(
    predictions_by_dataset: Mapping[str, Sequence[Prediction]],
    observed_by_dataset: Mapping[str, Sequence[Observed]],
    floor: float = 0.7,
    seed: int = 0,
    resamples: int = 1000,
    shuffles: int = 499,
) -> list[Score]:
    """Scores of every predictor, pooled and for each dataset, in every view, on all and on reliable cells.

    ``observed_by_dataset`` holds a dataset's runs, one a seed; they are left out together when its slope is fitted, and
    drawn together. With one dataset there is no slope from others, and ``r2`` is NaN.
    Raises ``UnweaveError`` where predictions and observations do not belong together.
    Source: intervals, the two-way bootstrap of Owen, "The pigeonhole bootstrap", 2007, which errs on the wide side.
    """
    if not 0 <= floor <= 1:
        raise UnweaveError(f"a floor of {floor} for the reliability is not between 0 and 1: use 0.7")
    if resamples < 2 or shuffles < 1:
        raise UnweaveError(f"{resamples} resamples and {shuffles} shuffles: use 2 and 1 or more, better 1000 and 499")
    cells = side_by_side(predictions_by_dataset, observed_by_dataset)
    shape = len(cells.names)
    draws = _Draws(
        np.vstack([np.ones((1, shape)), drawn_weights(shape, resamples, seed, "columns")]),
        np.vstack([np.ones((1, len(cells.datasets))), drawn_weights(len(cells.datasets), resamples, seed, "datasets")]),
    )
    reaches = cells.reliability >= floor
    found = []
    for predictor in cells.predicted:
        for view, columns in views(cells.names).items():
            for reliable in (False, True):
                counted = (reaches if reliable else np.ones_like(reaches)) & columns
                found += _scores(
                    cells, predictor, view, columns, reliable, counted, reaches & columns, draws, shuffles, seed
                )
    return found


class _Draws(NamedTuple):
    """Weights of columns and datasets; the first of each is 1 throughout: what was observed."""

    columns: Float64[np.ndarray, "r m"]
    datasets: Float64[np.ndarray, "r d"]


def _scores(
    cells: Cells,
    predictor: str,
    view: str,
    columns: Bool[np.ndarray, " m"],
    reliable: bool,
    counted: Bool[np.ndarray, "k m"],
    signed: Bool[np.ndarray, "k m"],
    draws: _Draws,
    shuffles: int,
    seed: int,
) -> list[Score]:
    predicted = cells.of(predictor)
    sums = Sums.of(predicted, cells.observed, counted, draws.columns)
    right = signed & (np.sign(predicted) == np.sign(cells.observed)) & (predicted != 0)
    rights, signs = (draws.columns @ each.T.astype(np.float64) for each in (right, signed))
    found = []
    for place in (None, *range(len(cells.datasets))):
        of_place = np.ones(len(cells.dataset), bool) if place is None else cells.dataset == place
        here = counted & of_place[:, None]
        if not here.any():
            continue
        weights = draws.datasets if place is None else np.ones_like(draws.datasets)
        runs = weights[:, cells.dataset] * of_place
        slopes = other_slopes(sums, cells.dataset, weights)
        squared = float(total_squares(_first(sums), runs[:1])[0])
        ceiling = 1 - float((cells.error[here] ** 2).sum()) / squared if squared > 0 else np.nan
        r2 = _estimate(out_of_sample_r2(sums, slopes, runs))
        by_shuffle = (np.nan, np.nan)
        if place is None:
            by_shuffle = _shuffled(cells, predicted, columns, counted, r2.value, shuffles, seed)
        with np.errstate(invalid="ignore"):
            accuracy = (rights * runs).sum(1) / (signs * runs).sum(1)
        found.append(
            Score(
                predictor,
                POOLED if place is None else cells.datasets[place],
                view,
                reliable,
                int(here.sum()),
                float(slopes[0, of_place].mean()),
                r2,
                _estimate(in_sample_r2(sums, runs)),
                _estimate(_rank_correlations(predicted, cells.observed, here, draws.columns, runs)),
                _estimate(accuracy),
                int(signed[of_place].sum()),
                ceiling,
                r2.value / ceiling if ceiling > 0 else float("nan"),
                *by_shuffle,
            )
        )
    return found


def _first(sums: Sums) -> Sums:
    return Sums(*(getattr(sums, name)[:1] for name in ("n", "p", "o", "pp", "po", "oo")))


def _estimate(values: Float64[np.ndarray, " r"]) -> Estimate:
    """From the observed value and those of the resamples in which it could be had."""
    drawn = values[1:][np.isfinite(values[1:])]
    if not np.isfinite(values[0]) or not len(drawn):
        return Estimate(float(values[0]), float("nan"), float("nan"))
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(float(values[0]), float(low), float(high))


def _rank_correlations(predicted, observed, here, columns, runs) -> Float64[np.ndarray, " r"]:
    """Spearman's, with the ranks of the cells observed in every resample."""
    from scipy.stats import rankdata

    ranks = [np.zeros(here.shape), np.zeros(here.shape)]
    for rank, values in zip(ranks, (predicted, observed), strict=True):
        rank[here] = rankdata(values[here])
    sums = Sums.of(ranks[0], ranks[1], here, columns)
    return correlation(*((getattr(sums, name) * runs).sum(1) for name in ("n", "p", "o", "pp", "po", "oo")))


def _shuffled(cells, predicted, columns, counted, observed_r2, shuffles, seed) -> tuple[float, float]:
    """The 95th percentile of ``r2`` with the names of a view's columns shuffled, alike in all datasets, and the p."""
    if not np.isfinite(observed_r2):
        return float("nan"), float("nan")
    generator = numpy_generator(seed, "shuffled columns")
    inside, ones = np.flatnonzero(columns), np.ones((1, len(cells.datasets)))
    kept, reached = np.empty(shuffles), predicted[:, inside]
    for start in range(0, shuffles, _AT_ONCE):
        orders = [generator.permutation(len(inside)) for _ in range(min(_AT_ONCE, shuffles - start))]
        guesses = np.stack([reached[:, order] for order in orders])
        weights = np.ones((len(orders), len(inside)))
        sums = Sums.of(guesses, cells.observed[:, inside], counted[:, inside], weights)
        slopes = other_slopes(sums, cells.dataset, np.repeat(ones, len(orders), 0))
        kept[start : start + len(orders)] = out_of_sample_r2(sums, slopes, np.ones_like(slopes))
    return float(np.quantile(kept, LEVEL)), float((1 + (kept >= observed_r2 - 1e-12).sum()) / (1 + shuffles))
