from __future__ import annotations

import numpy as np
import pytest

from unweave.base.errors import UnweaveError
from unweave.corpora.stories import scored_words, sliding_mean, vader_valence, word_valence


def test_vader_turns_a_negation_and_the_bare_list_does_not():
    sentences = ["She was happy.", "She was not happy.", "The table was brown."]
    happy, negated, nothing = vader_valence(sentences)
    assert happy > 0.4
    assert negated < -0.3
    assert nothing == 0
    assert word_valence(sentences).tolist() == pytest.approx([2.7 / 4, 2.7 / 4, 0])


def test_words_are_averaged_and_repeats_count():
    assert scored_words("Happy, HAPPY and sad; the table.") == (
        ("happy", 2.7 / 4),
        ("happy", 2.7 / 4),
        ("sad", -2.1 / 4),
    )
    assert word_valence(["Happy, happy and sad."])[0] == pytest.approx((2.7 + 2.7 - 2.1) / 12)


def test_no_sentences_have_no_valence():
    assert vader_valence([]).shape == word_valence([]).shape == (0,)


def test_a_sliding_mean_is_taken_over_fewer_at_the_ends():
    values = np.array([1.0, 2.0, 6.0, 1.0])
    np.testing.assert_allclose(sliding_mean(values, 3), [1.5, 3, 3, 3.5])
    np.testing.assert_allclose(sliding_mean(values, 1), values)
    np.testing.assert_allclose(sliding_mean(values, 9), np.full(4, 2.5))


@pytest.mark.parametrize("width", [0, -1, 4])
def test_a_window_without_a_middle_is_refused(width):
    with pytest.raises(UnweaveError, match=f"over {width} values has no middle"):
        sliding_mean(np.ones(3), width)
