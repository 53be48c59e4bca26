from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

from unweave.corpora.windows import token_windows
from unweave.decompose.decomposition import Subcomponent
from unweave.edit.edits import FactorEdit
from unweave.edit.off_target import masked_cross_entropy
from unweave.edit.persistence import contexts, relearning
from unweave.models.target import weights_hash

MESSAGES = "{% for message in messages %}{{ message['content'] }} {% endfor %}"
TEMPLATE = MESSAGES + "{% if add_generation_prompt %}qa0 qa1 {% endif %}"


@pytest.fixture(scope="module")
def found(planted_target, planted_text):
    tokenizer = copy.deepcopy(planted_target.tokenizer)
    tokenizer.chat_template = TEMPLATE
    return contexts(replace(planted_target, tokenizer=tokenizer), planted_text, "qb", "qa", count=4)


def counted(text):
    return [row[mask].tolist() for row, mask in zip(text.tokens, text.counted, strict=True)]


def test_few_shot_counts_the_last_64_of_256_tokens(found):
    text = found["few-shot"]
    assert text.tokens.shape[1] == 256
    assert counted(text) == [row[-64:].tolist() for row in text.tokens]


def test_code_switched_text_turns_from_the_retained_label_to_the_removed_one(found, planted_target, planted_text):
    text = found["code-switched"]
    retained = token_windows(planted_target.tokenizer, planted_text, "evaluation", "qa", 64, seed=1, at_most=4)
    assert text.tokens[:, :32].tolist() == retained[:, :32].tolist()
    assert text.tokens[:, 32:].tolist() == found["plain"].tokens[:, :32].tolist()
    # The first of the 32 is not to be foreseen.
    assert counted(text) == [row[33:].tolist() for row in text.tokens]


def test_in_a_chat_only_the_answer_counts(found):
    text, plain = found["chat"], found["plain"].tokens
    assert text.tokens[:, -64:].tolist() == plain.tolist()
    assert text.tokens.shape[1] > 64
    assert counted(text) == [row[1:].tolist() for row in plain]


def test_relearning_is_measured_on_a_copy(planted_target, planted_text, found):
    edit = FactorEdit.on_pieces([(_piece(planted_target), -3.0)], planted_target.identity.digest)
    rows = relearning(planted_target, [("unedited", None), ("edited", edit)], planted_text, "qb", found["plain"])
    unedited, edited = rows
    assert unedited["before"] == pytest.approx(masked_cross_entropy(planted_target, found["plain"]), abs=1e-4)
    assert edited["before"] > unedited["before"] + 0.2
    assert edited["after"] < edited["before"]
    assert weights_hash(planted_target.module) == planted_target.identity.weights


def test_a_half_precision_target_relearns_too(planted_target, planted_text, found):
    half = copy.copy(planted_target)
    half.module = copy.deepcopy(planted_target.module).to(torch.bfloat16)
    (whole,) = relearning(planted_target, [("unedited", None)], planted_text, "qb", found["plain"])
    (rounded,) = relearning(half, [("unedited", None)], planted_text, "qb", found["plain"])
    assert rounded["before"] - rounded["after"] == pytest.approx(whole["before"] - whole["after"], rel=0.3)
    assert half.dtype == torch.bfloat16


def _piece(target):
    weight = target.weight(target.sites()[-1])
    U, S, Vh = torch.linalg.svd(weight.float(), full_matrices=False)
    return Subcomponent(target.sites()[-1].name, 0, U[:, 0] * S[0], Vh[0])
