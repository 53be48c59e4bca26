"""Two networks of two small matrices each, one of words with positions and one of feature rows, and their data."""

from __future__ import annotations

import torch
from torch import nn

from unweave.base.seeds import torch_generator
from unweave.decompose.config import WholeModelConfig
from unweave.models.target import make_target

WORDS, WIDTH, INNER, LENGTH = 12, 8, 10, 5
FEATURES, NARROW = 6, 5


class Words(nn.Module):
    """Logits (n, t, 12) of words; every position sees the mean of those before it, and one matrix has a bias."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(WORDS, WIDTH)
        self.up = nn.Linear(WIDTH, INNER)
        self.down = nn.Linear(INNER, WIDTH, bias=False)

    def forward(self, tokens):
        return self.with_sites(tokens, self.up, self.down)

    def with_sites(self, tokens, up, down):
        """The same forward with other functions in the place of the two matrices."""
        stream = self.embedding(tokens)
        ahead = torch.arange(1, tokens.shape[1] + 1, device=tokens.device)[:, None]
        stream = stream + stream.cumsum(1) / ahead
        stream = stream + down(torch.relu(up(stream)))
        return stream @ self.embedding.weight.T


class Features(nn.Module):
    """Six features through five and back."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(FEATURES, NARROW, bias=False)
        self.second = nn.Linear(NARROW, FEATURES)

    def forward(self, x):
        return torch.relu(self.second(self.first(x)))


def _target(module, name):
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            # Large enough for predictions to hang on the matrices.
            size = 2 * parameter.shape[-1] ** -0.5 if parameter.dim() > 1 else 0.3
            parameter.copy_(size * torch.randn(parameter.shape, generator=generator))
    return make_target(module, None, name, check=False)


def words():
    """A target of words; nothing may change it."""
    return _target(Words(), "tiny words")


def features():
    """A target of feature rows; nothing may change it."""
    return _target(Features(), "tiny features")


def sentences(batch=6, seed=0):
    """Batches (n, 5) of words, drawn anew at each step."""
    return lambda step: torch.randint(WORDS, (batch, LENGTH), generator=torch_generator(seed, "sentences", step))


def rows(batch=16, seed=0):
    """Batches (n, 6) of sparse features, drawn anew at each step."""

    def draw(step):
        generator = torch_generator(seed, "rows", step)
        present = torch.rand(batch, FEATURES, generator=generator) < 0.4
        return torch.rand(batch, FEATURES, generator=generator) * present

    return draw


def singular_pieces(weight):
    """V (d_in, r) and U (r, d_out) that add up to a matrix exactly."""
    left, sizes, right = torch.linalg.svd(weight, full_matrices=False)
    return right.T.contiguous(), sizes[:, None] * left.T


CONFIG = WholeModelConfig(
    subcomponents=12,
    start="inputs",
    faithfulness_steps=0,
    faithfulness=10.0,
    hidden=8,
    depth=1,
    heads=2,
    pool=3,
    steps=20,
    sparsity=1e-3,
    learning_rate=1e-2,
    frequency_reference=32,
    prune_at=(),
)
"""Small enough for a step of a few milliseconds."""
