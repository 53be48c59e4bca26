"""Several Markov languages in one network that is built, not trained, so that its pieces are known exactly.

A sequence opens with its language's tag. One matrix (``language``) carries the tag to every position; a neuron for each
pair of word and language fires on that pair alone (``up``) and writes the logarithms of that language's transition
probabilities (``down``). The true subcomponents are one a language in the first matrix, one a pair in the other two.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unweave.base.seeds import numpy_generator, torch_generator
from unweave.decompose.batches import Batches

WORDS, LANGUAGES, LENGTH = 8, 4, 12
CONCENTRATION = 0.5
"""Of the Dirichlet distribution of transition probabilities: well below 1 makes a language predictable."""


def transitions(seed: int) -> Float[Tensor, "languages words words"]:
    """Probabilities of the next word by language and word."""
    generator = numpy_generator(seed, "planted languages")
    drawn = generator.dirichlet([CONCENTRATION] * WORDS, size=(LANGUAGES, WORDS))
    return torch.as_tensor(drawn, dtype=torch.float32).clamp_min(1e-3)


class PlantedLanguages(nn.Module):
    """Logits of the next word at every position. Words are 0 to 7, the tag of language k is 8 + k."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        neurons, width = WORDS * LANGUAGES, WORDS + 2 * LANGUAGES
        self.language = nn.Linear(width, width, bias=False)
        self.up = nn.Linear(width, neurons)
        self.down = nn.Linear(neurons, WORDS, bias=False)
        self.embedding = nn.Buffer(torch.eye(WORDS + LANGUAGES, width))
        for site, pieces in planted_pieces(seed).items():
            self.get_submodule(site).weight.data = pieces.sum(0)
        self.up.bias.data.fill_(-1.0)  # both the word and the language are needed

    def forward(self, tokens: Int[Tensor, "n t"]) -> Float[Tensor, "n t words"]:
        stream = self.embedding[tokens]
        # Attention on the first position, as a pattern that is given.
        stream = stream + self.language(stream[:, :1].expand_as(stream))
        return self.down(torch.relu(self.up(stream)))


def planted_pieces(seed: int) -> dict[str, Float[Tensor, "pieces d_out d_in"]]:
    """The true rank-one pieces by site; pieces of pairs are numbered ``language * words + word``."""
    width, pairs = WORDS + 2 * LANGUAGES, [(k, w) for k in range(LANGUAGES) for w in range(WORDS)]
    basis = torch.eye(width)
    neuron = torch.eye(len(pairs))
    log = transitions(seed).log()
    log = log - log.mean(-1, keepdim=True)
    tag, carried = basis[WORDS : WORDS + LANGUAGES], basis[WORDS + LANGUAGES :]
    return {
        "language": torch.stack([torch.outer(carried[k], tag[k]) for k in range(LANGUAGES)]),
        "up": torch.stack([torch.outer(neuron[k * WORDS + w], basis[w] + carried[k]) for k, w in pairs]),
        "down": torch.stack([torch.outer(log[k, w], neuron[k * WORDS + w]) for k, w in pairs]),
    }


def sequences(batch: int, seed: int, purpose: str = "text") -> Batches:
    """Windows of a tag and eleven words, languages in equal parts."""
    cumulative = transitions(seed)
    cumulative = (cumulative / cumulative.sum(-1, keepdim=True)).cumsum(-1)

    def draw(step: int) -> Int[Tensor, "batch 12"]:
        generator = torch_generator(seed, purpose, step)
        language = torch.arange(batch) % LANGUAGES
        language = language[torch.randperm(batch, generator=generator)]
        columns = [WORDS + language, torch.randint(WORDS, (batch,), generator=generator)]
        while len(columns) < LENGTH:
            draws = torch.rand(batch, 1, generator=generator)
            follows = (draws > cumulative[language, columns[-1]]).sum(-1).clamp_max(WORDS - 1)
            columns.append(follows)
        return torch.stack(columns, 1)

    return draw


def probes() -> Int[Tensor, "pairs 2"]:
    """A tag and a word for every pair, numbered as the pieces are."""
    return torch.tensor([[WORDS + k, w] for k in range(LANGUAGES) for w in range(WORDS)])
