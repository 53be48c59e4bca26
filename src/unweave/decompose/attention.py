"""Attention for the importance transformer: every position sees every other, with rotary positions."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

ROTARY_BASE = 10_000.0


def attend(
    x: Float[Tensor, "n t d"],
    qkv: Float[Tensor, "3 heads d width"],
    out: Float[Tensor, "heads width d"],
) -> Float[Tensor, "n t d"]:
    """Multi-head attention in both directions, without biases. Rows without positions (n, d) are their own sequence."""
    single = x.dim() == 2
    if single:
        x = x[:, None]
    q, k, v = torch.einsum("ntd,jhdw->jnhtw", x, qkv)
    mixed = torch.nn.functional.scaled_dot_product_attention(rotated(q), rotated(k), v)
    found = torch.einsum("nhtw,hwd->ntd", mixed, out)
    return found[:, 0] if single else found


def rotated(x: Float[Tensor, "n heads t width"]) -> Float[Tensor, "n heads t width"]:
    """Rotary position embedding: halves of a head turn as pairs, slower from pair to pair."""
    half = x.shape[-1] // 2
    turns = ROTARY_BASE ** (-torch.arange(half, device=x.device, dtype=x.dtype) / half)
    angle = torch.arange(x.shape[-2], device=x.device, dtype=x.dtype)[:, None] * turns
    first, second = x[..., :half], x[..., half:]
    return torch.cat([first * angle.cos() - second * angle.sin(), first * angle.sin() + second * angle.cos()], -1)
