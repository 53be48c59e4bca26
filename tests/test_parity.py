from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import nn
from torch.nn import functional

from unweave.base.errors import UnweaveError
from unweave.models.parity import parity_gate
from unweave.models.target import make_target

SITE = "model.layers.1.self_attn.o_proj"


def test_a_sound_target_passes_and_the_errors_are_kept(target):
    assert target.parity == parity_gate(target)
    assert target.parity["hooked_minus_plain"] == 0.0
    assert 0.0 <= target.parity["site_output_error"] < 1e-5
    assert 0.0 <= target.parity["resumed_minus_plain"] < 1e-5


def test_half_precision_passes_too(fresh):
    assert fresh("gpt2", torch.bfloat16).parity["site_output_error"] < 4e-2


def test_the_gate_leaves_no_hook_behind(target):
    parity_gate(target)
    assert not any(child._forward_hooks or child._forward_pre_hooks for child in target.module.modules())
    assert not any("forward" in child.__dict__ for child in target.module.modules())


def test_an_adapter_put_into_the_forward_of_a_layer_is_caught(llama):
    layer = llama.module.get_submodule(SITE)
    A, B = torch.randn(1, 32), torch.randn(32, 1)
    layer.forward = lambda x: functional.linear(x, layer.weight) + x @ A.T @ B.T
    with pytest.raises(UnweaveError, match=f"site '{SITE}': captured input times weight differs .* adapter"):
        parity_gate(llama)


def test_an_adapter_that_works_by_a_hook_is_caught(llama):
    llama.module.get_submodule(SITE).register_forward_hook(lambda _, args, output: output + 0.01 * args[0])
    with pytest.raises(UnweaveError, match=f"site '{SITE}'"):
        parity_gate(llama)


def test_a_weight_that_is_fake_quantised_on_the_way_is_caught(llama):
    layer = llama.module.get_submodule(SITE)
    layer.forward = lambda x: functional.linear(x, (layer.weight * 8).round() / 8)
    with pytest.raises(UnweaveError, match=f"site '{SITE}'"):
        make_target(llama.module, llama.tokenizer, "quantised")


def test_a_bias_that_is_left_out_is_caught(fresh):
    target = fresh("qwen2")
    layer = target.module.get_submodule("model.layers.2.self_attn.k_proj")
    layer.forward = lambda x: functional.linear(x, layer.weight)
    with pytest.raises(UnweaveError, match="k_proj"):
        parity_gate(target)


def test_nan_in_one_late_layer_is_caught_by_its_name(llama):
    layer = llama.module.get_submodule("model.layers.3.mlp.down_proj")
    layer.forward = lambda x: functional.linear(x, layer.weight) * float("nan")
    with pytest.raises(UnweaveError, match=r"site 'model.layers.3.mlp.down_proj': .* by nan"):
        parity_gate(llama)


def test_noise_from_one_forward_to_the_next_is_caught(llama):
    norm = llama.module.model.norm
    own = norm.forward
    norm.forward = lambda hidden: own(hidden) + 0.01 * torch.randn_like(hidden)
    with pytest.raises(UnweaveError, match="not deterministic"):
        parity_gate(llama)


def test_a_layer_that_behaves_otherwise_under_a_hook_is_caught(llama):
    layer = llama.module.get_submodule(SITE)
    own = layer.forward
    layer.forward = lambda x: own(2 * x if layer._forward_hooks else x)
    with pytest.raises(UnweaveError, match=f"site '{SITE}'"):
        parity_gate(llama)


def test_state_carried_past_the_blocks_is_caught_by_resuming(llama):
    first, last = llama.module.model.layers[0], llama.module.model.layers[3]
    kept = {}
    first.register_forward_pre_hook(lambda _, args: kept.update(embedding=args[0]))
    first.mlp.register_forward_hook(lambda _, args, output: kept.update(embedding=output))
    own = last.forward

    def with_skip(hidden, *args, **kwargs):
        return own(hidden, *args, **kwargs) + kept.pop("embedding")

    last.forward = with_skip
    with pytest.raises(UnweaveError, match="resuming from layer 2 changes the logits"):
        parity_gate(llama)


def test_a_site_whose_hook_is_bypassed_is_counted_and_cannot_be_captured(tokens):
    target = make_target(Bypassing(), None, "bypassing")
    assert target.parity["sites_not_called"] == 1.0


def test_a_target_whose_sites_are_all_bypassed_is_refused():
    with pytest.raises(UnweaveError, match="calls none of its 1 sites"):
        make_target(Bypassing(kept=False), None, "bypassing")


class Bypassing(nn.Module):
    """Uses one of its matrices without calling it, so that no hook sees what goes in."""

    def __init__(self, kept=True):
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Embedding(20, 8)
        self.bypassed = nn.Linear(8, 20)
        self.kept = nn.Linear(20, 20) if kept else nn.Identity()
        self.config = type("Config", (), {"vocab_size": 20})

    def forward(self, tokens):
        return self.kept(functional.linear(self.embed(tokens), self.bypassed.weight, self.bypassed.bias))


def test_a_layer_that_peft_wrapped_is_refused_by_name(llama):
    inject_adapter_in_model(LoraConfig(r=1, target_modules=["o_proj"], init_lora_weights=False), llama.module)
    with pytest.raises(UnweaveError, match=r"layer 'model\.layers\.0\.self_attn\.o_proj' is wrapped by an adapter"):
        make_target(llama.module, llama.tokenizer, "with adapter")
