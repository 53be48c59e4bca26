from __future__ import annotations

import numpy as np
import pytest

from unweave.base.errors import UnweaveError
from unweave.read.patch import PatchedPrompt
from unweave.read.stream import depths, replaced_log_probabilities, stream_place

TEXT = [3, 1, 4, 1, 5, 9, 2]


@pytest.mark.parametrize("position", [0, 2, 6])
def test_only_the_tokens_from_the_position_on_are_run_and_nothing_differs(target, position):
    states = np.random.default_rng(0).standard_normal((134, stream_place(target, 1).width)).astype(np.float32)
    prompt = PatchedPrompt(target, TEXT, position)
    lengths = []
    handle = target.module.register_forward_pre_hook(
        lambda _, args, kwargs: lengths.append(args[0].shape), with_kwargs=True
    )
    for depth in depths(target):
        found = prompt.log_probabilities(depth, states, [7, 2])
        lengths.clear()
        again = prompt.log_probabilities(depth, states, [7, 2])
        ran = [tuple(each) for each in lengths if each[0] > 1]
        expected = replaced_log_probabilities(target, depth, TEXT, position, states, [7, 2])
        np.testing.assert_allclose(found, expected, atol=1e-4)
        np.testing.assert_array_equal(found, again)
        if position:
            assert ran == [(128, len(TEXT) - position), (6, len(TEXT) - position)]
    handle.remove()


def test_a_model_without_a_cache_is_run_whole(target, monkeypatch):
    monkeypatch.setattr(PatchedPrompt, "_kept", lambda _: None)
    states = np.random.default_rng(0).standard_normal((3, stream_place(target, 1).width)).astype(np.float32)
    found = PatchedPrompt(target, TEXT, 4).log_probabilities(2, states, [7])
    np.testing.assert_array_equal(found, replaced_log_probabilities(target, 2, TEXT, 4, states, [7]))


def test_a_cache_that_changes_the_answer_is_not_used(target, monkeypatch):
    states = np.random.default_rng(0).standard_normal((3, stream_place(target, 1).width)).astype(np.float32)
    prompt = PatchedPrompt(target, TEXT, 4)
    prompt._cache = PatchedPrompt(target, [8, 8, 8, 8, 1], 4)._cache
    found = prompt.log_probabilities(2, states, [7])
    np.testing.assert_array_equal(found, replaced_log_probabilities(target, 2, TEXT, 4, states, [7]))


def test_a_position_outside_the_prompt_is_refused(target):
    with pytest.raises(UnweaveError, match="position 7 is not in a prompt of 7"):
        PatchedPrompt(target, TEXT, 7)
