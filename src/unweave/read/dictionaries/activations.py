"""What a sparse coder does with its encoder's products: the latents it keeps, and their sizes."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Protocol, Self

import torch
from jaxtyping import Float
from torch import Tensor


class Activation(Protocol):
    """Latents [*n, c], 0 where inactive, from the encoder's products [*n, c] before any bias."""

    def __call__(self, products: Float[Tensor, "*n c"]) -> Float[Tensor, "*n c"]: ...

    def tensors(self) -> dict[str, Tensor]: ...

    def to(self, device: torch.device) -> Self: ...


class _Stored:
    """What every activation does with its tensors."""

    def tensors(self) -> dict[str, Tensor]:
        found = {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]
        return {name: value for name, value in found.items() if isinstance(value, Tensor)}

    def to(self, device: torch.device) -> Self:
        moved = {name: value.to(device) for name, value in self.tensors().items()}
        return replace(self, **moved)  # type: ignore[type-var]


@dataclass(frozen=True)
class ReLU(_Stored):
    """``relu(h + b)``."""

    bias: Float[Tensor, " c"]

    def __call__(self, products: Float[Tensor, "*n c"]) -> Float[Tensor, "*n c"]:
        return torch.relu(products + self.bias)


@dataclass(frozen=True)
class JumpReLU(_Stored):
    """``relu(h + b)`` where that is above each latent's threshold (Rajamanoharan et al. 2024, arXiv 2407.14435)."""

    bias: Float[Tensor, " c"]
    threshold: Float[Tensor, " c"]

    def __call__(self, products: Float[Tensor, "*n c"]) -> Float[Tensor, "*n c"]:
        found = products + self.bias
        return torch.relu(found) * (found > self.threshold)


@dataclass(frozen=True)
class Gated(_Stored):
    """``relu(h exp(r) + b_mag)`` where ``h + b_gate`` is positive (Rajamanoharan et al. 2024, arXiv 2404.16014)."""

    gate: Float[Tensor, " c"]
    magnitude: Float[Tensor, " c"]
    scale: Float[Tensor, " c"]
    """r."""

    def __call__(self, products: Float[Tensor, "*n c"]) -> Float[Tensor, "*n c"]:
        return torch.relu(products * self.scale.exp() + self.magnitude) * (products + self.gate > 0)


@dataclass(frozen=True)
class TopK(_Stored):
    """The ``k`` largest of ``h + b`` on each token, negative ones cut to 0 (Gao et al. 2024, arXiv 2406.04093).

    ``signed``: the largest by size instead, and their signs stay.
    """

    bias: Float[Tensor, " c"]
    k: int
    signed: bool = False

    def __call__(self, products: Float[Tensor, "*n c"]) -> Float[Tensor, "*n c"]:
        found = products + self.bias
        kept = (found.abs() if self.signed else found).topk(self.k, dim=-1, sorted=False).indices
        values = found.gather(-1, kept)
        return torch.zeros_like(found).scatter(-1, kept, values if self.signed else torch.relu(values))


@dataclass(frozen=True)
class GroupMax(_Stored):
    """The largest latent of each of ``k`` runs of neighbours, negative ones cut to 0 (sparsify)."""

    bias: Float[Tensor, " c"]
    k: int

    def __call__(self, products: Float[Tensor, "*n c"]) -> Float[Tensor, "*n c"]:
        groups = torch.relu(products + self.bias).unflatten(-1, (self.k, -1))
        best = groups.max(-1, keepdim=True)
        return torch.zeros_like(groups).scatter(-1, best.indices, best.values).flatten(-2)
