"""Prompts packed into one forward answer as prompts asked one by one."""

import numpy as np
import pytest

from unweave.base.errors import UnweaveError
from unweave.read.stream import next_log_probabilities
from unweave.shapes.stories import branches
from unweave.shapes.stories.branches import Prompt, branch_log_probabilities, takes_branches

TEXT = [5, 17, 40, 3, 99, 120, 7, 31]
PROMPTS = [Prompt(2, (8, 9)), Prompt(8, (8,)), Prompt(8, (8, 10, 11)), Prompt(2, (8, 12)), Prompt(5, (60, 61, 62))]
ANSWERS = [1, 50, 200]


def one_by_one(target):
    return next_log_probabilities(target, [[*TEXT[: each.after], *each.tokens] for each in PROMPTS], ANSWERS)


@pytest.mark.parametrize("most", [1024, 12])
def test_packed_prompts_answer_as_alone(target, monkeypatch, most):
    monkeypatch.setattr(branches, "PACKED_TOKENS", most)
    monkeypatch.setattr(branches, "_TAKES", {})
    assert takes_branches(target)
    monkeypatch.setattr(branches, "_one_by_one", None)
    found = branch_log_probabilities(target, TEXT, PROMPTS, ANSWERS)
    np.testing.assert_allclose(found, one_by_one(target), atol=1e-4)


def test_what_prompts_begin_alike_is_run_once():
    (tree,) = branches._trees(PROMPTS)
    assert len(tree.tokens) == 9  # 8 9 | 8 10 11 | 12 after the first 8 | 60 61 62: two prompts share an 8 each


def test_a_target_that_ignores_the_mask_is_asked_prompt_by_prompt(llama, monkeypatch):
    monkeypatch.setattr(branches, "_TAKES", {})
    forward = llama.module.forward

    def without_mask(tokens, attention_mask=None, position_ids=None, **options):
        return forward(tokens, **options)

    monkeypatch.setattr(llama.module, "forward", without_mask)
    assert not takes_branches(llama)
    found = branch_log_probabilities(llama, TEXT, PROMPTS, ANSWERS)
    np.testing.assert_allclose(found, one_by_one(llama), atol=1e-4)


def test_prompts_that_cannot_be_asked_are_refused(llama):
    with pytest.raises(UnweaveError, match="after 9 of 8"):
        branch_log_probabilities(llama, TEXT, [Prompt(9, (1,))], ANSWERS)
    with pytest.raises(UnweaveError, match="0 tokens after 3"):
        branch_log_probabilities(llama, TEXT, [Prompt(3, ())], ANSWERS)
    with pytest.raises(UnweaveError, match="no prompt"):
        branch_log_probabilities(llama, TEXT, [], ANSWERS)
