from __future__ import annotations

import pytest
import torch
import transformers as tf
from layouts import GPT2, GROUPED, SIZES
from torch import nn

from unweave.base.errors import UnweaveError
from unweave.models.target import make_target
from unweave.read.dictionaries.hooks import LAYOUTS, hook_place, module_place
from unweave.read.observe import observe

GEMMA = {**SIZES, **GROUPED, "head_dim": 4}
CONFIGS = {
    "arcee": lambda: tf.ArceeConfig(**SIZES, **GROUPED, head_dim=4),
    "gemma": lambda: tf.GemmaConfig(**GEMMA),
    "gemma2": lambda: tf.Gemma2Config(**GEMMA, query_pre_attn_scalar=4, sliding_window=16),
    "gemma3_text": lambda: tf.Gemma3TextConfig(**GEMMA, query_pre_attn_scalar=4, sliding_window=16),
    "gpt2": lambda: tf.GPT2Config(**GPT2),
    "gpt_neox": lambda: tf.GPTNeoXConfig(**SIZES, use_parallel_residual=False),
    "llama": lambda: tf.LlamaConfig(**SIZES, **GROUPED),
    "mistral": lambda: tf.MistralConfig(**SIZES, **GROUPED),
    "qwen2": lambda: tf.Qwen2Config(**SIZES, **GROUPED),
    "qwen3": lambda: tf.Qwen3Config(**SIZES, **GROUPED, head_dim=4),
}
TOKENS = torch.randint(40, (2, 7), generator=torch.Generator().manual_seed(1))
WIDTH, HEADS, INNER = 16, 16, {"gpt2": 64}


def build(kind, **changes):
    torch.manual_seed(0)
    config = CONFIGS[kind]()
    for name, value in changes.items():
        setattr(config, name, value)
    module = tf.AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name.endswith("bias") or "norm" in name or ".ln_" in name:
                parameter.normal_(0.5, 0.3)
    return make_target(module, None, f"tiny {kind}")


def seen(target, kind, *hooks):
    inner = INNER.get(kind, 24)
    widths = {"attn.hook_z": HEADS, "mlp.hook_pre": inner, "mlp.hook_post": inner}
    places = {hook: hook_place(target, f"blocks.1.{hook}", widths.get(hook, WIDTH)) for hook in hooks}
    return observe(target, places, TOKENS).values


def test_every_known_layout_is_tried_here():
    assert set(CONFIGS) == set(LAYOUTS)


@pytest.mark.parametrize("kind", CONFIGS)
def test_values_at_hooks_add_up_as_transformerlens_defines_them(kind):
    """Attention's and the MLP's outputs are what is added to the stream; heads and activations are what makes them."""
    target = build(kind)
    hooks = ("hook_resid_pre", "hook_attn_out", "hook_resid_mid", "hook_mlp_in", "hook_mlp_out", "hook_resid_post")
    values = seen(target, kind, *hooks, "attn.hook_z", "mlp.hook_in", "mlp.hook_pre", "mlp.hook_post")
    torch.testing.assert_close(values["hook_resid_mid"], values["hook_resid_pre"] + values["hook_attn_out"])
    torch.testing.assert_close(values["hook_resid_post"], values["hook_resid_mid"] + values["hook_mlp_out"])
    assert torch.equal(values["hook_mlp_in"], values["hook_resid_mid"])
    torch.testing.assert_close(values["hook_resid_pre"], target.hidden_before(1, TOKENS))
    block, layout = target.module.get_submodule(f"{target.blocks}.1"), LAYOUTS[kind]
    with torch.no_grad():
        attention, mlp = block.get_submodule(layout.heads)(values["attn.hook_z"]), block.mlp(values["mlp.hook_in"])
        if layout.attention_out:
            attention = block.get_submodule(layout.attention_out)(attention)
            mlp = block.get_submodule(layout.mlp_out)(mlp)
        torch.testing.assert_close(attention, values["hook_attn_out"])
        torch.testing.assert_close(mlp, values["hook_mlp_out"])
        torch.testing.assert_close(
            block.get_submodule(layout.second_norm)(values["hook_resid_mid"]), values["mlp.hook_in"]
        )
        act = next(child for name, child in block.mlp.named_modules() if name in ("act", "act_fn"))
        activated = act(values["mlp.hook_pre"])
        if hasattr(block.mlp, "gate_proj"):
            activated = activated * block.mlp.up_proj(values["mlp.hook_in"])
        torch.testing.assert_close(activated, values["mlp.hook_post"])


