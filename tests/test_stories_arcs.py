from __future__ import annotations

import numpy as np
import pytest

from unweave.base.errors import UnweaveError
from unweave.corpora.stories import ARCS, Sentence, Story, arc_curve, arc_fits, nearest_arc, shuffled


def story(count=6, words="One {}."):
    return Story(
        "s",
        "S",
        "rise",
        "sea",
        "arc",
        None,
        tuple(Sentence(words.format(n), n / 10, {"fear": 0.1}) for n in range(count)),
    )


def test_curves_turn_as_their_names_say():
    expected = {
        "rise": [-1, 1],
        "fall": [1, -1],
        "fall-rise": [1, -1, 1],
        "rise-fall": [-1, 1, -1],
        "rise-fall-rise": [-1, 1, -1, 1],
        "fall-rise-fall": [1, -1, 1, -1],
    }
    for arc, turns in expected.items():
        np.testing.assert_allclose(arc_curve(arc, 13)[:: 12 // (len(turns) - 1)], turns, atol=1e-12)


def test_an_arc_is_nearest_to_itself_and_opposite_to_its_mirror():
    for arc, mirror in zip(ARCS[::2], ARCS[1::2], strict=True):
        fits = arc_fits(arc_curve(arc, 11))
        assert fits[arc] == pytest.approx(1)
        assert fits[mirror] == pytest.approx(-1)
        assert nearest_arc(3 + 0.1 * arc_curve(mirror, 9)) == mirror
        assert max(abs(fit) for other, fit in fits.items() if other not in (arc, mirror)) < 0.2


def test_a_path_that_does_not_move_has_no_arc():
    assert nearest_arc(np.full(8, 0.3)) is None
    assert set(arc_fits(np.zeros(8)).values()) == {0.0}


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ([0, 1, 0], "3 sentences have no arc: give at least 4"),
        ([0, 1, np.nan, 1], "not a row of finite numbers"),
        ([[0, 1], [1, 0]], r"shape \(2, 2\)"),
    ],
)
def test_what_is_no_path_is_refused(path, message):
    with pytest.raises(UnweaveError, match=message):
        arc_fits(np.array(path, float))


def test_an_unknown_arc_is_refused_with_the_nearest():
    with pytest.raises(UnweaveError, match=r"arc 'rising' is not one of the six; nearest: 'rise'"):
        arc_curve("rising", 8)


def test_shuffled_sentences_keep_their_gold_and_never_their_order():
    source = story(3)
    orders = set()
    for seed in range(60):
        made = shuffled(source, seed)
        assert made == shuffled(source, seed)
        assert (made.kind, made.arc, made.source_id) == ("shuffled", None, "s")
        assert sorted(made.sentences, key=lambda sentence: sentence.text) == list(source.sentences)
        orders.add(tuple(sentence.text for sentence in made.sentences))
    assert tuple(sentence.text for sentence in source.sentences) not in orders
    assert len(orders) == 5


@pytest.mark.parametrize("source", [story(1), story(5, "The same.")])
def test_a_story_of_one_order_is_not_shuffled(source):
    with pytest.raises(UnweaveError, match="has no other order"):
        shuffled(source)


def test_paths_of_a_story_are_in_the_order_of_the_names():
    made = story(4)
    assert made.valence.tolist() == [0.0, 0.1, 0.2, 0.3]
    assert made.emotions.shape == (4, 6)
    assert made.emotions[:, 5].tolist() == [0.1] * 4
    assert not made.emotions[:, :5].any()
    assert made.text == "One 0. One 1. One 2. One 3."
