"""A two-layer attention-only transformer that learns induction: ``... s m ... s`` is continued with m.

Text is words in which each follows from the one before and from the sequence's tag (log probabilities of the two add
up, which is what attention alone can learn). In every other sequence a special token s stands three times; what follows
it the first time is any word, and the same word follows it again. Source of the model: the induction-head toy of the
SPD repository, where one special token is copied among random ones; the text around it is this project's own, so that
there is something that removing the circuit must not change.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, scaled_dot_product_attention

from unweave.base.seeds import torch_generator
from unweave.decompose.batches import Batches

WORDS, TAGS, LENGTH = 16, 4, 16
SPECIAL = WORDS + TAGS
WIDTH, HEADS = 48, 2
SPREAD = 1.5
"""Standard deviation of the log probabilities, of a word's and of a tag's alike."""
PLACES = ((2, 6), (8, 12))
"""Where s stands the first and the second time; the third is the end."""
STEPS, RATE, BATCH = 1500, 3e-3, 256


class Attention(nn.Module):
    """Causal heads with one matrix each for all queries, keys, values and outputs, without biases."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(4))

    def forward(self, x: Float[Tensor, "n t d"]) -> Float[Tensor, "n t d"]:
        q, k, v = (matrix(x).unflatten(-1, (HEADS, -1)).transpose(1, 2) for matrix in (self.q, self.k, self.v))
        return self.o(scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2))


class Induction(nn.Module):
    """Logits of the next word at every position: embeddings of tokens and positions, two layers, an unembedding."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        generator = torch_generator(seed, "induction")
        self.tokens = nn.Embedding(SPECIAL + 1, WIDTH)
        self.positions = nn.Embedding(LENGTH, WIDTH)
        self.layers = nn.ModuleList(Attention() for _ in range(2))
        self.unembedding = nn.Linear(WIDTH, WORDS, bias=False)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.normal_(0, 1 / math.sqrt(WIDTH), generator=generator)

    def forward(self, tokens: Int[Tensor, "n t"]) -> Float[Tensor, "n t words"]:
        stream = self.tokens(tokens) + self.positions.weight[: tokens.shape[1]]
        for layer in self.layers:
            stream = stream + layer(stream)
        return self.unembedding(stream)


def transitions(seed: int) -> Float[Tensor, "tags words words"]:
    """Probabilities of the next word by tag and word."""
    generator = torch_generator(seed, "induction text")
    word, tag = torch.randn(1, WORDS, WORDS, generator=generator), torch.randn(TAGS, 1, WORDS, generator=generator)
    return (SPREAD * (word + tag)).softmax(-1)


def sequences(batch: int, seed: int, purpose: str = "text", repeats: bool = True) -> Batches:
    """Windows of a tag and fifteen words; in the odd rows s stands three times, and the same word follows it.

    Without ``repeats`` any word follows it each time: text with s in it and no induction.
    """
    cumulative = transitions(seed).cumsum(-1)

    def draw(step: int) -> Int[Tensor, "batch 16"]:
        generator = torch_generator(seed, purpose, step)
        special = torch.arange(batch) % 2 == 1
        tag = torch.randint(TAGS, (batch,), generator=generator)
        places = [torch.randint(low, high, (batch,), generator=generator) for low, high in PLACES]
        after = torch.randint(WORDS, (2, batch), generator=generator)
        after = after[:1].expand(2, -1) if repeats else after
        columns = [WORDS + tag, torch.randint(WORDS, (batch,), generator=generator)]
        while len(columns) < LENGTH:
            draws = torch.rand(batch, 1, generator=generator)
            before = torch.where(columns[-1] < WORDS, columns[-1], 0)
            word = (draws > cumulative[tag, before]).sum(-1).clamp_max(WORDS - 1)
            for place, follows in zip(places, after, strict=True):
                word = torch.where(special & (place == len(columns)), SPECIAL, word)
                word = torch.where(special & (place == len(columns) - 1), follows, word)
            columns.append(word)
        columns[-1] = torch.where(special, SPECIAL, columns[-1])
        return torch.stack(columns, 1)

    return draw


def answers(tokens: Int[Tensor, "n t"]) -> Int[Tensor, " n"]:
    """What followed s the first time; -1 where there is no s."""
    special = tokens == SPECIAL
    following = tokens.gather(1, special.long().argmax(-1, keepdim=True) + 1)[:, 0]
    return torch.where(special.any(-1), following, -1)


def wanted(tokens: Int[Tensor, "n t"], repeats: bool = True) -> Int[Tensor, "n t"]:
    """The next word at every position, with ``repeats`` the answer at the end; -1 where nothing (or s) is asked for."""
    end = answers(tokens) if repeats else torch.full((len(tokens),), -1)
    following = torch.cat([tokens[:, 1:], end[:, None]], 1)
    return torch.where(following < WORDS, following, -1)


def trained(seed: int, repeats: bool = True, steps: int = STEPS) -> Induction:
    """Trains on the next word everywhere with AdamW, the rate falling by a cosine."""
    made = Induction(seed)
    optimiser = torch.optim.AdamW(made.parameters(), lr=RATE, weight_decay=0.01, fused=True)
    batches = sequences(BATCH, seed, "training", repeats)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = RATE * min(1.0, step / 100) * 0.5 * (1 + math.cos(math.pi * step / steps))
        tokens = batches(step)
        loss = cross_entropy(made(tokens).flatten(0, 1), wanted(tokens, repeats).flatten(), ignore_index=-1)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return made
