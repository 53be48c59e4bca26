"""Readings by sentence: rows, saving, calibration to gold, and agreement with it."""

from dataclasses import replace

import numpy as np
import pytest

from unweave.base.errors import UnweaveError
from unweave.corpora.stories import Sentence, Story
from unweave.shapes.stories.agreement import agreement, agreement_difference, centred
from unweave.shapes.stories.calibration import Calibration, fit_calibration
from unweave.shapes.stories.readings import StoryReadings


def story(name, topic, values, kind="arc"):
    told = tuple(Sentence(f"{name} {at}.", value, {"fear": max(-value, 0)}) for at, value in enumerate(values))
    return Story(name, name, None, topic, kind, None, told, "Mia")


STORIES = (story("a", "sea", [0.5, -0.5]), story("b", "farm", [1, 0, -1], "plain"), story("c", "sea", [0.2]))


@pytest.fixture
def readings():
    generator = np.random.default_rng(0)
    states = generator.standard_normal((6, 2, 4)).astype(np.float32)
    return StoryReadings(
        STORIES, states, (0, 3), {"direct": generator.random((6, 6))}, {"direct": generator.random(6)}, True, {"b": 2}
    )


def test_rows_are_sentences_of_stories_in_order(readings):
    assert readings.story.tolist() == [0, 0, 1, 1, 1, 2]
    assert readings.sentence.tolist() == [0, 1, 0, 1, 2, 0]
    assert readings.topic.tolist() == ["sea"] * 2 + ["farm"] * 3 + ["sea"]
    assert readings.kind.tolist() == ["arc"] * 2 + ["plain"] * 3 + ["arc"]
    assert readings.texts[3] == "b 1."
    assert readings.rows(1) == slice(2, 5)
    assert readings.gold_valence.tolist() == [0.5, -0.5, 1, 0, -1, 0.2]
    assert readings.gold_emotions[4, 5] == 1
    assert (readings.at(3) == readings.states[:, 1]).all()
    with pytest.raises(UnweaveError, match="depth 2 was not read: there are 0, 3"):
        readings.at(2)


def test_some_stories_keep_their_own_rows(readings):
    some = readings.pick(lambda each: each.topic == "sea")
    assert [each.id for each in some.stories] == ["a", "c"]
    assert (some.states == readings.states[[0, 1, 5]]).all()
    assert (some.readouts["direct"] == readings.readouts["direct"][[0, 1, 5]]).all()
    assert (some.valence["direct"] == readings.valence["direct"][[0, 1, 5]]).all()
    with pytest.raises(UnweaveError, match="none of the stories"):
        readings.pick(lambda each: each.topic == "music")


def test_what_was_saved_is_loaded(readings, tmp_path):
    readings.save(tmp_path)
    again = StoryReadings.load(tmp_path)
    assert again.stories == readings.stories
    assert again.layers == (0, 3)
    assert again.windows == {"b": 2}
    assert (again.states == readings.states).all()
    assert (again.readouts["direct"] == readings.readouts["direct"]).all()
    assert (again.valence["direct"] == readings.valence["direct"]).all()
    (tmp_path / "readings.safetensors").write_bytes(b"no")
    with pytest.raises(UnweaveError, match="damaged"):
        StoryReadings.load(tmp_path)


def test_a_text_that_nobody_rated_has_no_gold(readings):
    bare = replace(readings, has_gold=False)
    assert np.isnan(bare.gold_valence).all()
    assert np.isnan(bare.gold_emotions).all()


def test_arrays_of_other_lengths_are_refused(readings):
    with pytest.raises(UnweaveError, match="6 sentences at 2 depths"):
        replace(readings, states=readings.states[:5])
    with pytest.raises(UnweaveError, match="'direct' has shapes"):
        replace(readings, valence={"direct": np.zeros(5)})
    with pytest.raises(UnweaveError, match="give both"):
        replace(readings, valence={})


def test_calibration_maps_scores_to_gold_and_keeps_their_order():
    generator = np.random.default_rng(1)
    gold = generator.random((200, 6))
    scores = 10 * gold**3 - 4
    made = fit_calibration(scores, scores[:, 0], gold, 2 * gold[:, 0] - 1)
    again = Calibration.from_json(made.to_json())
    levels, valence = again.apply(scores, scores[:, 0])
    np.testing.assert_allclose(levels, gold, atol=1e-9)
    np.testing.assert_allclose(valence, 2 * gold[:, 0] - 1, atol=1e-9)
    wild = np.full((1, 6), 99.0)
    assert again.apply(wild, wild[:, 0])[0].max() <= 1
    assert again.apply(-wild, -wild[:, 0])[1].min() >= -1
    noise, _ = fit_calibration(-scores, scores[:, 0], gold, gold[:, 0]).apply(scores, scores[:, 0])
    np.testing.assert_allclose(noise, gold.mean(0)[None].repeat(200, 0), atol=1e-9)
    with pytest.raises(UnweaveError, match="7 sentences"):
        fit_calibration(scores[:7], scores[:7, 0], gold[:7], gold[:7, 0])


def test_agreement_within_stories_forgets_their_levels():
    stories = np.repeat(np.arange(12), 10)
    generator = np.random.default_rng(2)
    gold = generator.standard_normal(120)
    values = gold + 5 * generator.standard_normal(12)[stories]
    found = agreement(values, gold, stories)
    assert found.within.mean == pytest.approx(np.corrcoef(centred(values, stories), centred(gold, stories))[0, 1])
    assert found.within.mean > 0.999 > 0.5 > found.pooled.mean
    assert found.pooled.low < found.pooled.mean < found.pooled.high
    assert (found.pooled.n, found.sentences) == (12, 120)


def test_intervals_draw_stories_and_not_sentences():
    """Sentences that repeat their story's value are no further evidence."""
    generator = np.random.default_rng(3)
    gold, values = generator.standard_normal((2, 10))
    once = agreement(values.repeat(2), gold.repeat(2), np.arange(10).repeat(2)).pooled
    often = agreement(values.repeat(50), gold.repeat(50), np.arange(10).repeat(50)).pooled
    assert often.high - often.low == pytest.approx(once.high - once.low, rel=1e-6)
    assert often.high - often.low > 0.5


def test_a_difference_of_agreements_is_of_the_same_stories():
    stories = np.repeat(np.arange(15), 8)
    generator = np.random.default_rng(4)
    gold = generator.standard_normal(120)
    better, worse = gold + generator.standard_normal(120), gold + 3 * generator.standard_normal(120)
    found = agreement_difference(better, worse, gold, stories)
    assert found.pooled.mean == pytest.approx(
        agreement(better, gold, stories).pooled.mean - agreement(worse, gold, stories).pooled.mean
    )
    assert found.pooled.low > 0
    assert found.within.low > 0
    assert agreement_difference(better, better, gold, stories).pooled.high == 0


def test_agreement_with_what_says_nothing():
    gold = np.array([0.0, 1, 0, 1])
    assert agreement(np.ones(4), gold, [0, 0, 1, 1]).pooled.mean == 0
    with pytest.raises(UnweaveError, match="the same after every sentence"):
        agreement(gold, np.ones(4), [0, 0, 1, 1])
    with pytest.raises(UnweaveError, match="1 story"):
        agreement(gold, gold, [0, 0, 0, 0])
    with pytest.raises(UnweaveError, match="not finite"):
        agreement(np.full(4, np.nan), gold, [0, 0, 1, 1])
    with pytest.raises(UnweaveError, match="one a sentence"):
        agreement(gold[:3], gold, [0, 0, 1, 1])
