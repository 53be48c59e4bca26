"""A network that adds modulo a prime, whose answer is known: circles of a few frequencies.

Source of the task, the training and the circles: Nanda et al., "Progress measures for grokking via mechanistic
interpretability", 2023; of an MLP in the place of the transformer: Gromov, "Grokking modular arithmetic", 2023.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from unweave.base.errors import UnweaveError
from unweave.base.progress import Progress
from unweave.base.seeds import torch_generator
from unweave.shapes.worlds.training import described, fit, kept

KIND = "modular-addition"
BETAS = (0.9, 0.98)


@dataclass(frozen=True)
class AdditionConfig:
    """A network for a + b modulo ``modulus``, and how it is trained; the default takes half a minute of one core."""

    modulus: int = 59
    """A prime, so that every frequency goes through all numbers."""
    width: int = 8
    """Of the embedding and of the stream before the unembedding: 64 hold five to seven circles, 8 two to four."""
    hidden: int = 256
    trained_on: float = 0.7
    """Share of all pairs; the others are held out."""
    steps: int = 2000
    learning_rate: float = 3e-3
    weight_decay: float = 1.0
    """Of all matrices. Without it the pairs are learnt by heart."""
    seed: int = 0

    def __post_init__(self) -> None:
        prime = self.modulus > 4 and all(self.modulus % each for each in range(2, math.isqrt(self.modulus) + 1))
        if not prime:
            raise UnweaveError(f"modulus is {self.modulus}: give a prime of 5 or more, such as 59 or 113")
        if not 0 < self.trained_on < 1:
            raise UnweaveError(f"trained_on is {self.trained_on}: give a share of the pairs, such as 0.7")
        if min(self.width, self.hidden, self.steps) < 1 or self.learning_rate <= 0 or self.weight_decay < 0:
            raise UnweaveError(
                f"width {self.width}, hidden {self.hidden}, {self.steps} steps, learning rate {self.learning_rate}, "
                f"weight decay {self.weight_decay}: give 1 or more of the first three, above 0, and 0 or more"
            )


class AdditionNetwork(nn.Module):
    """Embeddings of both numbers side by side, one hidden layer, a stream of their width, an unembedding; no biases."""

    def __init__(self, config: AdditionConfig) -> None:
        super().__init__()
        modulus, width, hidden = config.modulus, config.width, config.hidden
        self.embedding = nn.Embedding(modulus, width)
        self.into = nn.Linear(2 * width, hidden, bias=False)
        self.out = nn.Linear(hidden, width, bias=False)
        self.unembedding = nn.Linear(width, modulus, bias=False)
        generator = torch_generator(config.seed, "modular addition", "start")
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.normal_(0, 1 / math.sqrt(parameter.shape[1]), generator=generator)

    def neurons(
        self, first: Float[Tensor, "*n width"], second: Float[Tensor, "*n width"]
    ) -> Float[Tensor, "*n hidden"]:
        """The hidden layer, from two embeddings."""
        return self.into(torch.cat([first, second], -1)).relu()

    def forward(self, first: Int[Tensor, "*n"], second: Int[Tensor, "*n"]) -> Float[Tensor, "*n modulus"]:
        """Logits of the sum."""
        return self.unembedding(self.out(self.neurons(self.embedding(first), self.embedding(second))))


def pairs(modulus: int) -> tuple[Int[Tensor, " n"], Int[Tensor, " n"]]:
    """All pairs of numbers below ``modulus``."""
    return tuple(torch.cartesian_prod(torch.arange(modulus), torch.arange(modulus)).T)  # type: ignore[return-value]


def held_out_pairs(config: AdditionConfig) -> Int[Tensor, " n"]:
    """Indices into ``pairs`` that are not trained on."""
    return _order(config)[_trained(config) :].sort().values


def train(config: AdditionConfig, progress: Progress | None = None, checkpoint: Path | None = None) -> AdditionNetwork:
    """A network trained on whole batches by AdamW, the rate falling by a cosine.

    A rate that stays makes the loss jump up again every few hundred steps. Goes on from ``checkpoint`` where there is
    one.
    """
    network = AdditionNetwork(config)
    chosen = _order(config)[: _trained(config)]
    first, second = (each[chosen] for each in pairs(config.modulus))
    answers = (first + second) % config.modulus
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, betas=BETAS
    )
    fit(
        network, optimiser, partial(_rate, config), lambda _: cross_entropy(network(first, second), answers),
        config.steps, described(KIND, config), checkpoint, progress,
    )  # fmt: skip
    return network.eval()


def load_or_train(
    config: AdditionConfig | None = None, progress: Progress | None = None, folder: Path | None = None
) -> AdditionNetwork:
    """The network of these settings from the cache folder (or ``folder``), trained now if it is not there."""
    config = config or AdditionConfig()
    return kept(KIND, config, AdditionNetwork(config), lambda checkpoint: train(config, progress, checkpoint), folder)


def held_out_accuracy(network: AdditionNetwork, config: AdditionConfig) -> float:
    """The share of held-out pairs that are added right; chance is one in ``modulus``."""
    rows = held_out_pairs(config)
    first, second = (each[rows] for each in pairs(config.modulus))
    with torch.no_grad():
        said = network(first, second).argmax(-1)
    return float((said == (first + second) % config.modulus).float().mean())


def _order(config: AdditionConfig) -> Int[Tensor, " n"]:
    return torch.randperm(config.modulus**2, generator=torch_generator(config.seed, "modular addition", "held out"))


def _trained(config: AdditionConfig) -> int:
    return round(config.trained_on * config.modulus**2)


def _rate(config: AdditionConfig, number: int) -> float:
    return config.learning_rate * min(1.0, (number + 1) / 10) * (0.5 + 0.5 * math.cos(math.pi * number / config.steps))