@pytest.mark.parametrize("kind", ["gpt2", "gpt_neox"])
def test_a_layernorms_hook_is_what_leaves_it_with_weight_and_bias(kind):
    values = seen(build(kind), kind, "hook_resid_pre", "hook_resid_mid", "ln1.hook_normalized", "ln2.hook_normalized")
    block = build(kind).module.get_submodule(f"{build(kind).blocks}.1")
    for stream, norm in (("hook_resid_pre", "first_norm"), ("hook_resid_mid", "second_norm")):
        with torch.no_grad():
            expected = block.get_submodule(getattr(LAYOUTS[kind], norm))(values[stream])
        torch.testing.assert_close(
            values["ln1.hook_normalized" if norm == "first_norm" else "ln2.hook_normalized"], expected
        )


def test_the_embedding_is_a_place_where_it_is_the_stream():
    target = build("llama")
    value = observe(target, {"e": hook_place(target, "hook_embed", WIDTH)}, TOKENS).values["e"]
    assert torch.equal(value, target.hidden_before(0, TOKENS))
    with pytest.raises(UnweaveError, match=r"take blocks\.0\.hook_resid_pre"):
        hook_place(build("gpt2"), "hook_embed", WIDTH)


def test_hooks_without_a_place_are_refused():
    llama, parallel = build("llama"), build("gpt_neox", use_parallel_residual=True)
    cases = [
        (llama, "blocks.1.ln2.hook_normalized", None, "inside an RMSNorm, before its weight"),
        (llama, "blocks.2.hook_resid_pre", None, "has blocks 0 to 1"),
        (llama, "blocks.1.attn.hook_q", None, "nearest: 'blocks.1.attn.hook_z'"),
        (llama, "hook_resid_post", None, "has no place here; nearest"),
        (llama, "blocks.1.attn.hook_z", 3, "of head 3 alone"),
        (parallel, "blocks.1.hook_resid_mid", None, "nothing is between them"),
    ]
    for target, hook, head, message in cases:
        with pytest.raises(UnweaveError, match=message):
            hook_place(target, hook, WIDTH, head)
    assert hook_place(parallel, "blocks.1.hook_mlp_out", WIDTH).module == "gpt_neox.layers.1.mlp"


def test_an_unknown_layout_is_refused_and_says_which_are_known():
    target = make_target(nn.Sequential(nn.Embedding(4, 3), nn.Linear(3, 4)), None, "other", check=False)
    with pytest.raises(UnweaveError, match="not known for model type 'None', only for arcee, gemma"):
        hook_place(target, "blocks.0.hook_resid_post", 3)


@pytest.mark.parametrize(
    ("kind", "name", "module"),
    [
        ("gpt_neox", "layers.1.mlp", "gpt_neox.layers.1.mlp"),
        ("gpt_neox", "gpt_neox.layers.1.mlp", "gpt_neox.layers.1.mlp"),
        ("llama", "layers.1", "model.layers.1"),
        ("llama", "model.layers.1.mlp", "model.layers.1.mlp"),
        ("gpt2", "h.1.attn", "transformer.h.1.attn"),
        ("llama", "gpt_neox.layers.1.mlp", "model.layers.1.mlp"),
    ],
)
def test_modules_are_found_under_the_prefix_of_this_target(kind, name, module):
    assert module_place(build(kind), name, "output", WIDTH).module == module


def test_a_module_that_is_not_there_is_refused_with_the_nearest():
    with pytest.raises(UnweaveError, match=r"nearest: 'model\.layers\.1\.mlp'"):
        module_place(build("llama"), "model.layers.1.mpl", "output", WIDTH)
