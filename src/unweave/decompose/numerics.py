"""The mathematics of a decomposition as functions of tensors. Sources: SPD (arXiv 2506.20790) and VPD (May 2026)."""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from unweave.decompose.compiled import fused


class _LowerLeaky(torch.autograd.Function):
    """clamp(z, 0, 1), with slope 0.01 below 0 for gradients that want z to rise (VPD, section A3)."""

    @staticmethod
    def forward(ctx: Any, z: Tensor) -> Tensor:
        ctx.save_for_backward(z)
        return z.clamp(0, 1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (z,), (gradient,) = ctx.saved_tensors, gradients
        inside = torch.where(z <= 0, 0.01 * gradient.clamp(max=0), gradient)
        return torch.where(z > 1, torch.zeros_like(gradient), inside)


def lower_leaky(z: Float[Tensor, "*n c"]) -> Float[Tensor, "*n c"]:
    """The hard sigmoid that builds masks: never negative, and a dead subcomponent can still come back."""
    return _LowerLeaky.apply(z)  # type: ignore[return-value]


def upper_leaky(z: Float[Tensor, "*n c"]) -> Float[Tensor, "*n c"]:
    """The hard sigmoid of the penalties: 0 below 0, z in [0, 1], slope 0.01 above, so that it can come down again."""
    return torch.where(z > 1, 1 + 0.01 * (z - 1), z.clamp(min=0))


def masked_output(
    x: Float[Tensor, "n d_in"],
    wx: Float[Tensor, "n d_out"],
    V: Float[Tensor, "d_in c"],
    U: Float[Tensor, "c d_out"],
    mask: Float[Tensor, "n c"],
    delta: Float[Tensor, "n 1"] | float,
) -> Float[Tensor, "n d_out"]:
    """The site's output with every subcomponent scaled by its mask and the delta by its own.

    ``sum_c m_c u_c (v_c . x) + d (W - UV) x = ((m - d) * xV) U + d W x``: the delta is never built.
    """
    return gated(x @ V, mask, delta) @ U + delta * wx


@fused
def gated(
    activations: Float[Tensor, "*n c"], mask: Float[Tensor, "*n c"], delta: Float[Tensor, "*n 1"] | float
) -> Float[Tensor, "*n c"]:
    """What a site's subcomponents hand on: their activations by mask, less what the delta's share of W x holds."""
    return (mask - delta) * activations


@fused
def divergence_kl(outputs: Float[Tensor, "*n v"], wanted: Float[Tensor, "*n v"]) -> Float[Tensor, "*n"]:
    """KL from the target's prediction to the masked one, nats a token, from logits."""
    base = wanted.log_softmax(-1)
    return (base.exp() * (base - outputs.log_softmax(-1))).sum(-1)


def divergence_mse(outputs: Float[Tensor, "*n d"], wanted: Float[Tensor, "*n d"]) -> Float[Tensor, "*n"]:
    """Mean squared difference over the output's entries: SPD's divergence for models that predict no tokens."""
    return (outputs - wanted).square().mean(-1)


DIVERGENCES = {"kl": divergence_kl, "mse": divergence_mse}


def relative_error(output: Float[Tensor, "n d"], wanted: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
    """Squared error over squared norm, token by token, so that no token owns the loss by its size."""
    return (output - wanted).square().sum(-1) / wanted.square().sum(-1).clamp_min(1e-8)


def smooth_l0(g: Float[Tensor, "*n c"], gamma: float | Tensor) -> Float[Tensor, "*n c"]:
    """``g^2 (1 + gamma^2) / (g^2 + gamma^2)``: 0 at 0, 1 at 1, and a count of non-zeros as gamma goes to 0."""
    square = g.square()
    return square * (1 + gamma**2) / (square + gamma**2)


def lp_norm(g: Float[Tensor, "*n c"], p: float | Tensor) -> Float[Tensor, "*n c"]:
    """``g^p`` for g >= 0 (SPD and VPD's own penalty, p falling from 2); 1e-12 inside keeps its slope at 0 finite."""
    return (g + 1e-12) ** p


PENALTIES = {"smooth-l0": smooth_l0, "lp": lp_norm}
"""Penalties of one importance; the second argument, gamma or p, is what a schedule lowers."""


def frequency_penalty(rate: Float[Tensor, " c"], reference: int) -> Float[Tensor, ""]:
    """``sum_c f log2(1 + a f)`` with f the mean of psi over tokens and a the reference count (batch-invariant form)."""
    return (rate * torch.log2(1 + reference * rate)).sum()


def frequency_tangent(rate: Float[Tensor, " c"], whole: Float[Tensor, " c"], reference: int) -> Float[Tensor, ""]:
    """The frequency penalty's tangent at ``whole``, the rates of all tokens, taken at ``rate``, those of some of them.

    The parts' tangents average to the penalty of all tokens, and their gradients to its gradient, because the parts'
    rates average to ``whole``; the penalty itself is not linear, and parts of it would not.
    """
    slope = torch.log2(1 + reference * whole) + reference * whole / ((1 + reference * whole) * math.log(2))
    return frequency_penalty(whole, reference) + (slope * (rate - whole)).sum()


def faithfulness(
    W: Float[Tensor, "d_out d_in"], V: Float[Tensor, "d_in c"], U: Float[Tensor, "c d_out"]
) -> Float[Tensor, ""]:
    """Squared norm of the delta over that of the matrix."""
    return (W - (V @ U).T).square().sum() / W.square().sum()


def root_mean_square_norm(x: Float[Tensor, "*n d"]) -> Float[Tensor, "*n d"]:
    """RMSNorm without a learned scale."""
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6)


def fill_masks(importance: Float[Tensor, "n c"], source: Float[Tensor, "n c"]) -> Float[Tensor, "n c"]:
    """``m = g + (1 - g) r``: what is important stays on, the rest is free between 0 and 1."""
    return importance + (1 - importance) * source


def keep_largest(strength: Float[Tensor, "*n c"], count: int) -> Float[Tensor, "*n c"]:
    """Masks of 1 where a row's ``count`` largest entries are, and 0 elsewhere."""
    kept = strength.topk(min(count, strength.shape[-1]), dim=-1).indices
    return torch.zeros_like(strength).scatter(-1, kept, 1.0)
