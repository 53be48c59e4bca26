"""Fused matrices: several of a model's matrices stored as one, and which rows belong to which."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

FUSED_NAMES = (
    "c_attn",
    "fc_qkv",
    "gate_up_proj",
    "in_proj",
    "in_proj_qkvz",
    "input_linear",
    "kv_b_proj",
    "qkv",
    "qkv_proj",
    "query_key_value",
    "Wi",
    "Wqkv",
)
"""What transformers calls modules that hold several matrices in one (version 5.24, its ``nn.Linear`` and Conv1D)."""


@dataclass(frozen=True)
class Block:
    """One matrix's rows in a fused one: ``start`` to ``stop`` in each of ``groups`` equal parts of its outputs.

    One group is a run of rows. GPT-NeoX and BLOOM store query, key and value head by head: a group is a head there.
    """

    groups: int
    start: int
    stop: int

    @property
    def width(self) -> int:
        return self.groups * (self.stop - self.start)

    def take(self, values: Tensor, dim: int = -1) -> Tensor:
        """The block's part along a dimension: a view where there is one group, else a copy."""
        inner = dim + 1 if dim >= 0 else dim
        parts = values.unflatten(dim, (self.groups, -1)).narrow(inner, self.start, self.stop - self.start)
        return parts.flatten(inner - 1, inner)

    def put(self, values: Float[Tensor, "*n d"], new: Float[Tensor, "*n d_block"]) -> Float[Tensor, "*n d"]:
        """``values`` with the block's part of the last dimension replaced; nothing is changed in place."""
        parts, inside = values.unflatten(-1, (self.groups, -1)), new.unflatten(-1, (self.groups, -1))
        return torch.cat([parts[..., : self.start], inside, parts[..., self.stop :]], -1).flatten(-2)

    def write(self, weight: Float[Tensor, "d d_in"], new: Float[Tensor, "d_block d_in"]) -> None:
        """Puts the block's rows into the fused matrix, in place."""
        parts = weight.unflatten(0, (self.groups, -1)).narrow(1, self.start, self.stop - self.start)
        parts.copy_(new.unflatten(0, (self.groups, -1)))


Layout = tuple[int, Sequence[tuple[str, int]]]
"""Groups, and the blocks of a group in order with their widths."""


def fused_blocks(config: Any, name: str, d_out: int) -> dict[str, Block] | None:
    """The blocks of the module called ``name`` by their own names; None where it is not known to be a fused matrix.

    Empty where its name says that it is fused and this version does not know how, or its width is not what its config
    says. ``config`` is the model's; a module without a ``model_type`` in it is taken as it is.
    """
    kind, last = getattr(config, "model_type", None), name.rpartition(".")[2]
    if not kind or last not in FUSED_NAMES:
        return None
    layout = LAYOUTS.get(kind, {}).get(last)
    if layout is None:
        return {}
    groups, parts = layout(config)
    if groups * sum(width for _, width in parts) != d_out:
        return {}
    found, start = {}, 0
    for block, width in parts:
        found[block] = Block(groups, start, start + width)
        start += width
    return found


def _by_part(config: Any) -> Layout:
    return 1, [(name, config.hidden_size) for name in "qkv"]


def _by_head(config: Any) -> Layout:
    return config.num_attention_heads, [(name, config.hidden_size // config.num_attention_heads) for name in "qkv"]


def _grouped(config: Any) -> Layout:
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    keys = config.num_key_value_heads * width
    return 1, [("q", config.num_attention_heads * width), ("k", keys), ("v", keys)]


def _bigcode(config: Any) -> Layout:
    if not config.multi_query:
        return _by_head(config)
    width = config.hidden_size // config.num_attention_heads
    return 1, [("q", config.hidden_size), ("k", width), ("v", width)]


def _codegen(config: Any) -> Layout:
    # Four parts, from the four accelerators that it was trained on, and the value before the key.
    return 4, [(name, config.hidden_size // 4) for name in "qvk"]


def _gated(config: Any) -> Layout:
    return 1, [("gate", config.intermediate_size), ("up", config.intermediate_size)]


LAYOUTS: dict[str, dict[str, Callable[[Any], Layout]]] = {
    "bloom": {"query_key_value": _by_head},
    "codegen": {"qkv_proj": _codegen},
    "glm": {"gate_up_proj": _gated},
    "glm4": {"gate_up_proj": _gated},
    "gpt2": {"c_attn": _by_part},
    "gpt_bigcode": {"c_attn": _bigcode},
    "gpt_neox": {"query_key_value": _by_head},
    "mpt": {"Wqkv": _by_part},
    "phi3": {"qkv_proj": _grouped, "gate_up_proj": _gated},
}
"""By model type and module name; every entry has a test that disturbs one block and sees where it acts."""
