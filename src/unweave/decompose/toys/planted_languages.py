"""Several Markov languages in one network that is built, not trained, so that its pieces are known exactly.

A sequence opens with its language's tag. Each word opens a neuron in every language (``word``), and the tag keeps those
of its own language (``language``), by a product; the neuron that is left stands for a pair of word and language and
writes the logarithms of that language's transition probabilities (``down``). The true subcomponents are one a word, one
a language and one a pair. Each matrix sees one of the three: where a matrix sees word and language added up, before a
threshold, pieces for words and for languages do together what pieces for pairs do, and neither is the truth.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unweave.base.seeds import numpy_generator, torch_generator
from unweave.decompose.batches import Batches

WORDS, LANGUAGES, LENGTH = 8, 4, 12
FALL = 0.5
"""Each next word is so much less probable than the one before it in the order of probability."""


def transitions(seed: int) -> Float[Tensor, "languages words words"]:
    """Probabilities of the next word by language and word.

    All rows and all columns hold the same eight numbers, arranged in a random Latin square for each language: every
    pair of word and language is then equally frequent and equally hard to predict, so that none is too rare or too
    flat to need a subcomponent of its own.
    """
    generator = numpy_generator(seed, "planted languages")
    profile = FALL ** np.arange(WORDS)
    squares = []
    for _ in range(LANGUAGES):
        rows, columns = generator.permutation(WORDS), generator.permutation(WORDS)
        squares.append((rows[:, None] + columns) % WORDS)
    return torch.as_tensor((profile / profile.sum())[np.stack(squares)], dtype=torch.float32)


class PlantedLanguages(nn.Module):
    """Logits of what follows each word; words are 0 to 7, and the tag of language k, which comes first, is 8 + k."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        neurons, width = WORDS * LANGUAGES, WORDS + LANGUAGES
        self.language = nn.Linear(width, neurons, bias=False)
        self.word = nn.Linear(width, neurons, bias=False)
        self.down = nn.Linear(neurons, WORDS, bias=False)
        self.embedding = nn.Buffer(embedding(seed))
        for site, pieces in planted_pieces(seed).items():
            self.get_submodule(site).weight.data = pieces.sum(0)

    def forward(self, tokens: Int[Tensor, "n t"]) -> Float[Tensor, "n t_minus_1 words"]:
        tag, words = self.embedding[tokens[:, :1]], self.embedding[tokens[:, 1:]]
        # Attention on the first position, as a pattern that is given.
        return self.down(self.word(words) * self.language(tag.expand_as(words)))


def embedding(seed: int) -> Float[Tensor, "tokens width"]:
    """Directions of words and tags at right angles to each other, and to no axis."""
    width = WORDS + LANGUAGES
    return torch.linalg.qr(torch.randn(width, width, generator=torch_generator(seed, "planted embedding"))).Q


def planted_pieces(seed: int) -> dict[str, Float[Tensor, "pieces d_out d_in"]]:
    """The true rank-one pieces by site; those of pairs are numbered ``language * words + word``."""
    token = embedding(seed)
    neuron = torch.eye(WORDS * LANGUAGES).view(LANGUAGES, WORDS, -1)
    log = transitions(seed).log()
    log = log - log.mean(-1, keepdim=True)
    return {
        "language": torch.stack([torch.outer(neuron[k].sum(0), token[WORDS + k]) for k in range(LANGUAGES)]),
        "word": torch.stack([torch.outer(neuron[:, w].sum(0), token[w]) for w in range(WORDS)]),
        "down": torch.stack([torch.outer(log[k, w], neuron[k, w]) for k in range(LANGUAGES) for w in range(WORDS)]),
    }


def sequences(batch: int, seed: int, purpose: str = "text") -> Batches:
    """Windows of a tag and eleven words, languages in equal parts."""
    cumulative = transitions(seed).cumsum(-1)

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


def probed() -> dict[str, Int[Tensor, " pairs"]]:
    """The piece of each site that a probe needs."""
    pair = torch.arange(WORDS * LANGUAGES)
    return {"language": pair // WORDS, "word": pair % WORDS, "down": pair}
