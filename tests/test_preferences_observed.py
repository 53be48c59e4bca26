from __future__ import annotations

import json

import numpy as np
import pytest

from unweave.base.errors import UnweaveError
from unweave.preferences.truth.observed import Observed, observe

NAMES = ("a", "b", "c")
CHANGE = np.array([0.0, 0.3, -1.0])


def sampled(seed, prompts=80, samples=4, change=CHANGE, by_prompt=0.0):
    """Replies of three columns about their prompt's mean, before and after; ``by_prompt``: how changes differ."""
    generator = np.random.default_rng(seed)
    groups = np.repeat(np.arange(prompts), samples)
    means = generator.normal(size=(prompts, 3))[groups]
    moved = (change + by_prompt * generator.normal(size=(prompts, 3)))[groups]
    before, after = (means + generator.normal(size=means.shape) for _ in range(2))
    return before, groups, after + moved, groups


def test_the_change_is_the_mean_over_prompts_in_units_of_spread():
    before, groups, after, _ = sampled(0)
    found = observe(NAMES, before, groups, after, groups, np.array([1.0, 2.0, 4.0]), resamples=50, splits=20)
    assert found.change == pytest.approx((after - before).mean(0) / [1, 2, 4])
    assert (found.prompts, found.replies, found.splits) == (80, 640, 20)
    # A prompt that is sampled more often weighs no more.
    again = observe(
        NAMES, before, groups, np.concatenate([after, after[:4]]), np.append(groups, groups[:4]), np.ones(3), splits=20
    )
    assert again.change == pytest.approx((after - before).mean(0))


def test_the_error_and_the_reliability_are_those_of_the_mean_over_prompts():
    before, groups, after, _ = sampled(1, by_prompt=1.0)
    found = observe(NAMES, before, groups, after, groups, np.ones(3), splits=2000)
    moved = (after - before).reshape(80, 4, 3).mean(1)
    error = moved.std(0, ddof=1) / np.sqrt(80)
    assert found.error == pytest.approx(error, rel=0.06)
    expected = np.clip(1 - error**2 / moved.mean(0) ** 2, 0, 1)
    assert found.reliability == pytest.approx(expected, abs=0.05)
    assert found.reliability[2] > 0.95
    assert (found.high - found.low) == pytest.approx(2 * 1.96 * error, rel=0.15)


def test_halves_of_samples_leave_out_that_prompts_differ():
    before, groups, after, _ = sampled(2, prompts=30, samples=16, change=np.full(3, 0.25), by_prompt=1.0)
    found = observe(NAMES, before, groups, after, groups, np.ones(3), splits=300)
    moved = (after - before).reshape(30, 16, 3).mean(1).mean(0)
    noise = 2 / (30 * 16)
    assert found.sample_reliability == pytest.approx(np.clip(1 - noise / moved**2, 0, 1), abs=0.12)
    assert found.sample_reliability.mean() > found.reliability.mean()


def test_no_change_is_not_relied_on_and_intervals_cover():
    found = [
        observe(NAMES, *sampled(seed, prompts=40, change=np.zeros(3)), np.ones(3), resamples=200, splits=40)
        for seed in range(60)
    ]
    assert np.mean([each.reliability >= 0.7 for each in found]) <= 0.12
    assert 0.9 <= np.mean([(each.low <= 0) & (each.high >= 0) for each in found]) <= 0.99


def test_a_single_reply_a_prompt_has_no_sample_reliability_and_json_keeps_that():
    found = observe(NAMES, *sampled(0, samples=1), np.ones(3), splits=20)
    assert np.isnan(found.sample_reliability).all()
    back = Observed.from_json(json.loads(json.dumps(found.to_json(), allow_nan=False)))
    assert back.names == NAMES
    for what in ("change", "low", "high", "error", "reliability", "sample_reliability"):
        assert np.array_equal(getattr(back, what), getattr(found, what), equal_nan=True)
    with pytest.raises(UnweaveError, match=r"not an observed change \(KeyError: 'low'\)"):
        Observed.from_json({"names": ["a"], "change": [1.0]})
    with pytest.raises(UnweaveError, match="change of an observed change holds"):
        Observed.from_json(found.to_json() | {"change": [1.0]})


def test_prompts_of_one_side_only_are_refused():
    before, groups, after, _ = sampled(0)
    with pytest.raises(UnweaveError, match="prompt 0 and 0 others are answered on one side only"):
        observe(NAMES, before, groups, after[4:], groups[4:], np.ones(3))
    with pytest.raises(UnweaveError, match="1 prompt: a change needs 2 or more"):
        observe(NAMES, before, groups * 0, after, groups * 0, np.ones(3))
    with pytest.raises(UnweaveError, match=r"replies after are \(320, 2\): 320 rows of 3 finite columns"):
        observe(NAMES, before, groups, after[:, :2], groups, np.ones(3))
