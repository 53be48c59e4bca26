"""What leaving rows out undoes, where it is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from unweave.base.errors import UnweaveError
from unweave.preferences.undoing import mean_change, prompt_changes, undone_share


def test_prompts_weigh_the_same_however_many_replies_they_have():
    before, after = np.array([0.0, 0.0, 4.0]), np.array([2.0, 8.0, 8.0, 8.0])
    moved = prompt_changes(before, np.array([7, 7, 3]), after, np.array([7, 3, 3, 3]), 2.0)
    assert moved.tolist() == [2.0, 1.0]  # in the order of the prompts' ids
    with pytest.raises(UnweaveError, match="2 prompts are answered on one side only"):
        prompt_changes(before, np.array([7, 7, 3]), after, np.array([7, 5, 5, 5]), 2.0)


def test_the_share_undone_and_its_interval_are_those_of_paired_trainings():
    generator = np.random.default_rng(0)
    common = generator.normal(1.0, 0.5, (3, 100))
    less = 0.25 * common
    found = undone_share(common, less)
    # Paired, the noise that both share cancels; unpaired it would not.
    assert found.mean == pytest.approx(0.75)
    assert found.high - found.low < 1e-9
    other = undone_share(common, 0.25 * generator.normal(1.0, 0.5, (3, 100)))
    assert other.low < 0.75 < other.high
    assert other.high - other.low > 0.01
    assert found.n == 100


def test_the_interval_holds_the_truth_as_often_as_it_says():
    generator, inside = np.random.default_rng(1), 0
    for number in range(60):
        full, less = generator.normal(1.0, 1.0, (4, 60)), generator.normal(0.5, 1.0, (4, 60))
        found = undone_share(full, less, seed=number, resamples=200)
        inside += found.low <= 0.5 <= found.high
    assert inside >= 52


def test_nothing_to_undo_and_other_shapes_are_said():
    nothing = np.zeros((3, 5))
    assert math.isnan(undone_share(nothing, nothing).mean)
    assert math.isnan(undone_share(nothing, nothing).low)
    with pytest.raises(UnweaveError, match="the same seeds and prompts"):
        undone_share(nothing, np.zeros((2, 5)))
    change = mean_change(np.full((2, 5), 0.5))
    assert (change.mean, change.low, change.high) == (0.5, 0.5, 0.5)
