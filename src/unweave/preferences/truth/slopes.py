"""One slope through the origin, fitted on the other datasets: sums of cells, and what follows from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64


@dataclass(frozen=True)
class Sums:
    """Sums over a run's cells, once a resample or shuffle: of 1, of predicted p and observed o, and of products."""

    n: Float64[np.ndarray, "r k"]
    p: Float64[np.ndarray, "r k"]
    o: Float64[np.ndarray, "r k"]
    pp: Float64[np.ndarray, "r k"]
    po: Float64[np.ndarray, "r k"]
    oo: Float64[np.ndarray, "r k"]

    @classmethod
    def of(
        cls,
        predicted: Float64[np.ndarray, "*r k m"],
        observed: Float64[np.ndarray, "k m"],
        counted: Bool[np.ndarray, "k m"],
        column_weights: Float64[np.ndarray, "r m"],
    ) -> Sums:
        """Weighted by column over the cells ``counted``; or, with as many ``predicted`` as weights, each by its own."""
        kept = counted.astype(np.float64)

        def total(values: np.ndarray) -> np.ndarray:
            if values.ndim == 2:
                return column_weights @ values.T
            return np.einsum("rkm,rm->rk", values, column_weights)

        return cls(
            *(np.broadcast_to(total(each), (len(column_weights), len(observed))) for each in (
                kept, kept * predicted, kept * observed,
                kept * predicted**2, kept * predicted * observed, kept * observed**2,
            ))
        )  # fmt: skip


def other_slopes(
    sums: Sums, dataset: Int64[np.ndarray, " k"], weights: Float64[np.ndarray, "r d"]
) -> Float64[np.ndarray, "r k"]:
    """For each run, the least-squares slope on the runs of all other datasets; NaN where there is none.

    A predictor that says nothing of them has slope 0.
    """
    inside = np.equal.outer(dataset, np.arange(weights.shape[1])).astype(np.float64)
    by_run = weights[:, dataset]

    def elsewhere(values: np.ndarray) -> np.ndarray:
        per_dataset = (values * by_run) @ inside
        others = per_dataset.sum(1, keepdims=True) - per_dataset
        # A difference of sums that is rounding only is nothing.
        return np.where(others > 1e-12 * np.abs(per_dataset).sum(1, keepdims=True), others, 0.0)[:, dataset]

    products = (sums.po * by_run) @ inside
    products = (products.sum(1, keepdims=True) - products)[:, dataset]
    squares, count = elsewhere(sums.pp), elsewhere(sums.n)
    slopes = np.divide(products, squares, out=np.zeros_like(products), where=squares > 0)
    return np.where(count > 0, slopes, np.nan)


def out_of_sample_r2(
    sums: Sums, slopes: Float64[np.ndarray, "r k"], run_weights: Float64[np.ndarray, "r k"]
) -> Float64[np.ndarray, " r"]:
    """``1 - sum (o - b p)^2 / sum (o - mean o)^2`` over the weighted runs, each with its slope b; can be below 0."""
    lost = sums.oo - 2 * slopes * sums.po + slopes**2 * sums.pp
    return 1 - _ratio(_over(lost, run_weights), total_squares(sums, run_weights))


def in_sample_r2(sums: Sums, run_weights: Float64[np.ndarray, "r k"]) -> Float64[np.ndarray, " r"]:
    """The squared Pearson correlation, whose slope and intercept are free: what is published. 0 for a constant."""
    n, p, o, pp, po, oo = (_over(each, run_weights) for each in (sums.n, sums.p, sums.o, sums.pp, sums.po, sums.oo))
    return correlation(n, p, o, pp, po, oo) ** 2


def correlation(n, p, o, pp, po, oo) -> Float64[np.ndarray, " r"]:
    """Pearson's, from sums (r,); 0 where one side does not vary, NaN where nothing is counted."""
    with np.errstate(invalid="ignore", divide="ignore"):
        below = (pp - p**2 / n) * (oo - o**2 / n)
        varies = below > 1e-20 * pp * oo
        found = np.where(varies, (po - p * o / n) / np.sqrt(np.where(varies, below, 1.0)), 0.0)
    return np.where(n > 1, found, np.nan)


def total_squares(sums: Sums, run_weights: Float64[np.ndarray, "r k"]) -> Float64[np.ndarray, " r"]:
    """``sum (o - mean o)^2``."""
    n, o, oo = (_over(each, run_weights) for each in (sums.n, sums.o, sums.oo))
    return oo - _ratio(o**2, n)


def _over(values: np.ndarray, run_weights: np.ndarray) -> np.ndarray:
    # A run of weight 0 may have no slope, and is not asked for one.
    return np.where(run_weights > 0, values * run_weights, 0.0).sum(1)


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)
