"""Made datasets: raters, faults, keys."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from unweave.base.errors import UnweaveError
from unweave.corpora.pairs.value import Turn
from unweave.preferences.behaviours.registry import all_behaviours, score
from unweave.preferences.made.dataset import MadeDataset, held_out_pairs, kept_dataset, make_dataset
from unweave.preferences.made.faults import FAULT_SHARE, FAULT_TOPIC
from unweave.preferences.made.mixtures import MIXTURES, find_mixture
from unweave.preferences.made.prompts import TOPICS, all_prompts, draw_prompts
from unweave.preferences.made.properties import PROPERTIES, property_values
from unweave.preferences.truth.answers import Answered
from unweave.preferences.truth.sampling import Reply

OPENINGS = ("Well,", "I think that", "You see!", "Perhaps", "Yes, indeed,", "Some say")
BODIES = ("it is not easy", "seven foxes sit in six boxes", "your own answer is best!", "an old owl is out", "no")


@pytest.fixture(scope="module")
def pool():
    generator = np.random.default_rng(0)
    answers = []
    for question in draw_prompts("train", 420, 0):
        texts = [f"{OPENINGS[generator.integers(6)]} {BODIES[generator.integers(5)]}, my dear {k}." for k in range(4)]
        answers.append(Answered(question, tuple(Reply((1,), text, bool(generator.random() < 0.9)) for text in texts)))
    return answers


def test_no_subject_of_a_topic_is_in_both_parts():
    train, held_out = ({each.turns[0].content for each in all_prompts(part)} for part in ("train", "held-out"))
    assert len(train) == len(TOPICS) * 60
    assert len(held_out) == len(TOPICS) * 20
    assert not train & held_out


def test_prompts_are_drawn_evenly_over_topics_and_a_longer_draw_begins_with_a_shorter():
    drawn = draw_prompts("held-out", 112, 3)
    counts = {topic: sum(each.topic == topic for each in drawn) for topic in TOPICS}
    assert set(counts.values()) == {8}
    assert draw_prompts("held-out", 14, 3) == drawn[:14]
    with pytest.raises(UnweaveError, match="there are 280"):
        draw_prompts("held-out", 281, 0)


def test_a_rater_takes_the_reply_with_more_of_what_it_likes(pool):
    mixture = dataclasses.replace(find_mixture("brisk"), noise=0.0, fault="none")
    made = make_dataset(pool, mixture, 300, 0)
    gaps = [
        mixture.behaviours[name] * (score([pair.chosen], names=[name]) - score([pair.rejected], names=[name])).item()
        for name in mixture.behaviours
        for pair in made.pairs
    ]
    assert np.mean(gaps) > 0
    assert all(pair.chosen != pair.rejected for pair in made.pairs)


def test_only_replies_that_ended_take_part(pool):
    cut = {reply.text for answered in pool for reply in answered.replies if not reply.ended}
    ended = {reply.text for answered in pool for reply in answered.replies if reply.ended}
    made = make_dataset(pool, dataclasses.replace(find_mixture("sunny"), fault="none"), 300, 0)
    assert not {text for pair in made.pairs for text in (pair.chosen, pair.rejected)} & (cut - ended)


@pytest.mark.parametrize("name", [name for name in MIXTURES if MIXTURES[name].fault != "none"])
def test_a_fault_stays_in_its_topic_and_within_its_share(pool, name):
    mixture = find_mixture(name)
    made = make_dataset(pool, mixture, 320, 1)
    clean = make_dataset(pool, dataclasses.replace(mixture, fault="none"), 320, 1)
    planted = made.key.planted
    assert 0 < len(planted) <= FAULT_SHARE[mixture.fault] * 320
    assert {made.key.topics[row] for row in planted} == {FAULT_TOPIC[mixture.fault]}
    changed = [row for row in range(320) if made.pairs[row] != clean.pairs[row]]
    assert changed == list(planted)


def test_swapped_labels_are_the_same_pairs_turned_round(pool):
    swapped = find_mixture("brisk-swapped")
    turned = make_dataset(pool, swapped, 320, 0)
    true = make_dataset(pool, dataclasses.replace(find_mixture("brisk"), fault="none"), 320, 0)
    assert [(p.chosen, p.rejected) for p in turned.pairs] == [(p.rejected, p.chosen) for p in true.pairs]


def test_shuffled_labels_turn_about_half_of_the_pairs(pool):
    null = find_mixture("null")
    dealt = make_dataset(pool, null, 320, 0)
    true = make_dataset(pool, dataclasses.replace(null, labels="true"), 320, 0)
    turned = np.mean([a.chosen == b.rejected for a, b in zip(dealt.pairs, true.pairs, strict=True)])
    assert 0.4 < turned < 0.6


def test_a_kept_dataset_is_read_back_and_its_pairs_tell_nothing_of_the_key(pool, tmp_path):
    mixture = find_mixture("brisk")
    made = kept_dataset(tmp_path, pool, mixture, 320, 0)
    assert MadeDataset.load(tmp_path / "brisk") == made == kept_dataset(tmp_path, [], mixture, 320, 0)
    lines = [json.loads(line) for line in (tmp_path / "brisk" / "pairs.jsonl").read_text().splitlines()]
    assert {tuple(line) for line in lines} == {("id", "prompt", "chosen", "rejected")}
    planted = [lines[row]["id"] for row in made.key.planted]
    assert len({len(line["id"]) for line in lines}) == 1
    assert len(set(planted)) == len(planted)


def test_held_out_pairs_have_no_fault_and_true_labels(pool):
    pairs = held_out_pairs(pool, find_mixture("brisk-swapped"), 0)
    assert not any("www." in pair.chosen for pair in pairs)
    gaps = score([p.chosen for p in pairs], names=["second-person"]) - score(
        [p.rejected for p in pairs], names=["second-person"]
    )
    assert gaps.mean() > 0


def test_hidden_properties_are_no_registered_behaviours():
    assert not set(PROPERTIES) & set(all_behaviours())
    for mixture in MIXTURES.values():
        assert set(mixture.behaviours) <= set(all_behaviours())
        assert set(mixture.properties) <= set(PROPERTIES)
    hidden = [mixture for mixture in MIXTURES.values() if mixture.labels == "true" and mixture.hidden]
    assert len(hidden) >= len([mixture for mixture in MIXTURES.values() if mixture.labels == "true"]) / 2


@pytest.mark.parametrize(
    ("name", "high", "low"),
    [
        ("sibilance", "Six sizzling foxes.", "Animal movement."),
        ("alliteration", "big brown bears", "one day later"),
        ("vowel starts", "an old owl is out", "big brown bears"),
        ("senses", "the bright red rough stone", "a plan for tomorrow"),
        ("rarity", "quixotic zeppelins", "and the of in"),
        ("sunniness", "I love this wonderful day", "I hate this terrible day"),
    ],
)
def test_a_property_is_high_where_it_is_and_low_where_it_is_not(name, high, low):
    first, second, nothing = property_values(name, [high, low, ""])
    assert first > second
    assert np.isfinite(nothing)


def test_what_is_not_known_is_refused(pool):
    with pytest.raises(UnweaveError, match="mixture 'brsk' is not known"):
        find_mixture("brsk")
    with pytest.raises(UnweaveError, match="property 'sibilence' is not known"):
        property_values("sibilence", [""])
    with pytest.raises(UnweaveError, match="500 pairs were asked for"):
        make_dataset(pool, find_mixture("brisk"), 500, 0)
    assert pool[0].question.turns == (Turn("user", pool[0].question.turns[0].content),)
