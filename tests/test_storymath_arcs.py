"""Arcs recognised from values and from paths, against dealt arcs."""

from __future__ import annotations

import numpy as np
import pytest
from story_arrays import Made

from unweave.base.errors import UnweaveError
from unweave.corpora.stories.arcs import ARCS
from unweave.shapes.stories.arc_recognition import (
    arc_fit,
    compare_recognitions,
    recognise_by_path,
    recognise_by_template,
)


@pytest.fixture(scope="module")
def made():
    return Made(per=2)


def curves(made, turned=0.0):
    """States [n, 2, 12]: noise at one layer, and paths along a direction of valence at the other."""
    generator = np.random.default_rng(3)
    noise = generator.standard_normal((made.n, 2, 12))
    noise[:, 1] += 3 * (made.valence + turned)[:, None] * generator.standard_normal(12) / np.sqrt(12)
    return noise


def test_templates_recognise_clean_values_and_count_what_is_confused(made):
    found = recognise_by_template(made.valence, made.stories, made.arcs, made.topics)
    assert found.accuracy.mean > 0.9
    assert found.accuracy.n == 60
    assert found.accuracy.low < found.accuracy.mean < 1 or found.accuracy.mean == 1
    assert found.chance == pytest.approx(1 / 6, abs=0.02)
    assert found.p == 1 / 1000
    assert np.trace(found.confusion) == found.right.sum()
    assert found.confusion.sum(1).tolist() == [10] * 6


def test_values_upside_down_are_the_opposite_arc(made):
    found = recognise_by_template(-Made(per=2, noise=0.0).valence, Made(per=2, noise=0.0).stories, made_arcs())
    opposite = [1, 0, 3, 2, 5, 4]
    assert found.confusion[np.arange(6), opposite].tolist() == [10] * 6
    assert found.accuracy.mean == 0
    assert found.p == 1


def made_arcs():
    return Made(per=2, noise=0.0).arcs


def test_a_path_that_does_not_move_is_no_arc(made):
    values = made.valence.copy()
    values[[each == made.stories[0] for each in made.stories]] = 0.3
    found = recognise_by_template(values, made.stories, made.arcs)
    assert found.recognised[0] is None
    assert not found.right[0]
    assert found.confusion.sum() == 59


def test_noise_is_recognised_as_often_as_dealt_arcs_are(made):
    ps = [
        recognise_by_template(
            np.random.default_rng(seed).standard_normal(made.n), made.stories, made.arcs, made.topics, 199
        ).p
        for seed in range(20)
    ]
    assert 0.25 < np.mean(ps) < 0.75
    assert sum(p <= 0.05 for p in ps) <= 4


def test_paths_are_recognised_on_topics_that_were_never_seen(made):
    found = recognise_by_path(curves(made), made.stories, made.topics, made.arcs, components=(1, 3), shuffles=39)
    assert found.accuracy.mean > 0.7
    assert found.p == 1 / 40
    assert found.chance == pytest.approx(1 / 6, abs=0.05)
    assert found.stories == tuple(dict.fromkeys(made.stories))


def test_paths_of_noise_are_not(made):
    noise = np.random.default_rng(1).standard_normal((made.n, 2, 12))
    found = recognise_by_path(noise, made.stories, made.topics, made.arcs, components=(3,), shuffles=39)
    assert found.p > 0.05
    assert found.accuracy.low < 1 / 6


def test_states_that_name_the_story_do_not_give_its_arc_away(made):
    # What a classifier that saw the tested stories would learn by heart.
    number = {name: row for row, name in enumerate(dict.fromkeys(made.stories))}
    code = np.eye(len(number))[[number[each] for each in made.stories]][:, None]
    found = recognise_by_path(10 * code, made.stories, made.topics, made.arcs, components=(40,), shuffles=19)
    assert found.accuracy.mean < 0.4


def test_states_that_are_one_point_are_no_layer_to_choose(made):
    states = np.concatenate([np.ones((made.n, 1, 12)), curves(made)[:, 1:]], 1)
    found = recognise_by_path(states, made.stories, made.topics, made.arcs, components=(2,), shuffles=19)
    assert found.accuracy.mean > 0.7


def test_two_ways_are_compared_story_by_story(made):
    clean = recognise_by_template(made.valence, made.stories, made.arcs)
    noise = recognise_by_template(np.random.default_rng(0).standard_normal(made.n), made.stories, made.arcs)
    better = compare_recognitions(clean, noise)
    assert better.difference == pytest.approx(clean.accuracy.mean - noise.accuracy.mean)
    assert better.test.p < 0.01
    assert compare_recognitions(clean, clean).test.p == 1
    with pytest.raises(UnweaveError, match="different stories"):
        few = Made()
        compare_recognitions(clean, recognise_by_template(few.valence, few.stories, few.arcs))


def test_arcs_that_are_none_are_refused(made):
    with pytest.raises(UnweaveError, match="arc 'risen' is not one of the six; nearest: 'rise'"):
        recognise_by_template(made.valence, made.stories, ["risen"] * made.n)
    with pytest.raises(UnweaveError, match="arc 'up' is not"):
        arc_fit(np.arange(6.0), "up")
    with pytest.raises(UnweaveError, match="give one for each of the"):
        recognise_by_template(made.valence[:-1], made.stories, made.arcs)
    with pytest.raises(UnweaveError, match="3 shuffles cannot"):
        recognise_by_template(made.valence, made.stories, made.arcs, shuffles=3)
    assert arc_fit(np.arange(6.0), ARCS[0]) > 0.95
