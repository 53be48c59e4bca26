"""Dropping subcomponents that are not used, in the middle of a run: every tensor that is theirs gets shorter."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor

MULTIPLE = 16
"""Large counts stay a multiple of it, because matrix products of odd widths are slow."""
LARGE = 128
_STATES = ("/exp_avg", "/exp_avg_sq")


def kept_subcomponents(usage: Float[Tensor, " c"], below: float, rank: int) -> Int[Tensor, " kept"]:
    """Numbers of the subcomponents to keep, in order: those used more than ``below``, and no fewer than ``rank``.

    Fewer than the matrix's rank cannot add up to it: faithfulness would then push on pieces that can do nothing about
    it (a polyglot run that went below lost 2 % of its matrices that way, at the price of its loss).
    """
    multiple = MULTIPLE if len(usage) >= LARGE else 1
    used = max(rank, int((usage > below).sum()))
    kept = min(len(usage), math.ceil(used / multiple) * multiple)
    return usage.topk(kept).indices.sort().values


def shortened(
    tensors: Mapping[str, Tensor], keep: Mapping[str, Int[Tensor, " kept"]], per_subcomponent: Collection[str]
) -> dict[str, Tensor]:
    """A run's tensors, optimiser state included, with only the subcomponents to keep of each site."""
    last = {f"{site}/{name}": site for site in keep for name in ("V", *(f"importance.{n}" for n in per_subcomponent))}
    last |= {f"usage:{site}": site for site in keep}
    first = {f"{site}/U": site for site in keep}
    sources = {f"sources:{site}": site for site in keep}
    found = {}
    for name, tensor in tensors.items():
        owner = name
        if name.endswith(_STATES):
            owner = name.split(":", 1)[1].rsplit("/", 1)[0]
        if owner in last:
            tensor = tensor[..., keep[last[owner]]]
        elif owner in first:
            tensor = tensor[keep[first[owner]]]
        elif owner in sources:
            kept = keep[sources[owner]]
            delta = kept.new_tensor([tensor.shape[-1] - 1])
            tensor = tensor[..., torch.cat([kept, delta])]
        found[name] = tensor.contiguous()
    return found
