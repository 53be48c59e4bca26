from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import t, ttest_rel

from unweave.base.errors import UnweaveError
from unweave.stats import detectable_difference, noise_floor, paired_test, sign_flip_test, student_interval


def test_equal_arms_pass_the_floor_as_often_as_the_level_says():
    draw = np.random.default_rng(0)
    passed = 0
    for _ in range(4000):
        baseline, other = draw.normal(size=4), draw.normal(size=3)
        passed += abs(other.mean() - baseline.mean()) > noise_floor(baseline, 3)
    assert passed / 4000 == pytest.approx(0.05, abs=0.01)


def test_a_detectable_difference_is_seen_in_most_repeats():
    draw = np.random.default_rng(1)
    # Ten values whose standard deviation is 1, as that of what is drawn.
    true = detectable_difference([-math.sqrt(0.9), math.sqrt(0.9)] * 5, 10)
    seen = 0
    for _ in range(2000):
        baseline, other = draw.normal(size=10), draw.normal(true, size=10)
        seen += other.mean() - baseline.mean() > noise_floor(baseline, 10)
    assert seen / 2000 == pytest.approx(0.8, abs=0.05)


def test_one_value_has_no_floor_and_equal_values_have_none_to_pass():
    assert math.isnan(noise_floor([1.0], 3))
    assert math.isnan(detectable_difference([1.0], 3))
    assert noise_floor([2.0, 2.0], 3) == 0.0


def test_a_mean_of_few_values_has_students_interval():
    values = [1.0, 2.0, 4.0]
    low, high = t.interval(0.9, 2, loc=np.mean(values), scale=np.std(values, ddof=1) / math.sqrt(3))
    found = student_interval(values, 0.9)
    assert (found.mean, found.low, found.high, found.n) == (
        pytest.approx(7 / 3),
        pytest.approx(low),
        pytest.approx(high),
        3,
    )
    assert math.isnan(student_interval([1.0]).low)


@pytest.mark.parametrize(
    ("pairs", "comparisons", "test"),
    [(5, 1, "paired t"), (6, 1, "sign flips"), (6, 2, "paired t"), (7, 3, "sign flips"), (8, 7, "paired t")],
)
def test_signs_are_flipped_where_so_many_pairs_can_reach_the_level(pairs, comparisons, test):
    draw = np.random.default_rng(pairs)
    before, after = draw.normal(size=pairs), draw.normal(0.5, size=pairs)
    found = paired_test(before, after, comparisons)
    expected = sign_flip_test(before, after) if test == "sign flips" else ttest_rel(after, before).pvalue
    assert found == (pytest.approx(expected), test)


def test_pairs_without_spread_have_a_clear_answer():
    assert paired_test([1.0, 1.0, 1.0], [2.0, 2.0, 2.0]).p == 0.0
    assert paired_test([1.0, 1.0, 1.0], [1.0, 1.0, 1.0]).p == 1.0
    assert paired_test([1.0], [9.0]).p == 1.0


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: noise_floor([1.0, 2.0], 0),
        lambda: noise_floor([1.0, 2.0], 3, level=1.0),
        lambda: detectable_difference([1.0, 2.0], 3, power=0),
        lambda: paired_test([1.0], [2.0], comparisons=0),
        lambda: paired_test([1.0, 2.0], [2.0]),
        lambda: noise_floor([], 3),
    ],
)
def test_what_cannot_be_reckoned_is_refused(wrong):
    with pytest.raises(UnweaveError):
        wrong()
