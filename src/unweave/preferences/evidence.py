"""What a predictor may see, all of it from before training; and what it says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32, Int64

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


@dataclass(frozen=True)
class Replies:
    """Measured replies: one row a reply, one column a behaviour or cluster of features."""

    values: Float32[np.ndarray, "n m"]
    tokens: Int64[np.ndarray, " n"]
    """Length of each reply in tokens."""
    embedding: Float32[np.ndarray, "n d"]
    """Mean state over the reply's tokens, at the layer that features were read at."""
    words: csr_matrix
    """Hashed word counts, n x ``WORD_BUCKETS``."""

    def __len__(self) -> int:
        return len(self.values)


WORD_BUCKETS = 1 << 14


def spread_of(values: Float32[np.ndarray, "n m"]) -> Float32[np.ndarray, " m"]:
    """Standard deviation of each column; 1 for a column that never varies."""
    found = values.std(0)
    return np.where(found > 1e-9, found, 1.0).astype(np.float32)


@dataclass(frozen=True)
class Evidence:
    """A preference dataset and the untrained target's own replies, measured in the same columns.

    Row i of ``chosen`` and ``rejected`` is pair i; ``groups`` says which pairs share a prompt and hang together.
    """

    names: tuple[str, ...]
    chosen: Replies
    rejected: Replies
    groups: Int64[np.ndarray, " n"]
    reference: Replies
    """Replies that the target gave before training."""
    reference_groups: Int64[np.ndarray, " s"]
    """Which of those answer the same prompt."""
    gradient: Float32[np.ndarray, "n m"] | None = None
    """Each pair's first-order effect on each column, in the column's own units up to one factor, where computed."""

    def __len__(self) -> int:
        return len(self.groups)

    @property
    def spread(self) -> Float32[np.ndarray, " m"]:
        """``spread_of`` the target's own replies: the unit of every predicted change."""
        return spread_of(self.reference.values)


@dataclass(frozen=True)
class Prediction:
    """What one predictor says of one dataset, in the order of ``names``.

    ``change`` is in the predictor's own units, up to one factor common to all columns and datasets (its slope, which is
    fitted on datasets that were trained on). It is the mean of ``shares`` over rows: a row's share is what it adds.
    """

    predictor: str
    names: tuple[str, ...]
    change: Float32[np.ndarray, " m"]
    low: Float32[np.ndarray, " m"]
    high: Float32[np.ndarray, " m"]
    shares: Float32[np.ndarray, "n m"] = field(repr=False)
