"""A two-layer attention-only transformer that learns induction: ``... s m ... s`` is continued with m.

Text is words in which each follows from the two before it and from the sequence's tag (log probabilities of the three
add up, which is what attention alone can learn). In every other sequence a special token s stands twice, at any two
places, and what follows it the first time, any word, follows it again. Source of the model: the induction-head toy of
the SPD repository, where one special token is copied among random ones; the text around it is this project's own, so
that the matrices of the circuit do something else as well, which taking out the circuit must not change.

The text leaves each layer one head's work and no other order of it: the first layer's head looks at the word before,
for all words alike, and that is how a word comes to know that s stood before it; the second's looks at the tag, and
from s at the word that knows this. Nothing else knows where s stood, as its places are drawn anew each time.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from unweave.base.seeds import torch_generator
from unweave.decompose.batches import Batches

WORDS, TAGS, LENGTH = 8, 4, 12
SPECIAL = WORDS + TAGS
WIDTH = 32
SPREAD = 1.2
"""Standard deviation of the log probabilities, of those of a tag, the last word and the one before it alike."""
PLACES = torch.tensor([(i, j) for i in range(2, LENGTH - 1) for j in range(i + 2, LENGTH - 1)])
"""Where s may stand the first and the second time; each pair is as frequent."""
STEPS, RATE, BATCH = 2000, 3e-3, 256
DECAY = 1.0
"""Weight decay of the heads' matrices: what training does not use must be gone, or it is taken apart as well."""
AFTER_SPECIAL = 10.0
"""What the word after s weighs in the loss. At 1 some seeds look at words in the other order and learn no induction."""


class Head(nn.Module):
    """One causal head without biases that may also look at nothing, whose score competes with those of the places."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(4))
        self.nothing = nn.Parameter(torch.zeros(1))

    def forward(self, x: Float[Tensor, "n t d"]) -> Float[Tensor, "n t d"]:
        scores = self.q(x) @ self.k(x).transpose(1, 2) / math.sqrt(WIDTH)
        future = torch.ones(scores.shape[1:], dtype=torch.bool).triu(1)
        scores = torch.cat([scores.masked_fill(future, -math.inf), self.nothing.expand(*x.shape[:2], 1)], -1)
        return self.o(scores.softmax(-1)[..., :-1] @ self.v(x))


class Induction(nn.Module):
    """Logits of the next word at every position: embeddings of tokens and positions, two layers, an unembedding."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        generator = torch_generator(seed, "induction")
        self.tokens = nn.Embedding(SPECIAL + 1, WIDTH)
        self.positions = nn.Embedding(LENGTH, WIDTH)
        self.layers = nn.ModuleList(Head() for _ in range(2))
        self.unembedding = nn.Linear(WIDTH, WORDS, bias=False)
        with torch.no_grad():
            for parameter in self.parameters():
                if parameter.dim() == 2:
                    parameter.normal_(0, 1 / math.sqrt(WIDTH), generator=generator)

    def forward(self, tokens: Int[Tensor, "n t"]) -> Float[Tensor, "n t words"]:
        stream = self.tokens(tokens) + self.positions.weight[: tokens.shape[1]]
        for layer in self.layers:
            stream = stream + layer(stream)
        return self.unembedding(stream)


def transitions(seed: int) -> Float[Tensor, "tags before last words"]:
    """Probabilities of the next word by tag, the word before the last and the last; s and tags say nothing: entry 8."""
    generator = torch_generator(seed, "induction text")
    tag = torch.randn(TAGS, 1, 1, WORDS, generator=generator)
    before, last = (
        torch.cat([torch.randn(WORDS, WORDS, generator=generator), torch.zeros(1, WORDS)]) for _ in range(2)
    )
    return (SPREAD * (tag + before[:, None] + last)).softmax(-1)


def sequences(batch: int, seed: int, purpose: str = "text", repeats: bool = True) -> Batches:
    """Windows of a tag and eleven words; in the odd rows s stands at two places, and the same word follows it.

    Without ``repeats`` any word follows it each time: text with s in it and no induction.
    """
    cumulative = transitions(seed).cumsum(-1)

    def draw(step: int) -> Int[Tensor, "batch 12"]:
        generator = torch_generator(seed, purpose, step)
        special = torch.arange(batch) % 2 == 1
        tag = torch.randint(TAGS, (batch,), generator=generator)
        places = PLACES[torch.randint(len(PLACES), (batch,), generator=generator)].T
        after = torch.randint(WORDS, (2, batch), generator=generator)
        after = after[:1].expand(2, -1) if repeats else after
        columns = [WORDS + tag, torch.randint(WORDS, (batch,), generator=generator)]
        while len(columns) < LENGTH:
            draws = torch.rand(batch, 1, generator=generator)
            before, last = (column.clamp_max(WORDS) for column in columns[-2:])
            word = (draws > cumulative[tag, before, last]).sum(-1).clamp_max(WORDS - 1)
            for place, follows in zip(places, after, strict=True):
                word = torch.where(special & (place == len(columns)), SPECIAL, word)
                word = torch.where(special & (place == len(columns) - 1), follows, word)
            columns.append(word)
        return torch.stack(columns, 1)

    return draw


def asked(tokens: Int[Tensor, "n t"]) -> tuple[Int[Tensor, " m"], Int[Tensor, " m"], Int[Tensor, " m"]]:
    """The rows with s, where it stands the second time, and the answer: what followed it the first time."""
    rows, places = (tokens == SPECIAL).nonzero(as_tuple=True)
    first, second = places.view(-1, 2).T
    return rows[::2], second, tokens[rows[::2], first + 1]


def wanted(tokens: Int[Tensor, "n t"]) -> Int[Tensor, "n t"]:
    """The next word at every position; -1 at the end and where s is next, which nothing tells."""
    following = torch.cat([tokens[:, 1:], torch.full((len(tokens), 1), SPECIAL)], 1)
    return torch.where(following < WORDS, following, -1)


def trained(seed: int, repeats: bool = True, steps: int = STEPS) -> Induction:
    """Trains on the next word everywhere with AdamW, the rate falling by a cosine."""
    made = Induction(seed)
    matrices = [parameter for parameter in made.layers.parameters() if parameter.dim() == 2]
    rest = [made.tokens.weight, made.positions.weight, made.unembedding.weight, *(head.nothing for head in made.layers)]
    decays = [{"params": matrices, "weight_decay": DECAY}, {"params": rest, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(decays, lr=RATE, fused=True)
    batches = sequences(BATCH, seed, "training", repeats)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = RATE * min(1.0, step / 100) * 0.5 * (1 + math.cos(math.pi * step / steps))
        tokens = batches(step)
        losses = cross_entropy(made(tokens).transpose(1, 2), wanted(tokens), ignore_index=-1, reduction="none")
        loss = torch.where(tokens == SPECIAL, AFTER_SPECIAL, 1.0).mul(losses).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return made
