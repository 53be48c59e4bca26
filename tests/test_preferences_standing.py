from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from preference_world import evidence, random_world, swapped

from unweave.base.errors import UnweaveError
from unweave.preferences.predictors import standing_of
from unweave.preferences.predictors.prompts import Prompts, hashed
from unweave.preferences.predictors.standing import flipped_standing
from unweave.stats import sign_flip_test


def test_shuffled_labels_say_nothing():
    # Columns that hang together, pairs that share a prompt and in it a liking: the worst honest null.
    generator = np.random.default_rng(0)
    loading = generator.normal(size=(3, 15))
    names = tuple(map(str, range(15)))
    said = 0
    for seed in range(200):
        shared = generator.normal(size=(25, 3)) @ loading
        pushes = np.repeat(shared, 3, axis=0) + 0.5 * generator.standard_t(3, size=(75, 15))
        found = flipped_standing(pushes, Prompts.of(np.repeat(np.arange(25), 3)), names, seed=seed)
        said += bool((found.adjusted <= 0.05).any())
    assert said / 200 <= 0.08
    assert said > 0


def test_a_tilt_that_learnt_from_shuffled_labels_says_nothing_either():
    world = random_world(0)
    said = [standing_of(evidence(world, 150, seed, null=True), "tilt").stands.any() for seed in range(40)]
    assert np.mean(said) <= 0.1


def test_what_is_rated_stands_and_turns_with_the_labels():
    world = random_world(1, strength=1.0)
    one = evidence(world, 1500, 1)
    found, turned = standing_of(one), standing_of(swapped(one))
    large = np.abs(world.change) > 0.5
    assert large.sum() >= 5
    assert found.stands[large].all()
    assert np.array_equal(np.sign(found.push[large]), np.sign(world.change[large]))
    assert np.array_equal(found.p, turned.p)
    assert found.push == pytest.approx(-turned.push)
    assert found.agreement > 0.9
    assert found.agree[large].all()


def test_p_values_are_those_of_flipping_every_pattern():
    generator = np.random.default_rng(3)
    pushes = generator.normal(0.4, 1, size=(12, 4))
    found = flipped_standing(pushes, Prompts.of(np.arange(12)), ("a", "b", "c", "d"))
    exact = [sign_flip_test(np.zeros(12), pushes[:, column]) for column in range(4)]
    assert found.p == pytest.approx(exact, abs=0.015)


def test_a_column_that_is_nothing_and_one_in_a_single_prompt_do_not_stand():
    pushes = np.zeros((100, 3))
    pushes[7, 1] = 9.0
    pushes[:, 2] = 1.0
    found = flipped_standing(pushes, Prompts.of(np.arange(100)), ("none", "once", "always"))
    assert list(found.stands) == [False, False, True]
    assert found.p[0] == found.p[1] == 1.0


def test_many_prompts_are_flipped_in_blocks_and_many_columns_more_often():
    generator = np.random.default_rng(0)
    pushes = generator.normal(size=(5000, 3))
    pushes[:, 0] += 0.08
    found = flipped_standing(pushes, Prompts.of(np.arange(5000)), ("a", "b", "c"))
    assert list(found.stands) == [True, False, False]
    assert found.flips == 9999
    wide = flipped_standing(np.ones((30, 400)), Prompts.of(np.arange(30)), tuple(map(str, range(400))))
    assert wide.flips == 20_000
    assert wide.adjusted.max() <= 0.05


def test_halves_follow_the_prompts_id_and_not_its_place():
    ids = np.arange(2000)
    upper = (hashed(ids) >> np.uint64(63)).astype(bool)
    assert 0.45 < upper.mean() < 0.55
    assert abs(np.corrcoef(upper[:-1], upper[1:])[0, 1]) < 0.08
    pushes = np.random.default_rng(0).normal(size=(2000, 2))
    order = np.random.default_rng(1).permutation(2000)
    plain = flipped_standing(pushes, Prompts.of(ids), ("a", "b"))
    moved = flipped_standing(pushes[order], Prompts.of(ids[order]), ("a", "b"))
    assert plain.halves == pytest.approx(moved.halves)
    assert plain.halves[0] == pytest.approx(pushes[upper].mean(0))


def test_a_predictor_that_cannot_predict_is_refused():
    one = evidence(random_world(0), 50, 0)
    with pytest.raises(UnweaveError, match="'gradient' cannot predict here"):
        standing_of(one, "gradient")
    with pytest.raises(UnweaveError, match="level 5 is not between 0 and 1"):
        standing_of(one, level=5)
    with pytest.raises(UnweaveError, match="'tilt' cannot predict here: all pairs answer one prompt"):
        standing_of(replace(one, groups=np.zeros(50, int)), "tilt")
