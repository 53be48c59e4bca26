"""Two predictors on the same cells: which one is better, and could that be chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from unweave.base.errors import UnweaveError
from unweave.preferences.evidence import Prediction
from unweave.preferences.predictors.prompts import drawn_weights
from unweave.preferences.truth.cells import side_by_side
from unweave.preferences.truth.observed import Observed
from unweave.preferences.truth.scoring import Estimate
from unweave.preferences.truth.slopes import Sums, other_slopes, out_of_sample_r2
from unweave.stats import sign_flip_test

LEVEL = 0.95


@dataclass(frozen=True)
class Comparison:
    """``difference`` is the first's out-of-sample R squared less the second's, with its interval."""

    first: str
    second: str
    difference: Estimate
    p: float
    """Two-sided, by sign flips of squared errors over blocks of one dataset and column, its seeds together. Too small
    where columns are relatives of each other, so that ``better`` asks for the interval too."""
    blocks: int

    @property
    def better(self) -> str | None:
        """The better one at the 5 % level, where interval and test agree; else None, as where neither can be had."""
        apart = self.difference.low > 0 or self.difference.high < 0
        if not (apart and self.p <= 1 - LEVEL):
            return None
        return self.first if self.difference.value > 0 else self.second


def compare_predictors(
    predictions_by_dataset: Mapping[str, Sequence[Prediction]],
    observed_by_dataset: Mapping[str, Sequence[Observed]],
    first: str,
    second: str,
    floor: float = 0.7,
    names: Sequence[str] | None = None,
    seed: int = 0,
    resamples: int = 2000,
) -> Comparison:
    """Compares two predictors on cells whose reliability reaches ``floor`` (0 for all), in the columns ``names``.

    Each is scaled by its own slope on the other datasets. The interval draws datasets and columns anew, for both alike.
    Raises ``UnweaveError`` for fewer than 2 datasets and where no cell is left.
    """
    cells = side_by_side(predictions_by_dataset, observed_by_dataset)
    if len(cells.datasets) < 2:
        raise UnweaveError("1 dataset has no slope from others: compare predictors on 2 datasets or more")
    counted = cells.reliability >= floor
    if names is not None:
        counted &= np.isin(cells.names, list(names))
    if not counted.any():
        raise UnweaveError(f"no cell reaches a reliability of {floor}: sample more replies, or lower the floor")
    shape, runs = len(cells.names), len(cells.datasets)
    columns = np.vstack([np.ones((1, shape)), drawn_weights(shape, resamples, seed, "columns")])
    datasets = np.vstack([np.ones((1, runs)), drawn_weights(runs, resamples, seed, "datasets")])
    r2, errors = [], []
    for predictor in (first, second):
        predicted = cells.of(predictor)
        sums = Sums.of(predicted, cells.observed, counted, columns)
        slopes = other_slopes(sums, cells.dataset, datasets)
        r2.append(out_of_sample_r2(sums, slopes, datasets[:, cells.dataset]))
        errors.append(np.where(counted, (cells.observed - slopes[0][:, None] * predicted) ** 2, 0.0))
    difference = r2[0] - r2[1]
    drawn = difference[1:][np.isfinite(difference[1:])]
    ends = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]) if len(drawn) else (np.nan, np.nan)
    inside = np.equal.outer(np.arange(runs), cells.dataset).astype(np.float64)
    used = (inside @ counted) > 0
    blocks = [(inside @ each)[used] for each in errors]
    p = sign_flip_test(blocks[0], blocks[1], seed) if np.isfinite(difference[0]) else float("nan")
    return Comparison(
        first, second, Estimate(float(difference[0]), float(ends[0]), float(ends[1])), p, int(used.sum())
    )  # fmt: skip
