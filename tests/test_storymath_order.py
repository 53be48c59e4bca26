"""What shuffling a story's sentences does to a reader who takes them one by one, and to one who reads on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from story_arrays import Made

from unweave.base.errors import UnweaveError
from unweave.corpora.stories import Sentence, Story, shuffled
from unweave.shapes.stories.order import ShuffledReading, order_effect, roughness, shuffled_order
from unweave.shapes.stories.paths import rows_by_story

MADE = Made()
PATHS = [MADE.valence[rows] for rows in rows_by_story(MADE.stories).values()]
ARCS = [MADE.arcs[rows[0]] for rows in rows_by_story(MADE.stories).values()]


def orders(paths, seed=0, count=2):
    generator = np.random.default_rng(seed)
    return [[generator.permutation(len(path)) for _ in range(count)] for path in paths]


def one_by_one(paths):
    return [
        [ShuffledReading(path[order], order) for order in each] for path, each in zip(paths, orders(paths), strict=True)
    ]


def test_shuffling_breaks_the_arc_of_a_smooth_path():
    found = order_effect(PATHS, one_by_one(PATHS), ARCS)
    assert found.fit.original.mean > 0.9
    assert abs(found.fit.shuffled.mean) < 0.2
    assert found.fit.test.p < 1e-3
    assert found.roughness.original.mean < 1.5 < found.roughness.shuffled.mean
    assert found.roughness.test.p < 1e-3
    assert found.changed.mean > 0.5
    assert found.changed.n == len(PATHS)


def test_values_without_order_are_not_changed_by_another():
    noise = [np.random.default_rng(number).standard_normal(len(path)) for number, path in enumerate(PATHS)]
    found = order_effect(noise, one_by_one(noise), ARCS)
    assert found.fit.test.p > 0.05
    assert found.roughness.test.p > 0.05


def test_how_far_values_move_is_nothing_one_by_one_and_all_where_the_sentence_does_not_matter():
    assert order_effect(PATHS, one_by_one(PATHS), ARCS).moved.mean == 0
    # A path of the place alone: whatever sentence comes, the value is that of the place.
    placed = [
        [ShuffledReading(path, order) for order in each] for path, each in zip(PATHS, orders(PATHS), strict=True)
    ]
    found = order_effect(PATHS, placed, ARCS)
    assert found.moved.mean == pytest.approx(1, abs=0.15)
    assert found.changed.mean == 0
    assert found.fit.test.p == 1


def test_roughness_is_von_neumanns_ratio():
    assert roughness(np.array([1.0, -1, 1, -1])) == pytest.approx(4 / (4 / 3))
    assert roughness(np.linspace(0, 1, 50)) < 0.01
    noise = np.random.default_rng(0).standard_normal(20_000)
    assert roughness(noise) == pytest.approx(2, abs=0.05)
    assert roughness(np.ones(5)) == 2


def test_the_order_of_a_shuffle_is_found_by_its_sentences():
    story = Story("a", "A", "rise", "sea", "arc", None, tuple(Sentence(text, 0) for text in ("x", "y", "x", "z")))
    mixed = shuffled(story, 3)
    order = shuffled_order(story, mixed)
    assert [story.sentences[place].text for place in order] == [each.text for each in mixed.sentences]
    assert sorted(order) == [0, 1, 2, 3]
    with pytest.raises(UnweaveError, match="does not have the sentences of 'a'"):
        shuffled_order(story, replace(mixed, sentences=mixed.sentences[:3]))
    with pytest.raises(UnweaveError, match="does not have the sentences of 'a'"):
        shuffled_order(story, replace(mixed, sentences=(*mixed.sentences[:3], Sentence("w", 0))))


def test_readings_that_do_not_fit_their_story_are_refused():
    good = one_by_one(PATHS)
    with pytest.raises(UnweaveError, match="story 0 has no shuffle"):
        order_effect(PATHS, [[], *good[1:]], ARCS)
    with pytest.raises(UnweaveError, match="a shuffle of story 1 is not an order"):
        order_effect(PATHS, [good[0], [ShuffledReading(PATHS[1], np.zeros(len(PATHS[1]), int))], *good[2:]], ARCS)
    with pytest.raises(UnweaveError, match="1 paths"):
        order_effect(PATHS[:1], good[:1], ARCS[:1])
