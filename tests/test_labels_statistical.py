"""Labels of a target whose features are known by construction, against the truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import planted
import planted_features
import pytest
import torch
from planted_features import FREQUENT, TRUTHS

from unweave.read.harvest.value import TokenTable
from unweave.read.labels.contexts import contexts_at
from unweave.read.labels.evidence import EvidenceSource
from unweave.read.labels.outputs import read_outputs
from unweave.read.labels.predicate import from_json, holds
from unweave.read.labels.statistical import StatisticalLabeler, find_language

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
    assert min(precision) > 0.9
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
    text = replace(evidence.text, draws_by_label=by_label, vocabulary_draws=by_label.sum(0))
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
