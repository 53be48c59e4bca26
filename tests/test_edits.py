from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unweave.base.errors import UnweaveError
from unweave.edit.edits import AdapterEdit, EditStack, FactorEdit, applied, edited_weight
from unweave.models.target import identify, weights_hash

SITES = {
    "llama": ["model.layers.1.mlp.down_proj", "model.layers.2.self_attn.q_proj"],
    "gpt2": ["transformer.h.1.mlp.c_proj", "transformer.h.2.attn.c_attn.q"],
    "qwen2": ["model.layers.1.mlp.down_proj", "model.layers.2.self_attn.q_proj"],
}


def sites_of(target):
    return SITES[target.module.config.model_type]


def logits(target, tokens):
    with torch.no_grad():
        return target.logits(tokens)


def three_edits(target, decomposed):
    """Two at the same piece and one at both sites, so that they overlap in every way."""
    first, second = sites_of(target)
    decomposition = decomposed(target, first, second)
    return [
        FactorEdit.of(decomposition, {(first, 0): -2.0}, "one"),
        FactorEdit.of(decomposition, {(first, 0): 0.5, (first, 3): 0.0}, "two"),
        FactorEdit.of(decomposition, {(first, 1): 3.0, (second, 2): -1.0}, "three"),
    ]


def test_an_edit_is_the_weight_plus_factor_minus_one_times_the_piece(target, decomposed):
    name = sites_of(target)[0]
    decomposition = decomposed(target, name)
    site = target.site(name)
    before = target.weight(site).clone()
    u, v = decomposition.sites[name].U[2], decomposition.sites[name].V[:, 2]
    with applied(target, FactorEdit.of(decomposition, {(name, 2): -1.5})):
        torch.testing.assert_close(target.weight(site), before - 2.5 * torch.outer(u, v))


def test_all_factors_one_is_the_identity(target, decomposed, tokens):
    decomposition = decomposed(target)
    everything = {(name, index): 1.0 for name in decomposition.sites for index in range(8)}
    plain = logits(target, tokens)
    with applied(target, FactorEdit.of(decomposition, everything)):
        assert weights_hash(target.module) == target.identity.weights
        assert (logits(target, tokens) - plain).abs().max() == 0


def test_an_edit_changes_the_logits_and_undo_restores_every_bit(target, decomposed, tokens):
    plain = logits(target, tokens)
    with applied(target, *three_edits(target, decomposed)):
        assert (logits(target, tokens) - plain).abs().max() > 0.1
        assert weights_hash(target.module) != target.identity.weights
    assert weights_hash(target.module) == target.identity.weights
    assert torch.equal(logits(target, tokens), plain)


def test_undo_restores_every_bit_in_half_precision(fresh, decomposed):
    target = fresh("llama", torch.bfloat16)
    with applied(target, *three_edits(target, decomposed)):
        assert target.dtype == torch.bfloat16
        assert weights_hash(target.module) != target.identity.weights
    assert weights_hash(target.module) == target.identity.weights


def test_an_identity_edit_keeps_even_the_sign_of_a_zero():
    weight = torch.tensor([[-0.0, 0.0]])
    edit = AdapterEdit({"s": (torch.ones(1, 2), torch.zeros(1, 1))}, "t", "nothing")
    assert torch.signbit(edited_weight(weight, [edit], "s")).tolist() == [[True, False]]


def test_half_precision_weights_are_summed_in_float32():
    weight = torch.full((1, 1), 256.0, dtype=torch.bfloat16)
    # One is half of a bfloat16 step at 256: added one by one in half precision both would be lost.
    ones = [AdapterEdit({"s": (torch.ones(1, 1), torch.ones(1, 1))}, "t", name) for name in "ab"]
    assert edited_weight(weight, ones, "s").item() == 258.0


@settings(max_examples=25, deadline=None)
@given(apply=st.permutations(range(3)), undo=st.permutations(range(3)))
def test_edits_come_off_in_any_order(pristine, decomposed, apply, undo):
    target = pristine["gpt2"]
    edits = three_edits(target, decomposed)
    originals = {name: target.weight(target.site(name)).clone() for name in sites_of(target)}
    stack = EditStack(target)
    try:
        for index in apply:
            stack.apply(edits[index])
        assert stack.list() == [edits[index].name for index in apply]
        left = list(apply)
        for index in undo:
            stack.undo(edits[index].name)
            left.remove(index)
            assert stack.list() == [edits[kept].name for kept in left]
            for name, original in originals.items():
                here = [edits[kept] for kept in left if name in edits[kept].sites()]
                assert torch.equal(target.weight(target.site(name)), edited_weight(original, here, name))
    finally:
        stack.undo_all()
    assert weights_hash(target.module) == target.identity.weights


def test_the_order_of_applying_does_not_matter(llama, decomposed, tokens):
    edits = three_edits(llama, decomposed)
    with applied(llama, *edits):
        forwards = logits(llama, tokens)
    with applied(llama, *reversed(edits)):
        torch.testing.assert_close(logits(llama, tokens), forwards)


def test_an_exception_inside_the_block_undoes_the_edit(llama, decomposed):
    with pytest.raises(KeyboardInterrupt), applied(llama, *three_edits(llama, decomposed)):
        raise KeyboardInterrupt
    assert weights_hash(llama.module) == llama.identity.weights


