from __future__ import annotations

import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from unweave.base.errors import UnweaveError
from unweave.corpora import Corpus, parallel, random_groups, token_windows, windows_by_label


def byte_level_tokenizer(starts: bool) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=alphabet, special_tokens=["<s>", "</s>"], show_progress=False
    )
    tokenizer.train_from_iterator([parallel().documents("tuning", "en")[0][:20_000]], trainer)
    if starts:
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    special = {"bos_token": "<s>", "eos_token": "</s>"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=32, **special)


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return byte_level_tokenizer(starts=False)


@pytest.fixture(scope="module")
def starting_tokenizer() -> PreTrainedTokenizerFast:
    return byte_level_tokenizer(starts=True)


def test_windows_are_the_documents_cut_and_shuffled(tokenizer):
    corpus = parallel()
    windows = token_windows(tokenizer, corpus, "tuning", "de", length=48)
    assert windows.dtype == np.int64
    assert windows.shape[1] == 48
    expected = []
    for text in corpus.documents("tuning", "de"):
        ids = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        expected += [tuple(ids[start : start + 48]) for start in range(0, len(ids) - 47, 48)]
    assert sorted(map(tuple, windows)) == sorted(expected)
    assert list(map(tuple, windows)) != expected


def test_no_window_crosses_a_document(tokenizer):
    corpus = Corpus("c", {"tuning": {"a": ("x" * 70, "y" * 70)}})
    windows = token_windows(tokenizer, corpus, "tuning", "a", length=32)
    assert len(windows) == 4
    assert {frozenset(tokenizer.decode(row)) for row in windows} == {frozenset("x"), frozenset("y")}


def test_seed_decides_and_a_smaller_count_is_a_prefix(tokenizer):
    first = token_windows(tokenizer, parallel(), "tuning", "fr", seed=1)
    assert np.array_equal(first, token_windows(tokenizer, parallel(), "tuning", "fr", seed=1))
    assert not np.array_equal(first, token_windows(tokenizer, parallel(), "tuning", "fr", seed=2))
    assert np.array_equal(first[:5], token_windows(tokenizer, parallel(), "tuning", "fr", count=5, seed=1))


def test_every_window_starts_as_the_tokenizer_starts_a_text(tokenizer, starting_tokenizer):
    plain = token_windows(tokenizer, parallel(), "tuning", "it", length=33)
    started = token_windows(starting_tokenizer, parallel(), "tuning", "it", length=33)
    assert not (plain == 0).any()
    assert started.shape[1] == 33
    assert (started[:, 0] == 0).all()
    assert not (started[:, 1:] == 0).any()
    bodies = token_windows(tokenizer, parallel(), "tuning", "it", length=32)
    assert np.array_equal(started[:, 1:], bodies)


def test_a_long_document_gives_no_warning(caplog):
    tokenizer = byte_level_tokenizer(starts=False)  # a fresh one, since a tokenizer warns once
    corpus = Corpus("c", {"tuning": {"a": ("never seen before " * 40,)}})
    logger = logging.getLogger("transformers")
    propagated, logger.propagate = logger.propagate, True
    try:
        with caplog.at_level(logging.WARNING):
            token_windows(tokenizer, corpus, "tuning", "a", length=32)
    finally:
        logger.propagate = propagated
    assert not caplog.records


def test_documents_are_tokenised_once(tokenizer):
    class Counting:
        bos_token_id = None
        calls = 0

        def __len__(self) -> int:
            return len(tokenizer)

        def __call__(self, *arguments: object, **options: object) -> object:
            self.calls += 1
            return tokenizer(*arguments, **options)

    counting = Counting()
    token_windows(counting, parallel(), "tuning", "es")
    assert counting.calls == len(parallel().documents("tuning", "es"))
    token_windows(counting, parallel(), "tuning", "es", length=32, seed=7)
    assert counting.calls == len(parallel().documents("tuning", "es"))
    changed = Corpus("parallel", {"tuning": {"es": ("otro texto " * 50,)}})
    windows = token_windows(counting, changed, "tuning", "es", length=32)
    assert all(set(tokenizer.decode(row)) <= set("otro texto ") for row in windows)


def test_too_few_windows_say_how_many_there_are(tokenizer):
    corpus = Corpus("mine", {"tuning": {"a": ("x" * 70, "y" * 70), "b": ("z",)}})
    have = len(token_windows(tokenizer, corpus, "tuning", "a", length=32))
    with pytest.raises(UnweaveError, match=f"label 'a' has {have} windows of 32 tokens in the tuning part .* 9 were"):
        token_windows(tokenizer, corpus, "tuning", "a", length=32, count=9)
    with pytest.raises(UnweaveError, match=r"label 'b' has 0 windows .* give more text"):
        token_windows(tokenizer, corpus, "tuning", "b", length=32)
    with pytest.raises(UnweaveError, match="no text in the evaluation part"):
        token_windows(tokenizer, corpus, "evaluation", "b")
    with pytest.raises(UnweaveError, match="a window of 1 tokens"):
        token_windows(tokenizer, corpus, "tuning", "a", length=1)
    with pytest.raises(UnweaveError, match="0 windows were asked for"):
        token_windows(tokenizer, corpus, "tuning", "a", count=0)


def test_windows_by_label_takes_the_labels_of_the_part(tokenizer):
    found = windows_by_label(tokenizer, parallel(), "tuning", count=6, length=32)
    assert tuple(found) == parallel().labels()
    assert all(array.shape == (6, 32) for array in found.values())
    assert np.array_equal(found["it"], token_windows(tokenizer, parallel(), "tuning", "it", 32, 6))
    assert tuple(windows_by_label(tokenizer, parallel(), "tuning", ["fr", "en"], count=2)) == ("fr", "en")


@given(st.lists(st.integers(1, 20), min_size=1, max_size=5), st.integers(0, 100))
def test_random_groups_deal_the_same_windows_to_groups_of_the_same_sizes(sizes, seed):
    rows = np.arange(sum(sizes))[:, None] * 100 + np.arange(4)
    borders = np.cumsum(sizes)[:-1]
    windows = {f"label {n}": part for n, part in enumerate(np.split(rows, borders))}
    groups = random_groups(windows, seed)
    assert {label: array.shape for label, array in groups.items()} == {k: v.shape for k, v in windows.items()}
    assert sorted(map(tuple, np.concatenate(list(groups.values())))) == list(map(tuple, rows))


def test_random_groups_mix_the_labels_by_seed():
    windows = {label: np.full((50, 4), number) for number, label in enumerate("ab")}
    groups = random_groups(windows, seed=0)
    assert 10 < groups["a"][:, 0].sum() < 40
    assert not np.array_equal(groups["a"], random_groups(windows, seed=1)["a"])
    with pytest.raises(UnweaveError, match="windows of one length, and got 'a'"):
        random_groups({"a": np.zeros((2, 3)), "b": np.zeros((2, 4))})
