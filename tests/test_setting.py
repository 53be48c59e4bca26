from __future__ import annotations

import math

import planted
import pytest
import torch

from unweave.base.errors import UnweaveError
from unweave.corpora.windows import token_windows, windows_by_label
from unweave.edit.setting import REFERENCE_WINDOWS, RETAINED_WINDOWS, Setting
from unweave.models.capture import capture_inputs


@pytest.fixture(scope="module")
def setting(planted_target, planted_text, planted_decomposition):
    windows = windows_by_label(planted_target.tokenizer, planted_text, "selection", count=6)
    return Setting(planted_target, planted_text, "qb", "qa", planted_decomposition.site(planted.SITE), 3, windows)


def windows_of(setting, part, label):
    text = token_windows(setting.target.tokenizer, setting.corpus, part, label)
    return {tuple(row) for row in text.tolist()}


def rows(text):
    return [tuple(row) for row in text.prefix.tokens.tolist()]


def test_loss_text_is_the_labels_training_text_and_retained_text_the_other_labels(setting):
    objective = setting.objective(64, seed=0)
    assert (objective.removed.tokens, objective.removed.tokens_seen) == (64, 4 * 64)
    assert objective.ceiling == math.log(setting.target.vocabulary) == setting.ceiling
    assert set(rows(objective.removed)) <= windows_of(setting, "training", "qb")
    assert set(rows(objective.retained)) <= windows_of(setting, "training", "qa")
    assert len(objective.retained) == RETAINED_WINDOWS
    assert objective.retained.positions.tolist() == [list(range(1, 64))] * RETAINED_WINDOWS


def test_every_method_of_a_seed_sees_the_same_windows_and_another_seed_others(setting):
    first = setting.objective(4, seed=0)
    assert setting.objective(4, seed=0) is first
    whole = setting.objective(4, seed=0, whole=True)
    assert rows(whole.removed) == rows(first.removed)
    torch.testing.assert_close(whole.removed.base, first.removed.base)
    assert (first.removed.prefix.layer, whole.removed.prefix.layer) == (1, 0)
    assert rows(setting.objective(4, seed=1).removed) != rows(first.removed)
    assert rows(setting.objective(64, seed=0).removed)[:1] == rows(first.removed)


def test_strict_text_is_no_longer_than_its_loss(setting):
    strict = setting.objective(4, 0, strict=True).removed
    assert (strict.tokens, strict.tokens_seen, strict.positions.tolist()) == (4, 4, [[0, 1, 2, 3]])
    assert rows(strict)[0] == rows(setting.objective(4, 0).removed)[0][:4]


def test_retained_labels_are_read_from_the_selection_text(setting):
    objective = setting.objective(4, 0, retained=("qa", "qd"))
    expected = [tuple(row) for label in ("qa", "qd") for row in setting.selection[label][:RETAINED_WINDOWS].tolist()]
    assert rows(objective.retained) == expected


def test_a_budget_beyond_the_text_is_refused(setting):
    with pytest.raises(UnweaveError, match=r"label 'qb' has \d+ windows of 64 tokens in the training part, and the "):
        setting.objective(100_000, 0)


def test_a_label_cannot_be_removed_and_retained(setting):
    with pytest.raises(UnweaveError, match="'qb' cannot be removed and retained at once"):
        Setting(setting.target, setting.corpus, "qb", "qb", setting.pieces, 0, setting.selection)


def test_the_inputs_are_the_sites_on_every_selection_token_but_the_first(setting):
    site = setting.target.site(planted.SITE)
    with torch.no_grad():
        x = capture_inputs(setting.target, [site], torch.as_tensor(setting.selection["qc"]))[site.name]
    torch.testing.assert_close(setting.inputs["qc"], x[:, 1:].flatten(0, 1))
    assert list(setting.inputs) == list(planted.LABELS)


def test_the_reference_is_the_base_level_and_the_pieces_mean_activation(setting):
    piece = setting.piece()
    assert piece.index == 3
    assert setting.piece(7).index == 7
    reference = setting.reference(piece)
    drawn = token_windows(setting.target.tokenizer, setting.corpus, "decomposition", "qb", at_most=REFERENCE_WINDOWS)
    tokens = torch.as_tensor(drawn)
    with torch.no_grad():
        x = capture_inputs(setting.target, [setting.site], tokens)[setting.site.name]
        predicted = setting.target.logits(tokens)[:, 1:-1].log_softmax(-1)
    losses = -predicted.gather(-1, tokens[:, 2:, None])[..., 0]
    entropy = -(predicted.exp() * predicted).sum(-1)
    acting = setting.pieces.activations(x[:, 1:-1])[..., 3]
    assert reference.cross_entropy == pytest.approx(float(losses.mean()))
    assert reference.entropy == pytest.approx(float(entropy.mean()))
    assert reference.activation == pytest.approx(float(acting.mean()), abs=1e-5)
    assert reference.acting_entropy == pytest.approx(float((acting * entropy).sum() / acting.sum()), rel=1e-3)


def test_loss_tokens_are_uncertain_ones_where_the_piece_acts_as_usual(setting):
    text = setting.objective(4, seed=0).removed
    (positions,) = text.positions.tolist()
    tokens = text.prefix.tokens
    with torch.no_grad():
        predicted = setting.target.logits(tokens).log_softmax(-1)[0]
        x = capture_inputs(setting.target, [setting.site], tokens)[setting.site.name]
    entropy = -(predicted.exp() * predicted).sum(-1)
    unusual = (setting.pieces.activations(x)[0, :, 3] - setting.reference(setting.piece()).activation).abs()
    candidates = sorted(range(1, 64), key=lambda at: -float(entropy[at]))[:24]
    assert positions == sorted(sorted(candidates, key=lambda at: float(unusual[at]))[:4])


def test_one_pass_text_is_of_the_decomposition_part(setting):
    removed, others = setting.streamed_texts({"qa": 2, "qb": 5, "qc": 3}, seed=0)
    assert (removed.shape, others.shape) == ((5, 64), (5, 64))
    assert {tuple(row) for row in removed.tolist()} <= windows_of(setting, "decomposition", "qb")
    rows = {tuple(row) for row in others.tolist()}
    assert len(rows & windows_of(setting, "decomposition", "qa")) == 2
    assert len(rows & windows_of(setting, "decomposition", "qc")) == 3
