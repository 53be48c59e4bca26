from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unweave.base.errors import UnweaveError
from unweave.stats import exceeds_null, max_null_threshold, sign_flip_test

maxima = st.lists(st.integers(-5, 5).map(float), min_size=19, max_size=60)


@given(maxima, st.integers(-6, 6))
def test_threshold_and_p_agree(null, observed):
    p, _ = exceeds_null(observed, null)
    assert (observed > max_null_threshold(null, 0.95)) == (p <= 0.05 + 1e-12)


@given(maxima, st.integers(-6, 6))
def test_exceeding_means_above_every_maximum(null, observed):
    p, exceeds = exceeds_null(observed, null)
    assert exceeds == (observed > max(null))
    assert p == (1 + sum(value >= observed for value in null)) / (1 + len(null))


def test_a_tie_with_the_largest_maximum_does_not_exceed():
    assert exceeds_null(2.0, [1.0, 2.0]) == (2 / 3, False)


def test_too_few_shuffles_are_refused():
    assert max_null_threshold(list(range(19)), 0.95) == 18
    with pytest.raises(UnweaveError, match=r"18 shuffles cannot reach level 0\.95: run at least 19"):
        max_null_threshold(list(range(18)), 0.95)


def test_observed_must_be_finite():
    with pytest.raises(UnweaveError, match="nan"):
        exceeds_null(float("nan"), [1.0])


@given(st.lists(st.integers(-20, 20).map(float), min_size=1, max_size=8))
def test_few_pairs_give_the_exact_p(differences):
    target = abs(sum(differences))
    patterns = list(itertools.product((-1, 1), repeat=len(differences)))
    reached = sum(abs(sum(s * d for s, d in zip(signs, differences, strict=True))) >= target for signs in patterns)
    assert sign_flip_test([0.0] * len(differences), differences) == pytest.approx(reached / len(patterns))


def test_many_pairs_are_sampled_near_the_normal_p():
    differences = np.random.default_rng(0).normal(0.2, 1.0, 100)
    z = differences.mean() / np.sqrt((differences**2).mean() / 100)
    from math import erfc, sqrt

    assert sign_flip_test(np.zeros(100), differences) == pytest.approx(erfc(abs(z) / sqrt(2)), abs=0.015)
    assert sign_flip_test(np.zeros(100), np.full(100, 0.3), flips=99) == pytest.approx(0.01)


def test_p_is_uniform_when_nothing_differs():
    generator = np.random.default_rng(1)
    ps = [sign_flip_test(np.zeros(20), generator.normal(size=20), seed=seed, flips=199) for seed in range(300)]
    assert np.mean(np.array(ps) <= 0.1) == pytest.approx(0.1, abs=0.05)
