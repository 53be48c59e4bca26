"""The prompt-conditioned view: along which differences of replies the prompts with some features push.

Source: Bergen et al. 2026 (arXiv 2606.12360), prompt-conditioned view. It foresees less than the other
one (R^2 .58 against .90), because a cluster of prompts is a small part of the data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int64
from scipy import sparse

from unweave.base.errors import UnweaveError
from unweave.base.seeds import derive, numpy_generator
from unweave.preferences.features.firings import Csr, binary, check_replies, column_sums, csr, deviation, fires_above
from unweave.preferences.features.leans import LeanConfig, LeanTable, measure_leans

SOURCE_ROWS = 260_000
"""Rows of the dataset that the source's counts are of."""
STARTS = 8


@dataclass(frozen=True)
class PromptConfig:
    """Which features are looked at, and how many rows a group of prompts has."""

    least_count: int | None = None
    """Rows that a feature is non-zero in; none is 200 of 260,000, in proportion, and at least 20."""
    least_deviation: float = 1e-3
    least_difference: float = 1e-4
    """Mean size of a response feature's difference."""
    dimensions: int = 128
    """Of the space that features are clustered in."""
    sample: int = 30_000
    """Rows that it is made from."""
    rows: int | None = None
    """Rows of a group: those with most of its prompt features. None is a thousandth of all, and at least 50."""
    binary: bool = True
    """Whether a prompt feature counts by firing at all, else by its size."""
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("least_count", "dimensions", "sample", "rows"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UnweaveError(f"{name} is {value}, and it must be at least 1")

    def count_of(self, rows: int) -> int:
        return max(20, round(200 * rows / SOURCE_ROWS)) if self.least_count is None else self.least_count

    def rows_of(self, rows: int) -> int:
        return max(50, round(rows / 1000)) if self.rows is None else self.rows


@dataclass(frozen=True)
class PromptConditioned:
    """Clusters of prompt features and of response differences, and how rows with most of the one lean along the other.

    A shown lean reads: prompts that have prompt cluster ``group`` push replies along response cluster ``column``.
    """

    prompt_clusters: tuple[tuple[int, ...], ...]
    response_clusters: tuple[tuple[int, ...], ...]
    members: Csr
    """Rows of each prompt cluster, n x k; they overlap."""
    table: LeanTable


def prompt_conditioned(
    prompt: Csr,
    chosen: Csr,
    rejected: Csr,
    units: Sequence[str],
    config: PromptConfig | None = None,
    leans: LeanConfig | None = None,
) -> PromptConditioned:
    """The prompt-conditioned view; all three matrices are n x c, of firing frequencies or of maxima.

    Features are clustered in the space of their standardised columns (SVD, k-means of directions), one cluster for each
    sqrt(features). A response column is the mean of its features' differences in standard deviations. Raises
    ``UnweaveError`` for matrices that do not match, and where no feature is frequent enough.
    """
    config = config or PromptConfig()
    check_replies(chosen, rejected, prompt.shape[1])
    count = prompt.shape[0]
    if chosen.shape[0] != count or len(units) != count:
        raise UnweaveError(f"{count} prompts, {chosen.shape[0]} replies and {len(units)} units: give one a row")
    difference = csr(chosen - rejected)
    difference.eliminate_zeros()
    least = config.count_of(count)
    prompts = _frequent(prompt, least)
    responses = _frequent(difference, least)
    mean_size = column_sums(abs(difference)) / count
    responses &= (deviation(difference) >= config.least_deviation) & (mean_size >= config.least_difference)
    if not prompts.any() or not responses.any():
        raise UnweaveError(
            f"{int(prompts.sum())} prompt and {int(responses.sum())} response features are non-zero in {least} rows or "
            "more: give more rows, or a lower least_count"
        )
    of_prompts = _column_clusters(prompt, np.flatnonzero(prompts), config, "prompt")
    of_responses = _column_clusters(difference, np.flatnonzero(responses), config, "response")
    means = _means(of_prompts, prompt.shape[1])
    sizes_of = (prompt @ means).toarray()
    amount = (fires_above(prompt, 0.0) @ means).toarray() if config.binary else sizes_of
    members = _top_rows(amount, sizes_of, config.rows_of(count))
    # Not centred: a constant changes no difference of means, and exchanged replies must have the opposite sign.
    scaled = difference @ sparse.diags(1 / np.where(responses, deviation(difference), 1.0))
    signed = np.asarray((scaled @ _means(of_responses, prompt.shape[1])).toarray(), np.float32)
    sizes = np.array([len(each) for each in of_responses], np.int64)
    return PromptConditioned(of_prompts, of_responses, members, measure_leans(signed, members, units, sizes, leans))


def _top_rows(amount: Float64[np.ndarray, "n k"], then: Float64[np.ndarray, "n k"], most: int) -> Csr:
    """In each column the ``most`` rows with the largest amount, of those that have any; of equal ones, by ``then``."""
    groups = [
        np.lexsort((-second, -column))[: min(most, int((column > 0).sum()))]
        for column, second in zip(amount.T, then.T, strict=True)
    ]
    columns = np.repeat(np.arange(len(groups)), [len(each) for each in groups])
    held = (np.ones(len(columns), bool), (np.concatenate(groups), columns))
    return csr(held, shape=amount.shape)


def _column_clusters(
    values: Csr, kept: Int64[np.ndarray, " f"], config: PromptConfig, purpose: str
) -> tuple[tuple[int, ...], ...]:
    """Features whose standardised columns point the same way, the largest cluster first."""
    from sklearn.cluster import MiniBatchKMeans

    count = max(round(len(kept) ** 0.5), 1)
    directions = _directions(values[:, kept], config, purpose)
    seed = derive(config.seed, "column clusters", purpose) % 2**32
    made: Any = MiniBatchKMeans  # its annotations are those of its defaults
    found = made(count, n_init=STARTS, batch_size=4096, random_state=seed, reassignment_ratio=0.0).fit(directions)
    members = (tuple(int(each) for each in kept[found.labels_ == number]) for number in range(count))
    return tuple(sorted((each for each in members if each), key=lambda each: (-len(each), each)))


def _directions(values: Csr, config: PromptConfig, purpose: str) -> Float64[np.ndarray, "f e"]:
    """Each column's place among the principal directions of some rows, standardised by all rows, scaled to length 1."""
    from scipy.sparse.linalg import LinearOperator, svds

    generator = numpy_generator(config.seed, "columns", purpose)
    mean, scale = column_sums(values) / values.shape[0], deviation(values)
    scale[scale == 0] = 1.0
    rows = values
    if values.shape[0] > config.sample:
        rows = values[np.sort(generator.choice(values.shape[0], config.sample, replace=False))]
    rows = csr(rows, dtype=np.float64)
    across = rows.T.tocsr()
    rank = min(config.dimensions, min(rows.shape) - 1)
    if rank < 1:
        return np.ones((values.shape[1], 1))
    # Standardised without being filled: the mean is taken from the products.
    operator: Any = LinearOperator  # what it takes, its __new__ says
    standard = operator(
        rows.shape,
        matvec=lambda x: rows @ (x.ravel() / scale) - mean @ (x.ravel() / scale),
        rmatvec=lambda y: (across @ y.ravel() - mean * y.sum()) / scale,
        dtype=np.float64,
    )
    start = generator.standard_normal(min(rows.shape))
    _, sizes, right = svds(standard, k=rank, v0=start)
    placed = (sizes[:, None] * right).T
    return placed / np.linalg.norm(placed, axis=1, keepdims=True).clip(1e-12)


def _means(clusters: tuple[tuple[int, ...], ...], features: int) -> Csr:
    """``values @ it`` is the mean of each cluster's features."""
    rows = np.concatenate([np.array(each) for each in clusters])
    columns = np.repeat(np.arange(len(clusters)), [len(each) for each in clusters])
    weights = np.concatenate([np.full(len(each), 1 / len(each)) for each in clusters])
    return csr((weights, (rows, columns)), shape=(features, len(clusters)))


def _frequent(values: Csr, least: int) -> Bool[np.ndarray, " c"]:
    return column_sums(binary(values)) >= least
