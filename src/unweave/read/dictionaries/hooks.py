"""Names of places in other libraries, as places of a Hugging Face target."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from unweave.base.errors import UnweaveError, nearest
from unweave.models.target import Target
from unweave.read.features import Place

_HOOK = re.compile(r"blocks\.(\d+)\.(.+)")
_LAYER = re.compile(r"(?:.*\.)?(?:layers|h|blocks)\.(\d+)(?:\.(.+))?")


@dataclass(frozen=True)
class Layout:
    """What a block's modules are called; a path inside the block each."""

    attention: str
    heads: str
    """The matrix that attention's heads are multiplied by."""
    first_norm: str
    second_norm: str
    mlp: str
    activated: str
    """The matrix that reads the MLP's activations."""
    gate: str
    """The matrix whose output goes through the activation function."""
    attention_out: str = ""
    """What leaves attention for the residual stream, where that is not the module's own output."""
    mlp_out: str = ""
    scaled: bool = False
    """The norms are LayerNorms, whose TransformerLens hook has weight and bias in it; an RMSNorm's has not."""


_LLAMA = Layout(
    "self_attn",
    "self_attn.o_proj",
    "input_layernorm",
    "post_attention_layernorm",
    "mlp",
    "mlp.down_proj",
    "mlp.gate_proj",
)
_GEMMA2 = Layout(
    "self_attn",
    "self_attn.o_proj",
    "input_layernorm",
    "pre_feedforward_layernorm",
    "mlp",
    "mlp.down_proj",
    "mlp.gate_proj",
    "post_attention_layernorm",
    "post_feedforward_layernorm",
)
LAYOUTS = {
    "arcee": Layout(
        "self_attn",
        "self_attn.o_proj",
        "input_layernorm",
        "post_attention_layernorm",
        "mlp",
        "mlp.down_proj",
        "mlp.up_proj",
    ),
    "gemma": _LLAMA,
    "gemma2": _GEMMA2,
    "gemma3_text": _GEMMA2,
    "gpt2": Layout("attn", "attn.c_proj", "ln_1", "ln_2", "mlp", "mlp.c_proj", "mlp.c_fc", scaled=True),
    "gpt_neox": Layout(
        "attention",
        "attention.dense",
        "input_layernorm",
        "post_attention_layernorm",
        "mlp",
        "mlp.dense_4h_to_h",
        "mlp.dense_h_to_4h",
        scaled=True,
    ),
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": _LLAMA,
}
"""By transformers' model type; every entry has a test of its places against what the block adds up."""

Side = Literal["input", "output"]


def hook_place(target: Target, hook: str, width: int, head: int | None = None) -> Place:
    """Where a TransformerLens hook point of ``width`` values is in a target.

    ``blocks.3.hook_resid_post`` is what leaves block 3, ``blocks.3.attn.hook_z`` what its output matrix reads, heads
    side by side. Raises ``UnweaveError`` for a hook that has no place, with the reason or the nearest that have one.
    """
    if head is not None:
        raise UnweaveError(f"{hook!r} is of head {head} alone, and only whole places are read")
    if hook == "hook_embed":
        if _kind(target) not in ("gpt2", "gemma", "gemma2", "gemma3_text"):
            return Place(_embedding(target), "output", width)
        raise UnweaveError(f"{hook!r}: this target adds to its embedding or scales it; take blocks.0.hook_resid_pre")
    matched = _HOOK.fullmatch(hook)
    layout = _layout(target, hook)
    if matched is None:
        raise UnweaveError(f"hook {hook!r} has no place here; {nearest(hook, _names(target, layout))}")
    layer, rest = int(matched[1]), matched[2]
    if layer >= target.depth:
        raise UnweaveError(f"hook {hook!r} is of block {layer}, and {target.name} has blocks 0 to {target.depth - 1}")
    if not layout.scaled and rest.endswith(".hook_normalized"):
        raise UnweaveError(
            f"{hook!r} stands inside an RMSNorm, before its weight, and no module of {target.name} hands that over"
        )
    places = _places(target, layout)
    if rest not in places:
        if rest in _MIDDLE:
            raise UnweaveError(
                f"{hook!r}: attention and MLP of this target read the same residual stream, so nothing is between them"
            )
        raise UnweaveError(f"hook {hook!r} has no place here; {nearest(hook, _names(target, layout, layer))}")
    inside, side = places[rest]
    return Place(f"{target.blocks}.{layer}.{inside}".removesuffix("."), side, width)


def module_place(target: Target, name: str, side: Side, width: int) -> Place:
    """Where a module by a path such as ``layers.3.mlp`` (sparsify's, from the base model) or a whole one is.

    Raises ``UnweaveError`` for a module that is not there.
    """
    modules = [path for path, _ in target.module.named_modules() if path]
    if name in modules:
        return Place(name, side, width)
    inner = getattr(target.module, "base_model_prefix", "")
    if f"{inner}.{name}" in modules:
        return Place(f"{inner}.{name}", side, width)
    layer = _LAYER.fullmatch(name)
    if layer is not None and target.blocks:
        # Written for the same model under another prefix (a base model without its head, or with one).
        path = ".".join(part for part in (target.blocks, layer[1], layer[2]) if part)
        if path in modules:
            return Place(path, side, width)
    raise UnweaveError(f"module {name!r} is not in {target.name}; {nearest(name, modules)}")


_MIDDLE = ("hook_resid_mid", "hook_mlp_in")


def _places(target: Target, layout: Layout) -> dict[str, tuple[str, Side]]:
    """Module inside a block, and its side, by the hook's name inside the block."""
    found: dict[str, tuple[str, Side]] = {
        "hook_resid_pre": ("", "input"),
        "hook_resid_post": ("", "output"),
        "hook_attn_out": (layout.attention_out or layout.attention, "output"),
        "hook_mlp_out": (layout.mlp_out or layout.mlp, "output"),
        "attn.hook_z": (layout.heads, "input"),
        "mlp.hook_in": (layout.mlp, "input"),
        "mlp.hook_pre": (layout.gate, "output"),
        "mlp.hook_post": (layout.activated, "input"),
    }
    if not _parallel(target):
        found |= dict.fromkeys(_MIDDLE, (layout.second_norm, "input"))
    if layout.scaled:
        found |= {
            "ln1.hook_normalized": (layout.first_norm, "output"),
            "ln2.hook_normalized": (layout.second_norm, "output"),
        }
    return found


def _names(target: Target, layout: Layout, layer: int | None = None) -> list[str]:
    layers = range(target.depth) if layer is None else [layer]
    return [f"blocks.{each}.{name}" for each in layers for name in _places(target, layout)]


def _layout(target: Target, hook: str) -> Layout:
    kind = _kind(target)
    if kind not in LAYOUTS or target.blocks is None:
        raise UnweaveError(
            f"hook {hook!r}: where TransformerLens' hooks are is not known for model type {kind!r}, only for "
            f"{', '.join(LAYOUTS)}: add its layout to read/dictionaries/hooks.py"
        )
    return LAYOUTS[kind]


def _kind(target: Target) -> str:
    return str(getattr(getattr(target.module, "config", None), "model_type", None))


def _parallel(target: Target) -> bool:
    return bool(getattr(getattr(target.module, "config", None), "use_parallel_residual", False))


def _embedding(target: Target) -> str:
    weight = target.module.get_input_embeddings()  # type: ignore[operator]
    return next(name for name, module in target.module.named_modules() if module is weight)
