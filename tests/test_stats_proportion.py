from __future__ import annotations

import numpy as np
import pytest

from unweave.base.errors import UnweaveError
from unweave.stats import mean_of_shares, wilson_interval


def test_a_share_has_the_interval_of_the_tables():
    # Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I.
    for successes, trials, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611)):
        found = wilson_interval(successes, trials)
        assert (round(found.low, 4), round(found.high, 4), found.n) == (low, high, trials)


def test_all_or_none_of_a_few_is_not_certain():
    every, none = wilson_interval(5, 5), wilson_interval(0, 5)
    assert (every.mean, every.high, none.mean, none.low) == (1, 1, 0, 0)
    assert every.low == pytest.approx(1 - none.high)
    assert 0.5 < every.low < 0.6


def test_the_mean_of_two_shares_is_held_as_often_as_it_says():
    generator = np.random.default_rng(0)
    for truths in ((0.9, 0.6), (0.98, 0.98), (0.5, 0.5)):
        drawn = generator.binomial(25, truths, size=(1000, 2)).tolist()
        found = [mean_of_shares([wilson_interval(each, 25) for each in both]) for both in drawn]
        held = np.mean([each.low <= np.mean(truths) <= each.high for each in found])
        assert 0.92 <= held <= 0.995
    assert mean_of_shares([wilson_interval(3, 5)]) == wilson_interval(3, 5)


@pytest.mark.parametrize(("successes", "trials"), [(0, 0), (3, 2), (-1, 4)])
def test_what_is_no_share_is_refused(successes, trials):
    with pytest.raises(UnweaveError, match="is no share"):
        wilson_interval(successes, trials)
    with pytest.raises(UnweaveError, match="no shares"):
        mean_of_shares([])
