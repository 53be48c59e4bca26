"""The importance function: from a site's input to how much each subcomponent is needed."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from unweave.decompose.numerics import lower_leaky


class Importance(NamedTuple):
    """A two-layer MLP shared by the site's subcomponents: ``logits = gelu(x/scale A + a) B + b``."""

    scale: Float[Tensor, ""]
    A: Float[Tensor, "d_in hidden"]
    a: Float[Tensor, " hidden"]
    B: Float[Tensor, "hidden c"]
    b: Float[Tensor, " c"]

    def logits(self, x: Float[Tensor, "*n d_in"]) -> Float[Tensor, "*n c"]:
        return importance_logits(x / self.scale, self.A, self.a, self.B, self.b)

    def __call__(self, x: Float[Tensor, "*n d_in"]) -> Float[Tensor, "*n c"]:
        """Causal importances in [0, 1], per token and subcomponent."""
        return lower_leaky(self.logits(x))


def importance_logits(
    x: Float[Tensor, "*n d_in"],
    A: Float[Tensor, "d_in hidden"],
    a: Float[Tensor, " hidden"],
    B: Float[Tensor, "hidden c"],
    b: Float[Tensor, " c"],
) -> Float[Tensor, "*n c"]:
    """The MLP on an already scaled input."""
    return torch.nn.functional.gelu(x @ A + a) @ B + b


def init_importance(d_in: int, hidden: int, count: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Kaiming-scaled weights; output biases at 0.5, so that every subcomponent starts half on and can fall."""
    return {
        "A": torch.randn(d_in, hidden, generator=generator) * (2 / d_in) ** 0.5,
        "a": torch.zeros(hidden),
        "B": torch.randn(hidden, count, generator=generator) * (1 / hidden) ** 0.5,
        "b": torch.full((count,), 0.5),
    }
