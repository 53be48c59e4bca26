"""A residual MLP that computes ``x + ReLU(x)`` for more features than it has neurons.

Source: Bushnaq et al. 2025 and SPD (arXiv 2506.20790, section 4.2). Features enter and leave by a fixed random
embedding of unit vectors; the matrices of each layer are trained and taken apart.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import normalize

from unweave.base.seeds import torch_generator
from unweave.decompose.batches import Batches

STEPS, RATE, BATCH = 3000, 3e-3, 1024
COMPUTED = 0.1


class Layer(nn.Module):
    """``relu(x W_in^T) W_out^T``, without biases."""

    def __init__(self, width: int, neurons: int) -> None:
        super().__init__()
        self.mlp_in = nn.Linear(width, neurons, bias=False)
        self.mlp_out = nn.Linear(neurons, width, bias=False)

    def forward(self, x: Float[Tensor, "n width"]) -> Float[Tensor, "n width"]:
        return self.mlp_out(torch.relu(self.mlp_in(x)))


class ResidualMLP(nn.Module):
    """Layers of ``neurons`` between a random embedding of ``features`` in ``width`` dimensions and its transpose."""

    def __init__(self, features: int, width: int, neurons: int, layers: int, seed: int) -> None:
        super().__init__()
        generator = torch_generator(seed, "residual mlp")
        self.embedding = nn.Buffer(normalize(torch.randn(features, width, generator=generator), dim=-1))
        self.layers = nn.ModuleList(Layer(width, neurons) for _ in range(layers))
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.normal_(0, 1 / math.sqrt(parameter.shape[1]), generator=generator)

    def forward(self, x: Float[Tensor, "n features"]) -> Float[Tensor, "n features"]:
        return self.through(self.layers, x)

    def through(self, layers: Iterable[nn.Module], x: Float[Tensor, "n features"]) -> Float[Tensor, "n features"]:
        """The output with these layers alone."""
        stream = x @ self.embedding
        for layer in layers:
            stream = stream + layer(stream)
        return stream @ self.embedding.T


def computed_features(
    network: ResidualMLP, probes: Float[Tensor, "features features"]
) -> list[Bool[Tensor, " features"]]:
    """For each layer the features that it computes: where they are alone, the output misses it.

    Without it the output's squared error is at least ``COMPUTED`` of that without all layers. Training deals features
    to layers as it likes, and one that a layer hardly helps with needs no piece there.
    """
    layers = list(network.layers)
    with torch.no_grad():
        whole = network(probes)
        without_all = (network.through([], probes) - whole).square().sum(-1)
        missed = [
            (network.through(layers[:k] + layers[k + 1 :], probes) - whole).square().sum(-1) for k in range(len(layers))
        ]
    return [error >= COMPUTED * without_all for error in missed]


def signed_features(features: int, batch: int, seed: int, purpose: str = "features") -> Batches:
    """Rows in which each feature is, with probability ``1 / features``, uniform in [-1, 1], and 0 otherwise.

    One feature a row on average, whatever their number: for the published 100 features the probability is 0.01.
    """

    def draw(step: int) -> Float[Tensor, "batch features"]:
        generator = torch_generator(seed, purpose, step)
        present = torch.rand(batch, features, generator=generator) < 1 / features
        return (2 * torch.rand(batch, features, generator=generator) - 1) * present

    return draw


def trained(features: int, width: int, neurons: int, layers: int, seed: int, steps: int = STEPS) -> ResidualMLP:
    """Trains the layers on ``x + relu(x)`` with AdamW, the rate falling by a cosine."""
    made = ResidualMLP(features, width, neurons, layers, seed)
    optimiser = torch.optim.AdamW(made.parameters(), lr=RATE, weight_decay=0.01, fused=True)
    batches = signed_features(features, BATCH, seed, "training")
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = RATE * 0.5 * (1 + math.cos(math.pi * step / steps))
        x = batches(step)
        loss = (made(x) - x - torch.relu(x)).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return made
