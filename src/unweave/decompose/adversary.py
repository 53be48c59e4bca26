"""The adversary: masks that climb the reconstruction error, fresh each time or kept from step to step (VPD, A5)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unweave.base.errors import UnweaveError
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


def check_reach(scope: str, sources: Sources, rows: tuple[int, ...], step: int) -> None:
    """Raises ``UnweaveError`` when sources that are kept from step to step do not fit the rows of this step's batch."""
    for source in sources.values():
        if tuple(source.shape[:-1]) != SCOPES[scope](rows, len(source)):
            raise UnweaveError(
                f"the batch of step {step + 1} has rows of shape {tuple(rows)}, and sources={scope!r} are kept for "
                f"{tuple(source.shape[:-1])}: give every step a batch of one shape, or set sources to shared or pooled"
            )


def deal_sources(
    scope: str, sources: Sources, key: Int[Tensor, ""], samples: Int[Tensor, " n"]
) -> dict[str, Float[Tensor, "n *inner c_plus_1"]]:
    """Each sample's sources; from a pool each sample draws one vector.

    Drawn by a product with a one-hot matrix: its gradient is a product too, the same on every device and run.
    """
    if scope == "batch":
        # A part of the step's samples has a part of the sources, those of its samples.
        return {site: s if len(s) == len(samples) else s[samples.to(s.device)] for site, s in sources.items()}
    if scope != "pooled":
        return dict(sources)
    pool = len(next(iter(sources.values())))
    drawn = (draws.uniforms(key, samples) * pool).long()
    dealt = torch.nn.functional.one_hot(drawn, pool).to(torch.float32)
    return {
        site: (dealt.to(source.device) @ source.flatten(1)).view(-1, *source.shape[1:])
        for site, source in sources.items()
    }


def signed_step(source: Tensor, gradient: Tensor, rate: float) -> Tensor:
    """One sign-gradient step uphill, kept in [0, 1] (the evaluation attack, and the fresh adversary of training)."""
    return (source.detach() + rate * gradient.sign()).clamp(0, 1)


def attack(
    slopes: Callable[[Sequence[Tensor]], Sequence[Tensor]], sources: Mapping[str, Tensor], steps: int, rate: float
) -> dict[str, Tensor]:
    """``steps`` sign-gradient steps from where the sources are; ``slopes`` gives the gradients, in their order."""
    current = [source.detach() for source in sources.values()]
    for _ in range(steps):
        leaves = [source.requires_grad_() for source in current]
        with torch.enable_grad():
            gradients = slopes(leaves)
        current = [signed_step(source, gradient, rate) for source, gradient in zip(leaves, gradients, strict=True)]
    return dict(zip(sources, current, strict=True))
