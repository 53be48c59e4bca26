from __future__ import annotations

import pytest
import tiny
import torch
from torch import nn

from unweave.base.errors import UnweaveError
from unweave.decompose import numerics
from unweave.decompose.masked import Mask, MaskedTarget, Pieces, check_rows
from unweave.models.capture import capture_inputs
from unweave.models.target import make_target

DOWN = {
    "llama": "model.layers.1.mlp.down_proj",
    "qwen2": "model.layers.1.mlp.down_proj",
    "gpt2": "transformer.h.1.mlp.c_proj",
}


@pytest.fixture
def taken_apart(decomposed):
    """A target's masked form, all of its sites in random pieces."""

    def make(target, *patterns):
        made = decomposed(target, *patterns)
        sites = target.sites(patterns or "*")
        return MaskedTarget(target, sites), {name: Pieces(site.V, site.U) for name, site in made.sites.items()}

    return make


def constant(batch, masks, delta):
    """The same masks in every row."""
    rows = batch.shape
    return {name: Mask(mask.expand(*rows, -1), torch.full((*rows, 1), delta)) for name, mask in masks.items()}


def ones(batch, pieces):
    return constant(batch, {name: torch.ones(V.shape[1]) for name, (V, _) in pieces.items()}, 1.0)


def random(pieces, seed=3):
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.rand(V.shape[1], generator=generator) for name, (V, _) in pieces.items()}


def hooks(module):
    return [name for name, child in module.named_modules() if child._forward_hooks or child._forward_pre_hooks]


@torch.no_grad()
def edited_logits(target, tokens, weights):
    """What the target predicts with other matrices in it; they are put back."""
    kept = {}
    for name, weight in weights.items():
        own = target.weight(target.site(name))
        kept[name] = own.clone()
        own.copy_(weight)
    found = target.logits(tokens)
    for name, weight in kept.items():
        target.weight(target.site(name)).copy_(weight)
    return found


@torch.no_grad()
def test_all_masks_at_one_are_the_target_itself(target, tokens, taken_apart):
    """Linear layers with and without bias, and GPT-2's transposed ones."""
    model, pieces = taken_apart(target)
    with model.attached():
        clean, _ = model.clean(tokens)
        masked = model.masked(tokens, pieces, ones(tokens, pieces))
    assert torch.equal(clean, target.logits(tokens))
    torch.testing.assert_close(masked, clean, rtol=1e-5, atol=1e-5 * float(clean.abs().max()))


@torch.no_grad()
@pytest.mark.parametrize("delta", [0.0, 0.3, 1.0])
def test_masks_that_are_the_same_everywhere_are_another_weight(target, tokens, taken_apart, delta):
    """``sum_c m_c u_c v_c^T + d (W - UV)`` in every site at once."""
    model, pieces = taken_apart(target)
    masks = random(pieces)
    weights = {}
    for name, (V, U) in pieces.items():
        rest = target.weight(target.site(name)) - sum(torch.outer(U[c], V[:, c]) for c in range(len(U)))
        weights[name] = sum(masks[name][c] * torch.outer(U[c], V[:, c]) for c in range(len(U))) + delta * rest
    wanted = edited_logits(target, tokens, weights)
    with model.attached():
        found = model.masked(tokens, pieces, constant(tokens, masks, delta))
    assert (wanted - target.logits(tokens)).abs().max() > 0.1
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-4 * float(wanted.abs().max()))


@torch.no_grad()
def test_every_row_has_masks_of_its_own(llama, tokens, taken_apart):
    model, pieces = taken_apart(llama, "model.layers.1.*")
    masks = constant(tokens, random(pieces), 0.5)
    whole = ones(tokens, pieces)
    second = torch.tensor([False, True, False])[:, None, None]
    with model.attached():
        clean, _ = model.clean(tokens)
        everywhere = model.masked(tokens, pieces, masks)
        mixed = {
            name: Mask(*(torch.where(second, *pair) for pair in zip(masks[name], whole[name], strict=True)))
            for name in pieces
        }
        found = model.masked(tokens, pieces, mixed)
    torch.testing.assert_close(found[1], everywhere[1])
    torch.testing.assert_close(found[::2], clean[::2], rtol=1e-4, atol=1e-4)
    assert (found[1] - clean[1]).abs().max() > 0.1


@torch.no_grad()
def test_sites_without_a_mask_are_left_as_they_are(target, tokens, taken_apart):
    model, pieces = taken_apart(target)
    name = DOWN[target.module.config.model_type]
    with model.attached():
        masks = constant(tokens, {name: torch.zeros(len(pieces[name].U))}, 0.0)
        found = model.masked(tokens, pieces, masks)
        assert list(model.outputs()) == [name]
        assert not model.outputs()[name].any()
    wanted = edited_logits(target, tokens, {name: torch.zeros_like(target.weight(target.site(name)))})
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4 * float(wanted.abs().max()))


