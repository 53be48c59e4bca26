"""Scores: what judges are given, what chance gives, and that a label is worth what it says."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import planted_features
import pytest
from planted_features import TRUTHS

from unweave.read.features import FIRES
from unweave.read.labels.contexts import REACH, Contexts
from unweave.read.labels.evidence import EvidenceSource
from unweave.read.labels.judges import offline_judge
from unweave.read.labels.labeler import Label, make_label
from unweave.read.labels.neighbours import Neighbours
from unweave.read.labels.scores import balanced, dealt, intruders
from unweave.read.labels.scoring import ScoringSet, ScoringSource, Trial

KNOWN = [row for row, truth in enumerate(TRUTHS) if truth.random is None]


@pytest.fixture(scope="module")
def held(features_harvest):
    source = ScoringSource(features_harvest)
    return [source.of(row) for row in range(len(TRUTHS))]


@pytest.fixture(scope="module")
def judge(features_harvest):
    text = EvidenceSource(features_harvest).text
    return offline_judge(text.attributes, text.windows)


def token_label(tokens, confidence="clear"):
    predicate = {"attribute": "token", "in": list(tokens), "then": True, "else": False}
    return make_label("tokens", "", confidence, "", predicate)


def where(harvest, contexts):
    """The flat places of the pool's held-out windows that contexts stand at, by their text."""
    pool = harvest.pool
    found = []
    for tokens, position in zip(contexts.tokens, contexts.position, strict=True):
        windows = np.flatnonzero(pool.held)
        first, last = max(0, position - REACH), min(pool.length, position + REACH + 1)
        mine = tokens[REACH - (position - first) : REACH + (last - position)]
        same = windows[(pool.tokens[windows, first:last] == mine).all(1)]
        found.append([window * pool.length + position for window in same])
    return found


def test_trials_are_held_out_and_say_where_the_feature_fires(features_harvest, held):
    pool = features_harvest.pool
    for row, trials in enumerate(held):
        assert len(trials.detection) >= 1
        fires = set(pool.firing(row)[0].tolist())
        for trial in trials.detection:
            assert (int(trial.truth.sum()), len(trial.truth)) == (5, 10)
            for places, truth in zip(where(features_harvest, trial.contexts), trial.truth, strict=True):
                # Examples may be from held-out windows that the pool does not have; the others are all from it.
                assert places or truth
                assert all((place in fires) == truth for place in places)


def test_shown_examples_are_in_no_trial(features_harvest, held):
    shown = features_harvest.pool.tokens[~features_harvest.pool.held]
    texts = {window.tobytes() for window in shown.astype(np.int64)}
    whole = features_harvest.pool.length
    for trials in held:
        for trial in (*trials.detection, *trials.fuzzing, *trials.intruder):
            for tokens, position in zip(trial.contexts.tokens, trial.contexts.position, strict=True):
                if position <= REACH and whole - position <= REACH + 1:
                    assert tokens[REACH - position :][:whole].tobytes() not in texts


def test_what_a_judge_is_given_does_not_say_which_feature_it_is():
    names = {field.name for value in (Contexts, Trial, ScoringSet, Label) for field in fields(value)}
    assert not names & {"row", "feature", "site", "index", "importance", "activation"}


