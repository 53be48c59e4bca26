"""Rank correlation against scipy's, and its p against what chance gives."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import spearmanr

from unweave.base.errors import UnweaveError
from unweave.base.seeds import numpy_generator
from unweave.stats.rank_correlation import rank_correlation


@pytest.mark.parametrize("count", [4, 8, 9, 30])
def test_rho_is_scipy_s_with_ties(count):
    generator = numpy_generator(0, "ranks", count)
    first, second = generator.integers(0, 5, count), generator.normal(size=count)
    assert rank_correlation(first, second).rho == pytest.approx(spearmanr(first, second).statistic)


def test_a_perfect_order_has_the_smallest_p():
    for count in range(2, 9):
        found = rank_correlation(np.arange(count), -(np.arange(count) ** 3))
        assert (found.rho, found.p, found.n) == (pytest.approx(-1), pytest.approx(2 / math.factorial(count)), count)
    assert rank_correlation(range(12), range(12)).p == pytest.approx(1 / 10000)


def test_exact_and_drawn_p_agree_at_the_border():
    first, second = [1, 2, 3, 4, 5, 6, 7, 8], [2, 1, 4, 3, 6, 8, 5, 7]
    exact = rank_correlation(first, second)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("unweave.stats.rank_correlation.MOST_EXACT", 7)
        drawn = rank_correlation(first, second, shuffles=20000)
    assert exact.p != drawn.p
    assert drawn.p == pytest.approx(exact.p, abs=0.004)


def test_p_is_uniform_where_there_is_nothing():
    generator = numpy_generator(0, "nothing")
    found = [rank_correlation(range(7), generator.normal(size=7)).p for _ in range(200)]
    assert 0.02 <= np.mean(np.array(found) <= 0.05) + 0.02 <= 0.11
    assert np.mean(found) == pytest.approx(0.5, abs=0.08)


def test_what_has_no_ranks():
    same = rank_correlation([1, 1, 1], [1, 2, 3])
    assert math.isnan(same.rho)
    assert same.p == 1
    for first, second in (([1], [2]), ([1, 2], [1, 2, 3])):
        with pytest.raises(UnweaveError, match="as many of each"):
            rank_correlation(first, second)
    with pytest.raises(UnweaveError, match="not finite"):
        rank_correlation([1, math.nan], [1, 2])
