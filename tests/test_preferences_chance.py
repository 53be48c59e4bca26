from __future__ import annotations

import numpy as np
import pytest
from preference_world import random_world

from unweave.preferences.predictors.prompts import Prompts
from unweave.preferences.truth.chance import agreement


def test_columns_that_are_relatives_agree_no_more_often_than_the_level_says():
    generator, found = np.random.default_rng(0), 0
    for seed in range(100):
        world = random_world(seed)
        shares, observed = world.draw(40, generator), world.draw(1, generator)[0]
        found += agreement(shares, Prompts.of(np.arange(40)), observed, seed, 199).p <= 0.05
    # Shuffled names of columns find something in a quarter of these.
    assert found <= 11


def test_what_goes_with_the_labels_is_found_and_turns_with_them():
    world = random_world(1)
    shares = world.change + world.draw(60, np.random.default_rng(1))
    pairs = Prompts.of(np.repeat(np.arange(30), 2))
    found, turned = (agreement(sign * shares, pairs, world.change) for sign in (1, -1))
    assert found.r == pytest.approx(np.corrcoef(shares.mean(0), world.change)[0, 1])
    assert found.r == pytest.approx(-turned.r)
    assert found.p < 0.05
    # Two prompts have four patterns of signs, and half of them are as far from nothing as the labels' own.
    assert agreement(shares, Prompts.of(np.arange(60) // 30), world.change).p > 0.3
    assert np.isnan(agreement(shares, pairs, np.ones(20))).all()
