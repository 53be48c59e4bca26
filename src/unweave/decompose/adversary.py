"""The adversary: masks that climb the reconstruction error, fresh each time or kept from step to step (VPD, A5)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unweave.base.seeds import torch_generator
from unweave.decompose import draws

# A source holds one number in [0, 1] for every subcomponent of a site and one, the last, for its delta.
Sources = Mapping[str, Float[Tensor, "..."]]


SCOPES: dict[str, Callable[[tuple[int, ...], int], tuple[int, ...]]] = {
    "shared": lambda rows, pool: (1,) * len(rows),
    "position": lambda rows, pool: (1, *rows[1:]),
    "batch": lambda rows, pool: rows,
    "pooled": lambda rows, pool: (pool, *[1] * (len(rows) - 1)),
}
"""How far a source vector reaches, as the leading dimensions of a source for rows of a shape (samples, positions): one
for all rows; one a position; one a sample and position; a pool of vectors, dealt to the samples anew at every step."""


def start_sources(
    scope: str, rows: tuple[int, ...], pool: int, counts: Mapping[str, int], seed: int, purpose: str
) -> dict[str, Tensor]:
    """Uniform sources for sites of ``counts`` subcomponents."""
    leading = SCOPES[scope](rows, pool)
    return {
        site: torch.rand(*leading, count + 1, generator=torch_generator(seed, purpose, site))
        for site, count in counts.items()
    }


def deal_sources(
    scope: str, sources: Sources, key: Int[Tensor, ""], samples: Int[Tensor, " n"]
) -> dict[str, Float[Tensor, "n *inner c_plus_1"]]:
    """Each sample's sources; from a pool each sample draws one vector.

    Drawn by a product with a one-hot matrix: its gradient is a product too, the same on every device and run.
    """
    if scope != "pooled":
        return dict(sources)
    pool = len(next(iter(sources.values())))
    drawn = (draws.uniforms(key, samples) * pool).long()
    dealt = torch.nn.functional.one_hot(drawn, pool).to(torch.float32)
    return {site: (dealt @ source.flatten(1)).view(-1, *source.shape[1:]) for site, source in sources.items()}


def signed_step(source: Tensor, gradient: Tensor, rate: float) -> Tensor:
    """One sign-gradient step uphill, kept in [0, 1] (the evaluation attack, and the fresh adversary of training)."""
    return (source.detach() + rate * gradient.sign()).clamp(0, 1)


def attack(
    climb: Callable[[Sequence[Tensor]], Tensor], sources: Mapping[str, Tensor], steps: int, rate: float
) -> dict[str, Tensor]:
    """``steps`` sign-gradient steps on ``climb``, a function of the sources in their order, from where they are."""
    current = [source.detach() for source in sources.values()]
    for _ in range(steps):
        leaves = [source.requires_grad_() for source in current]
        with torch.enable_grad():
            gradients = torch.autograd.grad(climb(leaves), leaves)
        current = [signed_step(source, gradient, rate) for source, gradient in zip(leaves, gradients, strict=True)]
    return dict(zip(sources, current, strict=True))
