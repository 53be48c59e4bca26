"""Toy models of superposition: sparse features pressed through a narrow layer and recovered, ``ReLU(W^T W x + b)``.

Source: Elhage et al. 2022; the sizes, data and pass rules are those of SPD (arXiv 2506.20790, section 4.1).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unweave.base.seeds import torch_generator
from unweave.decompose.batches import Batches

PROBABILITY = 0.05
STEPS, RATE = 10_000, 5e-3


class Superposition(nn.Module):
    """``features`` numbers into ``width`` and back; with ``identity`` a fixed identity matrix stands between."""

    def __init__(self, features: int, width: int, identity: bool) -> None:
        super().__init__()
        self.linear1 = nn.Linear(features, width, bias=False)
        self.hidden = nn.Linear(width, width, bias=False) if identity else None
        self.linear2 = nn.Linear(width, features)
        if self.hidden is not None:
            nn.init.eye_(self.hidden.weight)

    def forward(self, x: Float[Tensor, "n features"]) -> Float[Tensor, "n features"]:
        hidden = self.linear1(x)
        if self.hidden is not None:
            hidden = self.hidden(hidden)
        return torch.relu(self.linear2(hidden))


def sparse_features(features: int, batch: int, seed: int, purpose: str = "features") -> Batches:
    """Rows in which each feature is, with probability 0.05, uniform in [0, 1], and 0 otherwise."""

    def draw(step: int) -> Float[Tensor, "batch features"]:
        generator = torch_generator(seed, purpose, step)
        present = torch.rand(batch, features, generator=generator) < PROBABILITY
        return torch.rand(batch, features, generator=generator) * present

    return draw


def trained(features: int, width: int, identity: bool, batch: int, seed: int, steps: int = STEPS) -> Superposition:
    """Trains the tied matrix and bias with AdamW, and gives both layers a copy of the matrix."""
    generator = torch_generator(seed, "superposition")
    W = (torch.randn(width, features, generator=generator) / width**0.5).requires_grad_()
    b = torch.zeros(features, requires_grad=True)
    optimiser = torch.optim.AdamW([W, b], lr=RATE, weight_decay=0.01, fused=True)
    batches = sparse_features(features, batch, seed, "training")
    for step in range(steps):
        x = batches(step)
        loss = (torch.relu(x @ W.T @ W + b) - x).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    made = Superposition(features, width, identity)
    with torch.no_grad():
        made.linear1.weight.copy_(W)
        made.linear2.weight.copy_(W.T)
        made.linear2.bias.copy_(b)
    return made
