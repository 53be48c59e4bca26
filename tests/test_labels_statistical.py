"""Labels of a target whose features are known by construction, against the truth."""

from __future__ import annotations

import math
from dataclasses import fields, replace

import numpy as np
import planted
import planted_features
import pytest
import torch
from planted_features import CONFIG, FREQUENT, TRUTHS

from unweave.read.harvest.value import Harvest, Pool, TokenTable
from unweave.read.labels.contexts import OUTSIDE, REACH, contexts_at
from unweave.read.labels.evidence import EvidenceSource
from unweave.read.labels.outputs import read_outputs
from unweave.read.labels.predicate import from_json, holds
from unweave.read.labels.scoring import ScoringSource
from unweave.read.labels.statistical import StatisticalLabeler, find_language, language_p

KNOWN = [row for row, truth in enumerate(TRUTHS) if truth.random is None]
CHANCE = [row for row, truth in enumerate(TRUTHS) if truth.random is not None]


@pytest.fixture(scope="module")
def source(features_harvest):
    return EvidenceSource(features_harvest)


@pytest.fixture(scope="module")
def labels(source):
    labeler = StatisticalLabeler()
    return [labeler.label(source.of(row)) for row in range(len(TRUTHS))]


def test_what_is_known_is_labelled_and_what_is_random_is_unclear(labels):
    assert [labels[row].confidence for row in KNOWN] == ["clear"] * len(KNOWN)
    assert sum(labels[row].confidence == "unclear" for row in CHANCE) >= len(CHANCE) - 1
    assert all(label.text.startswith("unclear") == (label.confidence == "unclear") for label in labels)


def test_predicates_hold_where_the_truth_fires_in_text_no_label_was_made_from(source, labels, features_harvest):
    pool, module = features_harvest.pool, planted_features.Planted()
    windows = pool.tokens[pool.held].astype(np.int64)
    places = contexts_at(windows, np.arange(windows.size))
    x = module.read(torch.as_tensor(windows))
    precision, recall = [], []
    for row in KNOWN:
        truth = planted_features.importance(TRUTHS[row], module.size)(x).numpy().ravel()
        said = holds(from_json(labels[row].predicate, source.text.attributes), source.text.attributes, places)
        precision.append(truth[said].mean())
        recall.append(said[truth].mean())
    assert min(precision) > 0.85  # of which language a text is, its first tokens do not say for sure
    assert min(recall) > 0.85  # what a language's own words are is told from a few of them at first
    assert np.mean(precision) > 0.97
    assert np.mean(recall) > 0.97


def test_the_words_say_what_fires_it_and_what_it_makes_the_target_say(labels):
    words = planted.words()
    for row in KNOWN:
        truth, label = TRUTHS[row], labels[row]
        said = [words[token] for token in truth.promotes]
        assert all(f'"{word}"' in label.writes for word in said), (truth, label)
        if truth.suppresses:
            assert f'not "{words[FREQUENT]}"' in label.writes
        if truth.tokens is not None and truth.before is None:
            named = [words[token] for token in truth.tokens if f'"{words[token]}"' in label.reads]
            assert len(named) >= min(4, len(truth.tokens))
        if truth.before is not None and truth.tokens is None:
            assert "after" in label.reads
        if truth.label is not None:
            assert label.reads.startswith(truth.label)
        if truth.first is not None:
            assert label.reads == f"in the first {truth.first} tokens"


def test_a_feature_whose_halves_have_a_question_and_whose_whole_has_none_is_unclear(source, monkeypatch):
    for constant in (True, False):
        monkeypatch.setattr("unweave.read.labels.statistical.learn", lambda _, constant=constant: constant)
        label = StatisticalLabeler().label(source.of(0))
        assert (label.confidence, label.predicate, label.reads) == ("unclear", None, "")


def test_a_label_that_is_true_everywhere_names_no_language(source):
    assert find_language(source.of(0)) is None
    found = find_language(source.of(next(row for row in KNOWN if TRUTHS[row].label == "qa")))
    assert found is not None
    assert [planted_features.LABELS[label] for label in found.labels] == ["qa"]
    assert found.only


