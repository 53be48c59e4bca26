from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unweave.base.errors import UnweaveError
from unweave.edit.edits import AdapterEdit, applied
from unweave.edit.objective import Objective, loss_layout, loss_text, removal_cross_entropy, retained_kl

POSITIONS = (2, 5, 9)


@pytest.fixture
def edit(llama):
    """A change of two matrices that moves every prediction."""
    generator = torch.Generator().manual_seed(2)
    matrices = {
        site.name: (torch.randn(2, site.d_in, generator=generator), torch.randn(site.d_out, 2, generator=generator))
        for site in llama.sites("model.layers.[12].mlp.down_proj")
    }
    return AdapterEdit(matrices, llama.identity.digest, "a change")


def log_probabilities(target, tokens):
    with torch.no_grad():
        return target.logits(tokens)[:, list(POSITIONS)].log_softmax(-1)


@pytest.mark.parametrize(
    ("budget", "windows", "each"),
    [(1, 1, 1), (2, 1, 2), (3, 1, 3), (4, 1, 4), (16, 2, 8), (64, 4, 16), (63, 1, 63), (256, 8, 32), (1024, 32, 32)],
)
def test_a_budget_stands_in_few_windows_at_first_and_costs_less_context_later(budget, windows, each):
    assert loss_layout(budget, 64) == (windows, each)


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 3000), st.integers(2, 300))
def test_every_budget_is_met_exactly_and_leaves_the_first_position_out(budget, window):
    windows, each = loss_layout(budget, window)
    assert windows * each == budget
    assert 1 <= each <= window - 1


@pytest.mark.parametrize("budget", [0, -4])
def test_a_budget_below_1_is_refused(budget):
    with pytest.raises(UnweaveError, match=f"tokens is {budget}, and the budget must be at least 1"):
        loss_layout(budget, 64)


@pytest.mark.parametrize("layer", [None, 2])
def test_the_base_is_what_the_model_predicts_at_the_positions_and_both_counts_are_kept(llama, tokens, layer):
    text = loss_text(llama, tokens, POSITIONS, layer)
    torch.testing.assert_close(text.base, log_probabilities(llama, tokens))
    assert (text.tokens, text.tokens_seen, len(text)) == (9, 30, 3)
    part = text.rows([2, 0])
    assert torch.equal(part.base, text.base[[2, 0]])
    assert torch.equal(part.prefix.tokens, tokens[[2, 0]])
    assert (part.tokens, part.tokens_seen) == (6, 20)


@pytest.mark.parametrize("layer", [None, 1])
def test_a_number_of_positions_takes_the_least_certain_of_each_window_but_never_the_first(llama, tokens, layer):
    text = loss_text(llama, tokens, 3, layer)
    with torch.no_grad():
        every = llama.logits(tokens).log_softmax(-1)
    entropy = -(every.exp() * every).sum(-1)
    entropy[:, 0] = -1
    for row, positions in enumerate(text.positions.tolist()):
        assert positions == sorted(sorted(range(10), key=lambda at, row=row: -float(entropy[row, at]))[:3])
        torch.testing.assert_close(text.base[row], every[row, positions])
    assert len({tuple(row) for row in text.positions.tolist()}) > 1
    with torch.no_grad():
        torch.testing.assert_close(removal_cross_entropy(llama, text, batch=2), text.entropy())
    assert torch.equal(text.rows([2, 1]).positions, text.positions[[2, 1]])
    assert (text.tokens, text.tokens_seen) == (9, 30)


def test_unedited_the_cross_entropy_is_the_entropy_and_the_kl_is_0(llama, tokens):
    text = loss_text(llama, tokens, POSITIONS, 1)
    probabilities = log_probabilities(llama, tokens).exp()
    entropy = -(probabilities * probabilities.log()).sum(-1)
    torch.testing.assert_close(text.entropy(), entropy)
    with torch.no_grad():
        torch.testing.assert_close(removal_cross_entropy(llama, text), entropy)
        assert retained_kl(llama, text).abs().max() < 1e-5


@pytest.mark.parametrize("layer", [None, 1])
def test_edited_both_compare_the_base_with_what_is_predicted_now(llama, tokens, edit, layer):
    text = loss_text(llama, tokens, POSITIONS, layer)
    before = log_probabilities(llama, tokens)
    with applied(llama, edit), torch.no_grad():
        after = log_probabilities(llama, tokens)
        cross = -(before.exp() * after).sum(-1)
        kl = torch.nn.functional.kl_div(after, before, reduction="none", log_target=True).sum(-1)
        torch.testing.assert_close(removal_cross_entropy(llama, text), cross, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(removal_cross_entropy(llama, text, batch=2), cross, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(retained_kl(llama, text), kl, rtol=1e-4, atol=1e-4)
        assert kl.min() > 0.01


def test_the_loss_is_the_mean_shortfall_and_the_mean_kl(llama, tokens, edit):
    removed, retained = loss_text(llama, tokens, POSITIONS, 1), loss_text(llama, tokens.flip(0), (4, 7), 1)
    with applied(llama, edit), torch.no_grad():
        reached, kl = removal_cross_entropy(llama, removed), retained_kl(llama, retained).mean()
        ceiling = float(reached.median())
        loss = Objective(removed, retained, ceiling).loss(llama)
        assert float(loss) == pytest.approx(float((ceiling - reached).clamp(min=0).mean() + kl), rel=1e-5)
        # What is past the ceiling counts as reached and earns nothing.
        assert float(Objective(removed, retained, 0.0).loss(llama)) == pytest.approx(float(kl), rel=1e-5)
        some = Objective(removed, retained, ceiling).loss(llama, [1])
        assert float(some) == pytest.approx(float((ceiling - reached[1]).clamp(min=0).mean() + kl), rel=1e-5)


def test_descending_the_loss_raises_the_removed_cross_entropy(llama, tokens):
    """From a changed weight: the base itself is where both terms are flat."""
    site = llama.site("model.layers.2.mlp.down_proj")
    weight, parameter = llama.weight(site), llama.module.get_submodule(site.name).weight
    text = loss_text(llama, tokens, POSITIONS, None)
    objective = Objective(text, loss_text(llama, tokens[:1], (1,), None), math.log(300))
    parameter.requires_grad_(True)
    objective.loss(llama).backward()
    assert parameter.grad.abs().max() < 1e-5
    parameter.grad = None
    with torch.no_grad():
        weight += 0.1 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(0))
        before = removal_cross_entropy(llama, text).mean()
    objective.loss(llama).backward()
    with torch.no_grad():
        weight -= 0.1 * parameter.grad
        assert removal_cross_entropy(llama, text).mean() > before + 1e-4
