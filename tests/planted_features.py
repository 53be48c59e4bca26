"""A target whose subcomponents are known by construction: the tokens, the word before, the language or the place each
fires on, and the tokens it makes the target say. Among them are some that fire at random, which no label fits.

The one matrix reads, side by side, the token, the token before it, which language's own words have been most frequent
so far, the place in the window, and a number that is as good as random. Its pieces are written down, not trained.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import planted
import torch
from torch import Tensor, nn

from unweave.corpora.text import Corpus
from unweave.decompose.decomposition import Decomposition, SiteSubcomponents
from unweave.models.target import make_target
from unweave.read.features import subcomponent_dictionary
from unweave.read.harvest import HarvestConfig, harvest

SITE = "mix"
LABELS = planted.LABELS
CONFIG = HarvestConfig(length=32, batch=16, pool=96, partners=4)
FREQUENT = 7
"""The token that the target says anyway, on every seventh place or so."""
RANDOM = 12


def own(label):
    """Token numbers of a language's own words."""
    start = 2 + planted.SHARED + planted.OWN * LABELS.index(label)
    return tuple(range(start, start + planted.OWN))


@dataclass(frozen=True)
class Truth:
    """What one piece fires on; ``tokens`` None is any, and ``random`` is nothing that text tells."""

    tokens: tuple[int, ...] | None = None
    before: tuple[int, ...] | None = None
    label: str | None = None
    first: int | None = None
    """Only on so many first tokens of a window."""
    random: int | None = None
    promotes: tuple[int, ...] = ()
    suppresses: tuple[int, ...] = ()


TRUTHS = (
    Truth(tokens=(2, 3, 4), promotes=(20, 21)),
    Truth(tokens=(5,), promotes=(22,)),
    Truth(tokens=tuple(range(10, 22)), suppresses=(FREQUENT,)),
    Truth(tokens=(30, 31), promotes=(50, 51, 52)),
    Truth(tokens=own("qc")[:6], promotes=(24,)),
    Truth(before=(8, 9), promotes=(25,)),
    Truth(before=(12, 13, 14), promotes=(26, 27)),
    Truth(before=own("qa")[:8]),
    Truth(tokens=(15, 16, 17, 18), before=tuple(range(20, 50))),
    Truth(label="qa"),
    Truth(label="qb", tokens=tuple(range(2, 26))),
    Truth(label="qd", tokens=own("qd")),
    Truth(first=4),
    *(Truth(random=number) for number in range(RANDOM)),
)


class Planted(nn.Module):
    """Logits (n, t, words) from one matrix of what stands at a token."""

    def __init__(self) -> None:
        super().__init__()
        size = len(planted.words())
        self.mix = nn.Linear(2 * size + len(LABELS) + 2, size)
        self.size = size

    def read(self, tokens: Tensor) -> Tensor:
        """The matrix's input (n, t, width)."""
        here = torch.nn.functional.one_hot(tokens, self.size).double()
        before = torch.cat([torch.zeros_like(here[:, :1]), here[:, :-1]], 1)
        counts = torch.stack([here[..., list(own(label))].sum(-1).cumsum(1) for label in LABELS], -1)
        most = (counts == counts.max(-1, keepdim=True).values) & (counts > counts.min(-1, keepdim=True).values)
        place = torch.arange(tokens.shape[1]).expand(tokens.shape)[..., None]
        # A hash of all tokens so far: the same text gives the same number, and no single token says anything of it.
        powers = torch.tensor([pow(31, power, 1_000_003) for power in range(tokens.shape[1])])
        chance = (tokens * powers).cumsum(1) * 7919 % 1_000_003 / 1_000_003
        return torch.cat([here, before, most.double(), place, chance[..., None]], -1).float()

    def forward(self, tokens: Tensor) -> Tensor:
        return self.mix(self.read(tokens))


def importance(truth: Truth, size: int) -> Callable[[Tensor], Tensor]:
    """1 where the truth says that the piece fires, from the matrix's input."""

    def fires(x: Tensor) -> Tensor:
        found = torch.ones(x.shape[:-1], dtype=torch.bool, device=x.device)
        if truth.tokens is not None:
            found &= x[..., list(truth.tokens)].sum(-1) > 0
        if truth.before is not None:
            found &= x[..., [size + token for token in truth.before]].sum(-1) > 0
        if truth.label is not None:
            found &= x[..., 2 * size + LABELS.index(truth.label)] > 0
        if truth.first is not None:
            found &= x[..., -2] < truth.first
        if truth.random is not None:
            found &= (x[..., -1] * (truth.random + 3) * 17) % 1 < 0.05
        return found

    return fires


def directions(truth: Truth, size: int) -> tuple[Tensor, Tensor]:
    """What the piece reads (d_in,) and writes (d_out,)."""
    v, u = torch.zeros(2 * size + len(LABELS) + 2), torch.zeros(size)
    v[list(truth.tokens or ())] = 1
    if truth.before is not None and truth.tokens is None:
        v[[size + token for token in truth.before]] = 1
    if truth.label is not None:
        v[2 * size + LABELS.index(truth.label)] = 1
    u[list(truth.promotes)] = 5
    u[list(truth.suppresses)] = -6
    return v, u


def target():
    """The target, its one matrix the sum of its pieces."""
    module = Planted()
    pieces = [directions(truth, module.size) for truth in TRUTHS]
    with torch.no_grad():
        module.mix.weight.copy_(sum(torch.outer(u, v) for v, u in pieces))
        module.mix.bias.zero_()
        module.mix.bias[FREQUENT] = 3.4
    return make_target(module, planted.make_tokenizer(), "planted features", check=False)


def dictionary(made):
    """The pieces as a dictionary of the target, with importances that are the truth."""
    size = made.module.size
    v, u = (torch.stack(each) for each in zip(*(directions(truth, size) for truth in TRUTHS), strict=True))
    told = [importance(truth, size) for truth in TRUTHS]
    pieces = SiteSubcomponents(SITE, v.T, u, lambda x: torch.stack([fires(x) for fires in told], -1).float())
    return subcomponent_dictionary(Decomposition({SITE: pieces}, made.identity.digest, made.name), made, "planted")


def corpus(lines=160, labels=LABELS):
    """Text of four languages, a document each."""
    return Corpus("planted", {"selection": {label: (planted.text(label, lines, 5),) for label in labels}})


def planted_harvest(folder, config=CONFIG):
    """The harvest of all pieces on the text."""
    made = target()
    return harvest(made, dictionary(made), corpus(), config, out=folder)