def test_a_language_is_named_only_beyond_what_shuffled_windows_give(source):
    """Firings that fall into a few windows, all of one language by chance, are no language."""
    evidence = source.of(0)
    few = np.flatnonzero(evidence.text.window_label == 0)[:1]
    places = replace(
        evidence.fires,
        contexts=evidence.fires.contexts[:40],
        label=np.zeros(40, np.int64),
        window=np.repeat(few, 40),
    )
    by_window = np.zeros_like(evidence.firing_by_window)
    by_window[few] = 40
    clumped = replace(evidence, fires=places, firing_by_window=by_window, firing_by_label=np.array([40, 0, 0, 0]))
    assert find_language(clumped) is None


def test_outputs_are_told_against_text_of_the_same_language(source):
    """What the target says in a language anyway is promoted by no feature of the language."""
    evidence = source.of(0)
    common, promoted = 60, 61
    size = len(planted.words())
    by_label = np.full((4, size), 500)
    by_label[0, common] = 20_000
    text = replace(
        evidence.text, draws_by_label=by_label, vocabulary_draws=by_label.sum(0), draws_total=int(by_label.sum())
    )
    total = 4000
    expected = total * by_label[0] / by_label[0].sum()
    counts = np.round(expected).astype(int)
    counts[promoted] = 600
    table = TokenTable(np.arange(size), counts, counts / total, counts / total, counts / total)
    made = replace(
        evidence,
        text=text,
        outputs=table,
        firing_by_label=np.array([total // evidence.draws, 0, 0, 0]),
        firing_shown=total // evidence.draws,
    )
    assert read_outputs(made).promoted == (promoted,)
    elsewhere = replace(made, firing_by_label=np.array([0, total // evidence.draws, 0, 0]))
    assert set(read_outputs(elsewhere).promoted) == {common, promoted}


def test_a_feature_that_fires_too_rarely_is_unclear(source):
    evidence = source.of(0)
    few = replace(
        evidence.fires,
        contexts=evidence.fires.contexts[:5],
        label=evidence.fires.label[:5],
        window=evidence.fires.window[:5],
    )
    label = StatisticalLabeler().label(replace(evidence, fires=few))
    assert label.confidence == "unclear"
    assert "too rarely" in label.reason


def test_a_feature_that_fires_everywhere_is_not_said_to_fire_rarely(source):
    evidence = source.of(0)
    none = replace(
        evidence.others, contexts=evidence.others.contexts[:0], label=np.empty(0, int), window=np.empty(0, int)
    )
    label = StatisticalLabeler().label(replace(evidence, others=none))
    assert label.confidence == "unclear"
    assert label.reason.startswith("fires everywhere")


def test_two_labels_of_five_could_have_been_chosen_in_ten_ways(source):
    evidence = source.of(0)
    text = replace(evidence.text, labels=tuple("abcde"), tokens_by_label=np.full(5, 100))
    fires = replace(evidence.fires, window=np.arange(6), label=np.array([0, 1, 0, 1, 0, 1]))
    few = replace(evidence, text=text, fires=fires, firing_by_window=np.zeros_like(evidence.firing_by_window))
    assert language_p(few, (0, 1)) == pytest.approx(10 * 0.4**6)
    assert language_p(few, (0,)) == pytest.approx(
        min(1, 5 * (1 - sum(math.comb(6, k) * 0.2**k * 0.8 ** (6 - k) for k in range(3))))
    )


def test_evidence_holds_shown_text_alone_and_does_not_depend_on_the_order(source, features_harvest):
    pool = features_harvest.pool
    held = set(pool.window[pool.held].tolist())
    again = EvidenceSource(features_harvest).of(3)
    first = source.of(3)
    assert (first.others.window == again.others.window).all()
    assert (first.fires.contexts.tokens == again.fires.contexts.tokens).all()
    for row in range(len(TRUTHS)):
        evidence = source.of(row)
        assert not held & set(evidence.fires.window.tolist())
        assert not held & set(evidence.others.window.tolist())
        assert not any(example.held for example in evidence.examples)
        places = list(zip(evidence.fires.window.tolist(), evidence.fires.contexts.position.tolist(), strict=True))
        assert len(set(places)) == len(places)
    assert len(source.text.windows) == (~pool.held).sum()


def without_held_text(folder):
    """The harvest as it would be with other held-out text: what the pool and all counts say of it is made up."""
    made, generator = Harvest.load(folder), np.random.default_rng(0)
    pool = made.pool
    tokens = np.where(pool.held[:, None], generator.integers(0, 60, pool.tokens.shape), pool.tokens)
    predicted = np.where(pool.held[:, None, None], 5, pool.predicted)
    row, position, importance, activation = pool.entries()
    shown = ~pool.held[position // pool.length]
    made.__dict__["pool"] = Pool(
        tokens.astype(pool.tokens.dtype), np.where(pool.held, 0, pool.label), pool.held, pool.window, predicted,
        np.searchsorted(row[shown], np.arange(len(made) + 1)), position[shown], importance[shown], activation[shown],
    )  # fmt: skip
    more = generator.integers(1, 5000, len(made))
    made.firing = made.firing + more
    made.density = generator.random(len(made))
    made.firing_by_label = made.firing_by_label + generator.integers(0, 900, made.firing_by_label.shape)
    made.firing_by_position = made.firing_by_position + more[:, None]
    made.tokens_by_label = made.tokens_by_label * np.array([9, 1, 2, 3])
    return made


def same(one, other):
    if isinstance(one, np.ndarray):
        assert np.array_equal(one, other)
    elif hasattr(one, "__dataclass_fields__"):
        for field in fields(one):
            same(getattr(one, field.name), getattr(other, field.name))
    elif isinstance(one, tuple):
        assert len(one) == len(other)
        for mine, its in zip(one, other, strict=True):
            same(mine, its)
    else:
        assert one == other


def test_evidence_is_the_same_whatever_held_out_text_says(source, features_harvest):
    other = EvidenceSource(without_held_text(features_harvest.folder))
    for row in range(len(TRUTHS)):
        same(source.of(row), other.of(row))


def test_no_token_is_called_suppressed_that_the_harvest_did_not_count(source, labels, tmp_path):
    """A harvest with little memory for its tables tells only the tokens apart that are frequent in its text."""
    cut = EvidenceSource(planted_features.planted_harvest(tmp_path / "cut.harvest", replace(CONFIG, table_gb=2.05e-5)))
    own = cut.text.own_column
    assert 100 <= own.sum() < len(own)
    assert cut.text.draws_total > cut.text.vocabulary_draws.sum()
    for row in KNOWN:
        whole, found = read_outputs(source.of(row)), read_outputs(cut.of(row))
        assert set(found.promoted) == {token for token in whole.promoted if own[token]}
        assert set(found.suppressed) == {token for token in whole.suppressed if own[token]}


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    folder = tmp_path_factory.mktemp("short") / "short.harvest"
    return planted_features.planted_harvest(folder, replace(CONFIG, context=2))


def test_all_places_are_seen_as_far_as_examples_reach(short):
    source, labeler = EvidenceSource(short), StatisticalLabeler()
    for row in range(len(TRUTHS)):
        evidence = source.of(row)
        for places in (evidence.fires, evidence.others, evidence.alike):
            assert (places.contexts.tokens[:, : REACH - 2] == OUTSIDE).all()
            assert (places.contexts.tokens[:, REACH + 3 :] == OUTSIDE).all()
        if row in CHANCE:
            assert labeler.label(evidence).confidence == "unclear"
    held = ScoringSource(short)
    for row in KNOWN:
        trials = held.of(row)
        for trial in (*trials.detection, *trials.fuzzing, *trials.intruder, *trials.strangers):
            assert (trial.contexts.tokens[:, : REACH - 2] == OUTSIDE).all()
            assert (trial.contexts.tokens[:, REACH + 3 :] == OUTSIDE).all()
