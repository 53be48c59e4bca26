"""The numerics of a BatchTopK SAE in training: which latents a batch keeps, and what they cost.

Source: Bussmann, Leask and Nanda 2024 (arXiv 2412.06410); the loss of dead latents is of Gao et al. 2024 (arXiv
2406.04093, section A.2).
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import embedding_bag

from unweave.base.seeds import torch_generator

MEDIAN_STEPS = 20


@dataclass(frozen=True)
class Weights:
    """Both matrices hold a row a latent; rows of the decoder have length 1."""

    encoder: Float[Tensor, "c d"]
    encoder_bias: Float[Tensor, " c"]
    decoder: Float[Tensor, "c d"]
    bias: Float[Tensor, " d"]
    """What the decoder starts from, and what is taken from the input before it is encoded."""

    def named(self) -> dict[str, Tensor]:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def in_units(self, unit: float) -> Weights:
        """The same SAE for values that are ``unit`` times as large; its latents are too, its directions are not."""
        return replace(self, encoder_bias=self.encoder_bias * unit, bias=self.bias * unit)


class Kept(NamedTuple):
    """The latents that a batch keeps, one entry each, by token."""

    rows: Int[Tensor, " m"]
    latents: Int[Tensor, " m"]
    values: Float[Tensor, " m"]

    @property
    def least(self) -> float:
        """The smallest value that was kept; 0 where nothing was."""
        return float(self.values.min()) if len(self.values) else 0.0


class Losses(NamedTuple):
    """``error`` is the mean squared length of what the SAE misses of a token."""

    error: Float[Tensor, ""]
    auxiliary: Float[Tensor, ""]
    """What dead latents miss of that, as a share of its variance; 0 without dead latents."""
    kept: Kept


def start_weights(rows: Float[Tensor, "n d"], latents: int, seed: int) -> Weights:
    """Random unit directions, an encoder that is the decoder, and the geometric median of ``rows`` as bias."""
    directions = torch.randn(latents, rows.shape[1], generator=torch_generator(seed, "sae start"))
    directions = (directions / directions.norm(dim=1, keepdim=True)).to(rows.device)
    return Weights(
        directions.clone(), torch.zeros(latents, device=rows.device), directions, geometric_median(rows.float())
    )


def geometric_median(rows: Float[Tensor, "n d"]) -> Float[Tensor, " d"]:
    """The point of the least mean distance to all rows (Weiszfeld's steps from the mean)."""
    found = rows.mean(0)
    for _ in range(MEDIAN_STEPS):
        weights = 1 / (rows - found).norm(dim=1).clamp_min(1e-8)
        found = weights @ rows / weights.sum()
    return found


def products(weights: Weights, rows: Float[Tensor, "n d"]) -> Float[Tensor, "n c"]:
    """The encoder's products with its bias: what a latent would be if it were kept."""
    return torch.addmm(weights.encoder_bias, rows - weights.bias, weights.encoder.T)


def keep_largest(found: Float[Tensor, "n c"], k: int, above: float = 0.0) -> Kept:
    """The ``n k`` largest positive products of a batch, or all that are positive where there are fewer.

    ``above`` is a guess of a bound that more than ``n k`` of them exceed, which saves looking through the rest; a
    wrong guess costs time only.
    """
    count, flat = len(found) * k, found.flatten()
    candidates = (flat > max(above, 0.0)).nonzero().squeeze(1)
    if len(candidates) < count and above > 0:
        candidates = (flat > 0).nonzero().squeeze(1)
    if len(candidates) > count:
        candidates = candidates[flat[candidates].topk(count, sorted=False).indices].sort().values
    rows = torch.div(candidates, found.shape[1], rounding_mode="floor")
    return Kept(rows, candidates - rows * found.shape[1], flat[candidates])


def decoded(weights: Weights, kept: Kept, count: int) -> Float[Tensor, "n d"]:
    """What the kept latents of ``count`` tokens write, with the bias."""
    return _sums(kept.latents, kept.rows, kept.values, weights.decoder, count) + weights.bias


def losses(weights: Weights, rows: Float[Tensor, "n d"], k: int, dead: Int[Tensor, " e"], above: float = 0.0) -> Losses:
    """Both losses of a batch; gradients reach the weights, for the kept latents only.

    ``dead`` are the latents that the auxiliary loss is for: the d/2 of them with the largest products on each token.
    """
    with torch.no_grad():
        kept = keep_largest(products(weights, rows), k, above)
    values = _KeptProducts.apply(weights.encoder, weights.encoder_bias, weights.bias, rows, *kept)
    missed = rows - decoded(weights, kept._replace(values=values), len(rows))
    error = missed.square().sum(1).mean()
    if not len(dead):
        return Losses(error, error.new_zeros(()), kept)
    return Losses(error, _auxiliary(weights, rows, missed.detach(), dead), kept)


def _auxiliary(weights: Weights, rows: Tensor, missed: Tensor, dead: Tensor) -> Tensor:
    found = torch.addmm(weights.encoder_bias[dead], rows - weights.bias, weights.encoder[dead].T)
    most = max(rows.shape[1] // 2, 1)
    if len(dead) > most:
        least = found.detach().topk(most, dim=1, sorted=False).values.min(1, keepdim=True).values
        found = found * (found.detach() >= least)
    left = missed - torch.relu(found) @ weights.decoder[dead]
    variance = (missed - missed.mean(0)).square().sum(1).mean()
    return left.square().sum(1).mean() / variance.clamp_min(1e-12)


class _KeptProducts(torch.autograd.Function):
    """The kept products as a function of the encoder; its gradient is as sparse as they are."""

    @staticmethod
    def forward(ctx: Any, encoder: Tensor, encoder_bias: Tensor, bias: Tensor, inputs: Tensor, *kept: Tensor) -> Tensor:
        rows, latents, values = kept
        del encoder_bias
        ctx.save_for_backward(encoder, bias, inputs, rows, latents)
        return values.clone()

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        encoder, bias, inputs, rows, latents = ctx.saved_tensors
        (gradient,) = outer
        order = latents.argsort(stable=True)
        of_latent = _sums(rows[order], latents[order], gradient[order], inputs - bias, len(encoder))
        of_bias = torch.zeros_like(encoder[:, 0]).index_add(0, latents, gradient)
        return of_latent, of_bias, -(of_bias @ encoder), None, None, None, None


def _sums(picked: Tensor, into: Tensor, sizes: Tensor, table: Tensor, count: int) -> Float[Tensor, "n d"]:
    """Row i is the sum of ``sizes * table[picked]`` over the entries whose ``into``, in order, is i."""
    starts = torch.searchsorted(into.contiguous(), torch.arange(count, device=into.device))
    return embedding_bag(picked, table, starts, mode="sum", per_sample_weights=sizes)
