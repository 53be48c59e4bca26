from __future__ import annotations

import numpy as np
import pytest
import torch

from unweave.base.errors import UnweaveError
from unweave.read.stream import (
    added,
    depths,
    next_log_probabilities,
    padded_batches,
    replaced_log_probabilities,
    stream_place,
    stream_states,
)

TEXTS = [[3, 1, 4, 1, 5], [9, 2], [6, 5, 3, 8]]


def test_a_state_is_that_of_the_text_up_to_there(target):
    found = stream_states(target, TEXTS, [[1, 4], [1], [0, 3]])
    assert found.shape[:2] == (5, target.depth + 1)
    rows = iter(found)
    for text, places in zip(TEXTS, [[1, 4], [1], [0, 3]], strict=True):
        for place in places:
            row = next(rows)
            for depth in range(target.depth):
                alone = target.hidden_before(depth, torch.tensor([text[: place + 1]]))[0, -1]
                np.testing.assert_allclose(row[depth], alone.numpy(), rtol=1e-4, atol=1e-5)
    some = stream_states(target, TEXTS, [[1, 4], [1], [0, 3]], at=[target.depth, 0])
    np.testing.assert_allclose(some, found[:, [-1, 0]], rtol=1e-4, atol=1e-5)


def test_what_is_next_is_the_softmax_over_the_whole_vocabulary(target):
    found = next_log_probabilities(target, TEXTS, [7, 2])
    for row, text in zip(found, TEXTS, strict=True):
        expected = target.logits(torch.tensor([text]))[0, -1].float().log_softmax(0)[[7, 2]]
        np.testing.assert_allclose(row, expected.numpy(), rtol=1e-4, atol=1e-5)


def test_a_state_put_where_it_was_changes_nothing_and_another_brings_its_own_answer(target):
    """With the last token's state of another text at the last depth, the answer is that other text's."""
    text, other = TEXTS[0], TEXTS[2]
    own = stream_states(target, [text, other], [[len(text) - 1], [len(other) - 1]])
    plain = next_log_probabilities(target, [text, other], [7, 2])
    for depth in depths(target):
        found = replaced_log_probabilities(target, depth, text, len(text) - 1, own[:, depth], [7, 2])
        np.testing.assert_allclose(found[0], plain[0], rtol=1e-4, atol=1e-5)
        if depth == target.depth:
            np.testing.assert_allclose(found[1], plain[1], rtol=1e-4, atol=1e-5)
        else:
            assert not np.allclose(found[1], plain[0], atol=1e-3)


def test_a_vector_is_added_at_every_position_and_nothing_stays(target):
    shift = torch.randn(stream_place(target, 1).width, generator=torch.Generator().manual_seed(0))
    before = stream_states(target, TEXTS, [[0, 4], [1], [3]])
    with added(target, {1: shift, target.depth: 2 * shift}):
        found = stream_states(target, TEXTS, [[0, 4], [1], [3]], at=[0, target.depth])
        moved = next_log_probabilities(target, TEXTS, [7])
    np.testing.assert_array_equal(found[:, 0], before[:, 0])
    expected = np.broadcast_to(2 * shift.numpy(), before[:, -1].shape)
    assert not np.allclose(found[:, 1] - before[:, -1], expected, atol=1e-2)
    with added(target, {target.depth: 2 * shift}):
        found = stream_states(target, TEXTS, [[0, 4], [1], [3]])
    np.testing.assert_allclose(found[:, -1] - before[:, -1], expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(stream_states(target, TEXTS, [[0, 4], [1], [3]]), before)
    assert not np.allclose(moved, next_log_probabilities(target, TEXTS, [7]), atol=1e-4)


def test_batches_hold_every_sequence_once(monkeypatch):
    monkeypatch.setattr("unweave.read.stream.BATCH_TOKENS", 8)
    seen = {}
    for rows, tokens in padded_batches(TEXTS):
        assert tokens.numel() <= 8
        seen |= {int(row): line[: len(TEXTS[row])].tolist() for row, line in zip(rows, tokens, strict=True)}
    assert seen == dict(enumerate(TEXTS))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: stream_states(t, TEXTS, [[0], [2], [0]]), r"positions \[2\] of sequence 1: it has 0 to 1"),
        (lambda t: stream_states(t, [[]], [[]]), "1 sequences with an empty one"),
        (lambda t: stream_states(t, TEXTS, [[0]]), "3 sequences with positions in 1"),
        (lambda t: stream_place(t, 99), "depth 99 is not in"),
        (lambda t: replaced_log_probabilities(t, 1, [1, 2], 0, np.zeros((2, 3)), [1]), r"shape \(2, 3\)"),
        (lambda t: added(t, {1: torch.zeros(3)}).__enter__(), r"shape \(3,\)"),
    ],
)
def test_what_does_not_fit_is_refused(llama, call, message):
    with pytest.raises(UnweaveError, match=message):
        call(llama)