@torch.no_grad()
def test_the_clean_inputs_are_those_that_a_capture_finds(target, tokens, taken_apart):
    model, _ = taken_apart(target)
    wanted = capture_inputs(target, target.sites(), tokens)
    with model.attached():
        _, inputs = model.clean(tokens)
        again = model.clean(tokens)[1]
    assert sorted(inputs) == sorted(wanted)
    for name, x in inputs.items():
        torch.testing.assert_close(x, wanted[name])
        assert torch.equal(x, again[name])
    assert check_rows(inputs, model.sites, tokens) == (3, 10)


@torch.no_grad()
def test_the_sites_outputs_leave_the_biases_out(gpt2, tokens, taken_apart):
    model, pieces = taken_apart(gpt2)
    with model.attached():
        _, inputs = model.clean(tokens)
        model.masked(tokens, pieces, ones(tokens, pieces))
        outputs = model.outputs()
    for name, output in outputs.items():
        wanted = inputs[name] @ gpt2.weight(gpt2.site(name)).T
        torch.testing.assert_close(output, wanted, rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_a_clean_forward_after_a_masked_one_is_clean(llama, tokens, taken_apart):
    model, pieces = taken_apart(llama)
    with model.attached():
        clean, inputs = model.clean(tokens)
        model.masked(tokens, pieces, constant(tokens, random(pieces), 0.0))
        assert torch.equal(llama.logits(tokens), clean)  # the masks were for that one forward
        again, same = model.clean(tokens)
    assert torch.equal(clean, again)
    assert all(torch.equal(inputs[name], same[name]) for name in inputs)


def test_gradients_reach_masks_and_pieces_and_never_the_target(llama, tokens, taken_apart):
    model, pieces = taken_apart(llama, "model.layers.1.mlp.*")
    pieces = {name: Pieces(*(tensor.clone().requires_grad_() for tensor in each)) for name, each in pieces.items()}
    masks = {
        name: Mask(*(tensor.clone().requires_grad_() for tensor in mask))
        for name, mask in constant(tokens, random(pieces), 0.5).items()
    }
    with model.attached():
        model.masked(tokens, pieces, masks).square().mean().backward()
    assert all(tensor.grad.any() for each in (*pieces.values(), *masks.values()) for tensor in each)
    assert all(parameter.grad is None for parameter in llama.module.parameters())


def test_the_hooks_are_gone_afterwards_whatever_happened(llama, tokens, taken_apart):
    model, pieces = taken_apart(llama)
    plain = llama.logits(tokens)
    with model.attached():
        assert len(hooks(llama.module)) == len(pieces)
    assert not hooks(llama.module)
    with pytest.raises(RuntimeError), model.attached():
        model.masked(tokens, pieces, {name: Mask(torch.ones(7), torch.ones(1)) for name in pieces})
    assert not hooks(llama.module)
    assert torch.equal(llama.logits(tokens), plain)
    # The masks of the forward that failed are not those of the next one.
    with model.attached():
        assert torch.equal(llama.logits(tokens), plain)


def test_a_site_that_is_not_there_leaves_no_hooks(llama):
    model = MaskedTarget(llama, llama.sites())
    llama.module.model.layers[3].mlp.down_proj = nn.Identity()
    with pytest.raises(UnweaveError, match=r"down_proj' is not in this target"), model.attached():
        pass
    assert not hooks(llama.module)


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_target_in_half_precision_is_masked_in_float32(fresh, tokens, taken_apart, dtype):
    target = fresh("qwen2", dtype)
    model, pieces = taken_apart(target, "model.layers.1.*")
    with model.attached():
        clean, inputs = model.clean(tokens)
        masked = model.masked(tokens, pieces, ones(tokens, pieces))
        outputs = model.outputs()
    found = {clean.dtype, masked.dtype, *(x.dtype for x in (*inputs.values(), *outputs.values()))}
    assert found == {torch.float32}
    assert {weight.dtype for weight in model.weights.values()} == {torch.float32}
    torch.testing.assert_close(masked, clean, rtol=0.05, atol=0.05 * float(clean.abs().max()))


@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
def test_sites_that_read_one_tensor_hold_one_copy_of_it(fresh, tokens, taken_apart, monkeypatch, dtype):
    """Query, key and value do, gate and up do; in half precision each would have a float32 copy of its own."""
    model, pieces = taken_apart(fresh("llama", dtype))
    read, masked_output = [], numerics.masked_output
    monkeypatch.setattr(numerics, "masked_output", lambda x, *rest: read.append(x) or masked_output(x, *rest))
    with model.attached():
        _, inputs = model.clean(tokens)
        assert model._read is None
        model.masked(tokens, pieces, ones(tokens, pieces))
        assert model._read is None
    for found in (inputs, dict(zip(pieces, read, strict=True))):
        groups = {}
        for name, x in found.items():
            groups.setdefault(id(x), []).append(name.rpartition(".")[2])
        shared = [["q_proj", "k_proj", "v_proj"], ["o_proj"], ["gate_proj", "up_proj"], ["down_proj"]]
        assert list(groups.values()) == 4 * shared
        assert all(x.dtype == torch.float32 for x in found.values())


def test_feature_rows_without_positions_are_rows_too():
    target = tiny.features()
    x = tiny.rows(4)(0)
    model = MaskedTarget(target, target.sites())
    with model.attached():
        _, inputs = model.clean(x)
    assert check_rows(inputs, model.sites, x) == (4,)


class Odd(nn.Module):
    """Sites that are not called, see half of the samples, or see one row for each."""

    def __init__(self):
        super().__init__()
        self.plain, self.never, self.part, self.first, self.single = (nn.Linear(4, 4) for _ in range(5))

    def forward(self, x):
        y = self.plain(x)
        self.part(x[: len(x) // 2])
        self.first(x[:, 0])
        self.single(x[0, 0])
        return y


def test_sites_that_do_not_see_every_row_are_refused_by_name():
    target = make_target(Odd(), None, "odd", check=False)
    x = torch.randn(6, 3, 4)
    every = target.sites()
    with MaskedTarget(target, every).attached() as model:
        _, inputs = model.clean(x)

    def refused(*names):
        with pytest.raises(UnweaveError) as error:
            check_rows(inputs, target.sites(names), x)
        return str(error.value)

    assert refused("plain", "never") == "site 'never' is never called in a forward pass, so it cannot be masked"
    assert refused("plain", "part").startswith(
        "site 'part' sees rows of shape (3, 3) where the batch has 6 samples and the first site (6, 3): a site that"
    )
    assert "site 'part' sees rows of shape (3, 3)" in refused("part")
    assert "site 'first' sees rows of shape (6,) where" in refused("plain", "first")
    assert "site 'single' sees rows of shape () where" in refused("single")
    assert check_rows(inputs, target.sites("first"), x) == (6,)


class Twice(nn.Module):
    """A matrix that a forward uses two times."""

    def __init__(self):
        super().__init__()
        self.again = nn.Linear(4, 4)

    def forward(self, x):
        return self.again(torch.relu(self.again(x)))


def test_a_site_that_is_called_twice_in_a_forward_is_refused():
    target = make_target(Twice(), None, "twice", check=False)
    with (
        MaskedTarget(target, target.sites()).attached() as model,
        pytest.raises(UnweaveError, match="site 'again' is called more than once in a forward pass"),
    ):
        model.clean(torch.randn(2, 4))


def test_outputs_of_a_masked_forward_are_not_held_through_the_next_clean_one():
    target = tiny.features()
    x = torch.rand(3, 6)
    with torch.no_grad(), MaskedTarget(target, target.sites()).attached() as model:
        pieces = {name: Pieces(*tiny.singular_pieces(weight)) for name, weight in model.weights.items()}
        masks = {name: Mask(torch.ones(3, each.V.shape[1]), torch.ones(3, 1)) for name, each in pieces.items()}
        model.masked(x, pieces, masks)
        assert set(model.outputs()) == set(pieces)
        model.clean(x)
        assert not model.outputs()


def test_float32_products_leave_the_callers_own_setting_and_any_device_alone():
    target = tiny.features()
    with torch.autocast("cpu", torch.bfloat16), MaskedTarget(target, target.sites()).products():
        assert torch.is_autocast_enabled("cpu")
    target.module.to("meta")
    with MaskedTarget(target, target.sites()).products():
        pass


class Changing(nn.Module):
    """What both sites read is doubled between them, in place."""

    def __init__(self):
        super().__init__()
        self.first, self.second = (nn.Linear(4, 4, bias=False) for _ in range(2))

    def forward(self, x):
        x = x.to(self.first.weight.dtype, copy=True)
        return self.first(x) + self.second(x.mul_(2))


def test_a_site_reads_what_its_input_is_when_it_is_called():
    target = make_target(Changing().to(torch.bfloat16), None, "changing", check=False)
    x = torch.randn(3, 4)
    with torch.no_grad(), MaskedTarget(target, target.sites()).attached() as model:
        _, inputs = model.clean(x)
    torch.testing.assert_close(inputs["second"], 2 * inputs["first"])
