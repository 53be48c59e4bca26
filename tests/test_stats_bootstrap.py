from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unweave.base.errors import UnweaveError
from unweave.stats import (
    bootstrap,
    cluster_interval,
    mean_interval,
    median_interval,
    median_with_range,
    paired_difference,
)

samples = st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=30)


@given(samples, st.floats(0.1, 50), st.floats(-100, 100))
@settings(max_examples=40, deadline=None)
def test_interval_moves_and_scales_with_its_values(values, factor, shift):
    plain = mean_interval(values, resamples=200)
    moved = mean_interval(np.array(values) * factor + shift, resamples=200)
    for name in ("mean", "low", "high"):
        assert getattr(moved, name) == pytest.approx(getattr(plain, name) * factor + shift, rel=1e-9, abs=1e-6)


@given(samples)
@settings(max_examples=40, deadline=None)
def test_interval_lies_within_the_values(values):
    found = mean_interval(values, resamples=200)
    assert min(values) - 1e-9 <= found.low <= found.high <= max(values) + 1e-9
    assert found.n == len(values)
    assert found.mean == pytest.approx(np.mean(values))


def test_interval_has_the_normal_width_for_many_values():
    values = np.random.default_rng(0).normal(3.0, 2.0, 4000)
    found = mean_interval(values)
    assert found.high - found.low == pytest.approx(2 * 1.96 * 2.0 / math.sqrt(4000), rel=0.08)
    assert mean_interval(values, level=0.5).high - found.mean < found.high - found.mean


def test_interval_covers_the_true_mean_as_often_as_it_says():
    generator = np.random.default_rng(1)
    draws = generator.normal(size=(300, 40))
    covered = [(one := mean_interval(draw, resamples=400)).low <= 0 <= one.high for draw in draws]
    assert 0.89 <= np.mean(covered) <= 0.99


def test_seed_decides_the_interval():
    values = np.random.default_rng(2).normal(size=50)
    assert mean_interval(values, seed=1) == mean_interval(values, seed=1)
    assert mean_interval(values, seed=1).low != mean_interval(values, seed=2).low


def test_result_does_not_depend_on_the_block_size(monkeypatch):
    values = np.random.default_rng(3).normal(size=37)
    whole = mean_interval(values)
    monkeypatch.setattr(bootstrap, "_BLOCK", 111)
    assert mean_interval(values) == whole


def test_one_unit_has_no_interval():
    found = mean_interval([4.0])
    assert (found.mean, found.n) == (4.0, 1)
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_pairs_are_compared_unit_by_unit():
    before = np.random.default_rng(4).normal(0, 10, 200)
    after = before + 0.5 + np.random.default_rng(5).normal(0, 0.1, 200)
    found = paired_difference(before, after)
    assert found == mean_interval(after - before)
    assert 0.45 < found.low < 0.5 < found.high < 0.55
    with pytest.raises(UnweaveError, match="2 values before and 3 after"):
        paired_difference([1, 2], [1, 2, 3])


def test_clusters_widen_the_interval_when_units_inside_them_agree():
    generator = np.random.default_rng(6)
    books = np.repeat(np.arange(8), 50)
    values = generator.normal(size=8)[books] + generator.normal(0, 0.05, 400)
    clustered, naive = cluster_interval(values, books.tolist()), mean_interval(values)
    assert clustered.mean == pytest.approx(naive.mean)
    assert clustered.n == 8
    assert clustered.high - clustered.low > 4 * (naive.high - naive.low)


def test_clusters_of_one_unit_give_the_plain_interval():
    values = np.random.default_rng(7).normal(size=300)
    clustered, naive = cluster_interval(values, list(range(300))), mean_interval(values)
    assert clustered.high - clustered.low == pytest.approx(naive.high - naive.low, rel=0.1)


def test_every_unit_weighs_the_same_in_unequal_clusters():
    values = [0.0] * 90 + [1.0] * 10
    found = cluster_interval(values, ["long"] * 90 + ["short"] * 10, resamples=4000)
    assert found.mean == pytest.approx(0.1)
    assert (found.low, found.high) == (0.0, 1.0)
    # Half of the resamples hold one of each, and then the long one counts nine times.
    middle = cluster_interval(values, ["long"] * 90 + ["short"] * 10, level=0.4)
    assert (middle.low, middle.high) == (0.1, 0.1)


def test_one_cluster_has_no_interval():
    found = cluster_interval([1.0, 2.0, 3.0], ["a", "a", "a"])
    assert (found.mean, found.n) == (2.0, 1)
    assert math.isnan(found.low)


def test_median_comes_with_its_range():
    found = median_with_range([3.0, -1.0, 10.0, 4.0])
    assert (found.median, found.low, found.high, found.n) == (3.5, -1.0, 10.0, 4)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: mean_interval([]), "empty"),
        (lambda: mean_interval([1.0, float("nan")]), "1 of 2 values are not finite"),
        (lambda: mean_interval([[1.0], [2.0]]), r"shape \(2, 1\)"),
        (lambda: mean_interval([1.0, 2.0], level=95), "level 95"),
        (lambda: mean_interval([1.0, 2.0], resamples=0), "0 resamples"),
        (lambda: cluster_interval([1.0, 2.0], ["a"]), "2 values with 1 cluster names"),
    ],
)
def test_refusals_name_the_value(call, words):
    with pytest.raises(UnweaveError, match=words):
        call()


def test_the_interval_of_a_median_holds_it_and_is_that_of_the_quantiles_of_large_samples():
    sample = np.random.default_rng(0).normal(size=401)
    found = median_interval(sample, seed=1)
    assert found.mean == np.median(sample)
    assert found.low < found.mean < found.high
    # Binomial order statistics: the interval a median has without any bootstrap.
    spread = 1.96 * np.sqrt(401) / 2
    ordered = np.sort(sample)
    assert found.low == pytest.approx(ordered[int(200 - spread)], abs=0.03)
    assert found.high == pytest.approx(ordered[int(200 + spread)], abs=0.03)
    assert median_interval(sample, seed=1) == found
    assert np.isnan(median_interval([2.0]).low)