def test_negatives_have_the_mixture_of_labels_and_other_features_fire_there(features_harvest):
    pool, near = features_harvest.pool, Neighbours(features_harvest, held=True)
    by_label = np.array([8, 0, 4, 0])
    places = near.places(0, by_label, 12, np.random.default_rng(0))
    assert np.bincount(pool.label[places // pool.length], minlength=4).tolist() == [8, 0, 4, 0]
    assert pool.held[places // pool.length].all()
    assert not set(places.tolist()) & set(pool.firing(0)[0].tolist())
    others = np.concatenate([pool.firing(row)[0] for row in range(1, len(TRUTHS))])
    assert set(places.tolist()) <= set(others.tolist())


def test_the_truth_scores_1_and_a_language_alone_scores_chance(held, judge):
    assert balanced(judge, token_label(TRUTHS[0].tokens), held[0].detection).value == 1
    row = next(row for row in KNOWN if TRUTHS[row].label == "qb")
    named = {"attribute": "language", "in": ["qb"], "then": True, "else": False}
    score = balanced(judge, make_label("qb text", "", "clear", "", named), held[row].detection)
    assert abs(score.value - 0.5) <= 0.1


def test_unclear_scores_half_whatever_its_predicate(held, judge):
    score = balanced(judge, token_label(TRUTHS[0].tokens, "unclear"), held[0].detection)
    assert (score.value, score.low, score.high) == (0.5, 0.5, 0.5)
    assert balanced(judge, token_label(TRUTHS[0].tokens), []) is None


def test_labels_of_other_features_score_chance(held, judge):
    labels = {row: token_label(TRUTHS[row].tokens) for row in KNOWN if TRUTHS[row].tokens and not TRUTHS[row].before}
    given = dealt(list(labels), 0)
    assert sorted(given) == sorted(given.values()) == sorted(labels)
    assert all(row != other for row, other in given.items())
    found = [balanced(judge, labels[other], held[row].detection).value for row, other in given.items()]
    assert abs(np.mean(found) - 0.5) < 0.1


def test_an_interval_holds_the_share_of_answers_and_shrinks_with_their_number(held, judge):
    half = token_label(TRUTHS[0].tokens[:1])
    score = balanced(judge, half, held[0].detection)
    assert score.low < score.value < score.high
    fewer = balanced(judge, half, held[0].detection[:1])
    assert score.high - score.low < fewer.high - fewer.low
    right = balanced(judge, token_label(TRUTHS[0].tokens), held[0].detection[:1])
    assert (right.value, right.high) == (1, 1)
    assert right.low < 0.75


def test_fuzzing_marks_what_fires_or_as_many_that_do_not(features_harvest, held, judge):
    assert balanced(judge, token_label(TRUTHS[0].tokens), held[0].fuzzing, fuzzing=True).value == 1
    for trial in held[0].fuzzing:
        assert (int(trial.truth.sum()), len(trial.truth)) == (5, 7)
        fires = np.isin(trial.contexts.tokens, TRUTHS[0].tokens)
        for marked, real, truth in zip(trial.highlighted, fires, trial.truth, strict=True):
            assert (marked == real).all() if truth else not (marked & real).any()
            assert marked.sum() == real.sum()
    assert all(0 <= example.importance.max() > FIRES for example in features_harvest.examples(0, held=True))


def test_intruders_are_found_by_what_texts_share_and_the_control_is_at_chance(held, judge):
    one_token = intruders(judge, held[1].intruder)
    assert one_token.value == 1
    assert one_token.trials >= 4
    assert one_token.low < 1
    control = [intruders(judge, trials.strangers).value for trials in held]
    assert abs(np.mean(control) - 0.2) < 0.08
    assert all(trial.truth.sum() == 1 and len(trial.truth) == 5 for trials in held for trial in trials.intruder)


def test_no_two_trials_of_intruders_share_a_text(held):
    for trials in held:
        for given in (trials.intruder, trials.strangers):
            texts = [row.tobytes() for trial in given for row in trial.contexts.tokens]
            assert 5 <= len(texts) == 5 * len(given)
            # Two places may have the same few tokens around them.
            assert len(set(texts)) >= 0.9 * len(texts)


def test_embeddings_help_to_find_an_intruder_whose_tokens_are_all_different(judge):
    tokens = np.full((5, 2 * REACH + 1), -1)
    tokens[:, REACH] = [10, 11, 12, 13, 60]
    contexts = Contexts(tokens, np.zeros(5, np.int64))
    embedding = np.random.default_rng(0).normal(size=(len(judge.attributes.texts), 8))
    embedding[10:14] = embedding[10] + 0.01 * embedding[10:14]
    helped = replace(judge, rarity={}, embedding=embedding)
    assert helped.intruder([contexts]) == [4]
    assert "embeddings" in helped.intruder_by
    assert "embeddings" not in judge.intruder_by


def test_random_features_score_chance_even_with_a_label_of_their_own(features_harvest, held, judge):
    """A predicate fitted to where a random feature happened to fire in shown text says nothing of held-out text."""
    source = EvidenceSource(features_harvest)
    found = []
    for row in range(len(KNOWN), len(TRUTHS)):
        evidence = source.of(row)
        tokens, counts = np.unique(evidence.fires.contexts.centre, return_counts=True)
        label = token_label(tokens[counts > np.median(counts)].tolist())
        found.append(balanced(judge, label, held[row].detection).value)
    assert abs(np.mean(found) - 0.5) < 0.06
    assert len(found) == planted_features.RANDOM
