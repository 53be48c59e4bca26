"""Paths at equal steps, and paths dealt to other stories."""

from __future__ import annotations

import numpy as np
import pytest

from unweave.base.errors import UnweaveError
from unweave.shapes.stories.paths import dealt, of_stories, resampled, rows_by_story, story_paths

STORIES = ["b", "b", "a", "a", "a", "c", "c"]


def test_stories_come_in_the_order_of_their_first_sentence():
    rows = rows_by_story(STORIES)
    assert list(rows) == ["b", "a", "c"]
    assert rows["a"].tolist() == [2, 3, 4]
    assert of_stories([1, 1, 2, 2, 2, 1, 1], STORIES) == [1, 2, 1]


def test_a_story_of_two_topics_is_refused():
    with pytest.raises(UnweaveError, match="story 'a' has more than one topic: \\['1', '2'\\]"):
        of_stories([1, 1, 1, 2, 2, 2, 2], STORIES)
    with pytest.raises(UnweaveError, match="2 topic names for 7 sentences"):
        of_stories([1, 1], STORIES)


def test_a_path_is_resampled_along_straight_lines_and_keeps_its_ends():
    assert resampled(np.array([0.0, 2.0, 1.0]), 5).tolist() == [0, 1, 2, 1.5, 1]
    both = resampled(np.array([[0.0, 1.0], [4.0, 3.0]]), 3)
    assert both.tolist() == [[0, 1], [2, 2], [4, 3]]
    assert story_paths(np.arange(7.0), STORIES, 2).tolist() == [[0, 1], [2, 4], [5, 6]]
    with pytest.raises(UnweaveError, match="a path of 1 values at 3 points"):
        resampled(np.zeros(1), 3)


def test_dealt_stories_get_a_whole_path_of_one_story_stretched():
    values = np.array([0.0, 1.0, 10.0, 11.0, 12.0, 20.0, 22.0])
    seen = set()
    for seed in range(20):
        found = dealt(values, STORIES, np.random.default_rng(seed))
        ends = [(found[rows[0]], found[rows[-1]]) for rows in rows_by_story(STORIES).values()]
        # Each story's ends are those of one story, and every story is dealt once.
        assert sorted(ends) == [(0, 1), (10, 12), (20, 22)]
        seen.add(tuple(ends))
    assert len(seen) == 6
