"""Rows by the prompt that they answer, and prompts drawn anew: what every interval here is over."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Float32, Int64, UInt64

from unweave.base.seeds import numpy_generator

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from scipy.sparse import csr_matrix


@dataclass(frozen=True)
class Prompts:
    """Which rows answer the same prompt: ``index`` counts the prompts from 0 in the order of their ids."""

    ids: Int64[np.ndarray, " g"]
    index: Int64[np.ndarray, " n"]

    @classmethod
    def of(cls, groups: ArrayLike) -> Prompts:
        """From one id a row, in any order."""
        ids, index = np.unique(np.asarray(groups, np.int64), return_inverse=True)
        return cls(ids, index.reshape(-1).astype(np.int64))

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def sizes(self) -> Float[np.ndarray, " g"]:
        """Rows of each prompt."""
        return np.bincount(self.index, minlength=len(self)).astype(np.float64)

    @cached_property
    def members(self) -> list[Int64[np.ndarray, " k"]]:
        """The rows of each prompt."""
        return np.split(np.argsort(self.index, kind="stable"), np.cumsum(self.sizes)[:-1].astype(int))

    @cached_property
    def _incidence(self) -> csr_matrix:
        from scipy.sparse import csr_matrix

        n = len(self.index)
        ones = np.ones(n, np.float32)
        return csr_matrix((ones, (self.index, np.arange(n))), shape=(len(self), n))

    def sums(self, values: Any) -> Any:
        """Sums over each prompt's rows: (n, m) to (g, m), (n,) to (g,), sparse to sparse."""
        return self._incidence @ values

    def centred(self, values: Any) -> Any:
        """``values`` (n, m), dense or sparse, less the mean of their prompt: what varies where the prompt does not."""
        from scipy.sparse import diags_array, issparse

        if issparse(values):
            means = diags_array(1 / self.sizes) @ self.sums(values)
            return (values - self._incidence.T @ means).tocsr()
        return values - (self.sums(values) / self.sizes[:, None]).astype(values.dtype)[self.index]


@dataclass(frozen=True)
class Resampling:
    """Prompts drawn with replacement, ``resamples`` times: those of the pairs and those of the target's own replies.

    A weight says how often a prompt was drawn. Source: Efron, 1979; by groups, Davison and Hinkley, 1997, section 3.8.
    """

    pairs: Prompts
    replies: Prompts
    pair_weights: Float32[np.ndarray, "r g"]
    reply_weights: Float32[np.ndarray, "r h"]

    @classmethod
    def draw(cls, groups: ArrayLike, reference_groups: ArrayLike, resamples: int, seed: int) -> Resampling:
        pairs, replies = Prompts.of(groups), Prompts.of(reference_groups)
        return cls(
            pairs,
            replies,
            drawn_weights(len(pairs), resamples, seed, "pairs"),
            drawn_weights(len(replies), resamples, seed, "replies"),
        )

    def mean_over_pairs(self, shares: Float[np.ndarray, "n m"]) -> Float[np.ndarray, "r m"]:
        """The mean of the rows of ``shares`` in each resample of the pairs' prompts."""
        return (self.pair_weights @ self.pairs.sums(shares)) / (self.pair_weights @ self.pairs.sizes)[:, None]

    def sum_over_replies(self, values: Float[np.ndarray, "s m"]) -> Float[np.ndarray, "r m"]:
        """The sum of the rows of ``values`` in each resample of the replies' prompts."""
        return self.reply_weights.astype(np.float64) @ self.replies.sums(values)


def drawn_weights(count: int, resamples: int, seed: int, *purpose: str) -> Float32[np.ndarray, "r count"]:
    """How often each of ``count`` units is drawn, in ``resamples`` draws of ``count`` with replacement."""
    generator = numpy_generator(seed, "resampling", *purpose)
    weights = np.empty((resamples, count), np.float32)
    for row in weights:
        row[:] = np.bincount(generator.integers(count, size=count), minlength=count)
    return weights


def hashed(ids: Int64[np.ndarray, " g"], seed: int = 0) -> UInt64[np.ndarray, " g"]:
    """A well mixed number for each id, the same on every machine and whatever else is in the data.

    Source: splitmix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
    """
    z = ids.astype(np.uint64) + np.uint64(seed + 1) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
