"""Whether one thing rises with another, by ranks, against what shuffling gives."""

from __future__ import annotations

import math
from functools import cache
from itertools import permutations
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from unweave.base.errors import UnweaveError
from unweave.base.seeds import numpy_generator
from unweave.stats.bootstrap import finite_vector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike, NDArray

MOST_EXACT = 8
"""Values of which all orders are counted (40320)."""
_BLOCK = 4096


class RankCorrelation(NamedTuple):
    """Spearman's rho, its two-sided p by permutation, and how many pairs of values they are of."""

    rho: float
    p: float
    n: int


def rank_correlation(first: ArrayLike, second: ArrayLike, seed: int = 0, shuffles: int = 9999) -> RankCorrelation:
    """Spearman's rank correlation of two vectors (n,), ties at their mean rank.

    With at most 8 pairs all orders are counted and the p is exact; among 3 it cannot be below 1/3. Where one of the two
    is the same everywhere there is no correlation: rho is NaN and p is 1. Raises ``UnweaveError`` for fewer than two.
    Source: Spearman, "The proof and measurement of association between two things", 1904.
    """
    from scipy.stats import rankdata

    one, other = finite_vector(first, "first values"), finite_vector(second, "second values")
    count = len(one)
    if count != len(other) or count < 2:
        raise UnweaveError(
            f"{count} and {len(other)} values: a rank correlation needs as many of each, and two or more"
        )
    x, y = rankdata(one) - (count + 1) / 2, rankdata(other) - (count + 1) / 2
    size = float(np.sqrt((x @ x) * (y @ y)))
    if size == 0:
        return RankCorrelation(math.nan, 1.0, count)
    found = float(x @ y)
    # The small allowance makes an order that ties with the observed one count in spite of rounding.
    needed = abs(found) - 1e-9 * size
    exact = count <= MOST_EXACT
    reached = total = 0
    for orders in _all_orders(count) if exact else _drawn_orders(count, seed, shuffles):
        reached += int((np.abs(y[orders] @ x) >= needed).sum())
        total += len(orders)
    return RankCorrelation(found / size, reached / total if exact else (1 + reached) / (1 + total), count)


@cache
def _all_orders(count: int) -> list[NDArray[np.int8]]:
    return [np.array(list(permutations(range(count))), np.int8)]


def _drawn_orders(count: int, seed: int, shuffles: int) -> Iterator[NDArray[np.int64]]:
    generator = numpy_generator(seed, "rank_correlation")
    for start in range(0, shuffles, _BLOCK):
        yield generator.permuted(np.tile(np.arange(count), (min(_BLOCK, shuffles - start), 1)), axis=1)