def test_a_refused_edit_takes_the_ones_before_it_off(llama, decomposed):
    good, *_ = three_edits(llama, decomposed)
    with pytest.raises(UnweaveError, match="belongs to target"), applied(llama, good, replace(good, target="other")):
        pass
    assert weights_hash(llama.module) == llama.identity.weights


def test_merging_is_permanent_and_makes_another_target(llama, decomposed, tokens):
    edit = three_edits(llama, decomposed)[0]
    before = llama.identity
    stack = EditStack(llama)
    stack.apply(edit)
    edited = logits(llama, tokens)
    stack.merge()
    stack.undo_all()
    assert stack.list() == []
    assert torch.equal(logits(llama, tokens), edited)
    assert llama.identity == identify(llama.module, llama.tokenizer)
    assert llama.identity.digest != before.digest
    with pytest.raises(UnweaveError, match="belongs to target"):
        stack.apply(edit)


def test_an_edit_of_another_target_is_refused(llama, gpt2, decomposed):
    edit = three_edits(llama, decomposed)[0]
    with pytest.raises(UnweaveError, match=f"belongs to target {llama.identity.digest}, not to"):
        EditStack(gpt2).apply(edit)


def adapter(target, matrices, name="adapter"):
    return AdapterEdit(matrices, target.identity.digest, name)


@pytest.mark.parametrize(
    ("site", "A", "B", "message"),
    [
        ("model.layers.1.mlp.down_proj", (1, 48), (31, 1), "maps 48 to 31 .* which maps 48 to 32"),
        ("model.layers.1.mlp.down_proj", (1, 32), (48, 1), "maps 32 to 48 .* which maps 48 to 32"),
        ("model.layers.1.mlp.down_proj", (2, 48), (32, 3), "reads 2 directions and writes 3"),
        ("model.layers.1.mlp.down", (1, 48), (32, 1), "nearest: 'model.layers.1.mlp.down_proj'"),
    ],
)
def test_a_wrong_shape_or_site_is_refused_before_anything_changes(llama, site, A, B, message):
    good = "model.layers.0.mlp.down_proj"
    edit = adapter(llama, {good: (torch.ones(1, 48), torch.ones(32, 1)), site: (torch.ones(A), torch.ones(B))})
    stack = EditStack(llama)
    with pytest.raises(UnweaveError, match=message):
        stack.apply(edit)
    assert stack.list() == []
    assert weights_hash(llama.module) == llama.identity.weights


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite_are_refused(llama, decomposed, bad):
    name = sites_of(llama)[0]
    decomposition = decomposed(llama, name)
    with pytest.raises(UnweaveError, match=rf"the factor of {name}:1 is {bad}"):
        FactorEdit.of(decomposition, {(name, 1): bad})
    with pytest.raises(UnweaveError, match="NaN or infinite"):
        EditStack(llama).apply(FactorEdit.of(decomposition, {(name, 1): 0.0}).with_factor(bad))
    with pytest.raises(UnweaveError, match="NaN or infinite"):
        EditStack(llama).apply(adapter(llama, {name: (torch.full((1, 48), bad), torch.zeros(32, 1))}))
    assert weights_hash(llama.module) == llama.identity.weights


def test_an_edit_without_pieces_or_with_an_unknown_one_is_refused(llama, decomposed):
    name = sites_of(llama)[0]
    decomposition = decomposed(llama, name)
    with pytest.raises(UnweaveError, match="at least one subcomponent"):
        FactorEdit.of(decomposition, {})
    with pytest.raises(UnweaveError, match="it has 0 to 7"):
        FactorEdit.of(decomposition, {(name, 8): 0.0})
    with pytest.raises(UnweaveError, match=f"nearest: '{name}'"):
        FactorEdit.of(decomposition, {(name + "s", 1): 0.0})


def test_names_are_unique_in_a_stack_and_undoing_an_unknown_one_names_the_nearest(llama, decomposed):
    stack = EditStack(llama)
    edits = three_edits(llama, decomposed)
    stack.apply(edits[0])
    with pytest.raises(UnweaveError, match="'one' is already applied"):
        stack.apply(edits[0])
    stack.apply(edits[2])
    with pytest.raises(UnweaveError, match="no edit named 'thre' is applied; nearest: 'three'"):
        stack.undo("thre")
    assert stack.list() == ["one", "three"]


def test_a_title_tells_piece_and_factor(llama, decomposed):
    name = sites_of(llama)[0]
    decomposition = decomposed(llama, name)
    assert FactorEdit.of(decomposition, {(name, 1): -3.25}).name == f"{name}:1 x -3.25"
    assert FactorEdit.of(decomposition, {(name, 1): 0.0, (name, 4): 0.0}).name == f"{name}:1 x 0 and 1 more"


def test_low_rank_is_the_same_change_as_the_pieces(llama, decomposed):
    name = sites_of(llama)[0]
    decomposition = decomposed(llama, name)
    A, B = FactorEdit.of(decomposition, {(name, 1): -3.0, (name, 5): 0.5}).low_rank(name)
    pieces = decomposition.sites[name]
    expected = -4.0 * torch.outer(pieces.U[1], pieces.V[:, 1]) - 0.5 * torch.outer(pieces.U[5], pieces.V[:, 5])
    assert A.shape == (2, 48)
    assert B.shape == (32, 2)
    torch.testing.assert_close(B @ A, expected)
