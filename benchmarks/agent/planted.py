"""Small networks with a planted answer: which rank-one pieces carry which label, and what removing each one does.

A sequence is a tag and eleven words. Three stages in series decide, from the tag, which neurons stay open; a neuron
stands for a pair of label and word and writes that label's transition logarithms. Every stage is the sum of two
matrices, cut off at 0 and 1, and every matrix is the sum of eight rank-one pieces and small random ones, so that no
piece is without any effect. Nothing is trained, so what each piece carries is known, and what its removal does to every
label follows exactly from the transition probabilities.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import torch
from torch import Tensor, nn

from unweave.base.seeds import numpy_generator, torch_generator
from unweave.decompose.decomposition import Subcomponent
from unweave.edit.edits import Edit, FactorEdit, applied
from unweave.models.target import Target, make_target

LABELS = ("red", "green", "blue", "amber", "violet", "teal")
WORDS, PIECES, LENGTH = 8, 8, 12
STAGES = (("gate-a", "gate-b"), ("keep-a", "keep-b"), ("mask-a", "mask-b"))
SITES = tuple(site for stage in STAGES for site in stage)
FALL = 0.5
BLUR = 0.02
"""Size of what every piece reads and writes beside its own labels."""
LEVEL, HARM = 0.9, 0.05
"""The studies' bars: of ln V reached by the removed label, and of nats lost by the worst other one."""
STRENGTHS = (0.8, 0.6, 0.4, 0.3, 0.2, 0.1, 0.0, -0.2, -0.4, -0.6)


@dataclass(frozen=True)
class Carriers:
    """What each piece carries: ``amounts[site, piece, label]`` of the unit that the stage needs to be open."""

    amounts: np.ndarray

    def piece(self, site: str, index: int) -> np.ndarray:
        return self.amounts[SITES.index(site), index]


class Network(nn.Module):
    """Logits of what follows each word; words are 0 to 7, and the tag of label k, which comes first, is 8 + k."""

    def __init__(self, seed: int, carriers: Carriers) -> None:
        super().__init__()
        neurons, width = WORDS * len(LABELS), WORDS + len(LABELS)
        self.sites = nn.ModuleDict({site: nn.Linear(width, neurons, bias=False) for site in SITES})
        self.word = nn.Linear(width, neurons, bias=False)
        self.down = nn.Linear(neurons, WORDS, bias=False)
        token = torch.linalg.qr(torch.randn(width, width, generator=torch_generator(seed, "embedding"))).Q
        self.embedding = nn.Buffer(token)
        pieces = planted_pieces(seed, carriers)
        for site in SITES:
            self.sites[site].weight.data = sum(torch.outer(u, v) for u, v in pieces[site])  # type: ignore[assignment]
        neuron = torch.eye(neurons).view(len(LABELS), WORDS, -1)
        self.word.weight.data = sum(torch.outer(neuron[:, w].sum(0), token[w]) for w in range(WORDS))  # type: ignore[assignment]
        log = transitions(seed).log()
        log = log - log.mean(-1, keepdim=True)
        self.down.weight.data = log.flatten(0, 1).T.contiguous()

    def forward(self, tokens: Tensor) -> Tensor:
        tag, words = self.embedding[tokens[:, :1]], self.embedding[tokens[:, 1:]]
        open_ = torch.ones(())
        for stage in STAGES:
            # Attention on the tag, as a pattern that is given.
            open_ = open_ * sum(self.sites[site](tag.expand_as(words)) for site in stage).clamp(0, 1)
        return self.down(self.word(words) * open_)


def transitions(seed: int) -> Tensor:
    """Probabilities of the next word by label and word: the same eight numbers in a random Latin square each."""
    generator = numpy_generator(seed, "transitions")
    profile = FALL ** np.arange(WORDS)
    squares = []
    for _ in LABELS:
        rows, columns = generator.permutation(WORDS), generator.permutation(WORDS)
        squares.append((rows[:, None] + columns) % WORDS)
    return torch.as_tensor((profile / profile.sum())[np.stack(squares)], dtype=torch.float32)


def planted_pieces(seed: int, carriers: Carriers) -> dict[str, list[tuple[Tensor, Tensor]]]:
    """(u, v) of every piece by site: it reads the tags of its labels and writes their neurons, and a little more."""
    width, neurons = WORDS + len(LABELS), WORDS * len(LABELS)
    token = torch.linalg.qr(torch.randn(width, width, generator=torch_generator(seed, "embedding"))).Q
    neuron = torch.eye(neurons).view(len(LABELS), WORDS, -1).sum(1)
    found = {}
    for site in SITES:
        generator = torch_generator(seed, "pieces", site)
        pieces = []
        for index in range(PIECES):
            amounts = torch.as_tensor(carriers.piece(site, index), dtype=torch.float32)
            read = (amounts.sqrt()[:, None] * token[WORDS:]).sum(0) + BLUR * torch.randn(width, generator=generator)
            write = (amounts.sqrt()[:, None] * neuron).sum(0) + BLUR * torch.randn(neurons, generator=generator)
            pieces.append((write, read))
        found[site] = pieces
    return found


def sample(seed: int, label: int, windows: int, draw: int) -> Tensor:
    """Windows of a label's tag and eleven words of its chain."""
    cumulative = transitions(seed)[label].cumsum(-1)
    generator = torch_generator(seed, "text", label, draw)
    columns = [torch.full((windows,), WORDS + label), torch.randint(WORDS, (windows,), generator=generator)]
    while len(columns) < LENGTH:
        draws = torch.rand(windows, 1, generator=generator)
        columns.append((draws > cumulative[columns[-1]]).sum(-1).clamp_max(WORDS - 1))
    return torch.stack(columns, 1)


@dataclass
class Planted:
    """A network as a target, its pieces, and its exact measure."""

    seed: int
    scenario: str
    label: int
    carriers: Carriers
    target: Target
    pieces: dict[str, list[Subcomponent]]

    @cached_property
    def base(self) -> np.ndarray:
        """The exact cross-entropy of every label with nothing edited."""
        return self.exact()

    def edit(self, factors: dict[tuple[str, int], float], name: str = "edit") -> FactorEdit:
        """Factors on pieces by (site, index)."""
        chosen = [(self.pieces[site][index], factor) for (site, index), factor in factors.items()]
        return FactorEdit.on_pieces(chosen, self.target.identity.digest, name)

    def exact(self, edit: Edit | None = None) -> np.ndarray:
        """Cross-entropy of every label in nats, over the whole chain and not over a sample of it."""
        tokens = torch.tensor([[WORDS + k, w] for k in range(len(LABELS)) for w in range(WORDS)])
        with torch.no_grad():
            if edit is None:
                logits = self.target.module(tokens)
            else:
                with applied(self.target, edit):
                    logits = self.target.module(tokens)
        return self._losses(logits[:, 0].view(1, len(LABELS), WORDS, -1))[0]

    def exact_factors(self, site: str, index: int, factors: tuple[float, ...]) -> list[tuple[float, float]]:
        """The exact level of the planted label in ln V, and harm to the worst other one in nats, for each factor.

        The same as ``exact`` gives under the edit, without writing a weight for each.
        """
        module, piece = self.target.module, self.pieces[site][index]
        with torch.no_grad():
            tags, words = module.embedding[WORDS:], module.embedding[:WORDS]
            change = torch.tensor(factors)[:, None, None] - 1
            change = change * (tags @ piece.v)[None, :, None] * piece.u[None, None]
            open_ = torch.ones(())
            for stage in STAGES:
                total = sum(module.sites[one](tags) for one in stage)
                open_ = open_ * (total + (change if site in stage else 0.0)).clamp(0, 1)
            open_ = open_.expand(len(factors), -1, -1)
            logits = module.down(module.word(words)[None, None] * open_[:, :, None])
        after = self._losses(logits)
        others = [k for k in range(len(LABELS)) if k != self.label]
        levels, harms = after[:, self.label] / np.log(WORDS), (after - self.base)[:, others].max(1)
        return [(float(level), float(harm)) for level, harm in zip(levels, harms, strict=True)]

    def _losses(self, logits: Tensor) -> np.ndarray:
        # Rows and columns of a Latin square sum to the same, so that in the long run all words are equally frequent.
        loss = -(transitions(self.seed)[None] * logits.log_softmax(-1)).sum(-1)
        return loss.mean(-1).numpy().astype(np.float64)


def measured(
    planted: Planted, edit: Edit, windows: int, draw: int, shuffle: bool, label: int
) -> tuple[float, float, np.ndarray]:
    """Level and worst harm on a sample of text, and the change of every label; ``shuffle`` deals the text at random."""
    texts = [sample(planted.seed, k, windows, draw) for k in range(len(LABELS))]
    if shuffle:
        mixed = torch.cat(texts)
        order = torch.randperm(len(mixed), generator=torch_generator(planted.seed, "dealt", draw))
        texts = list(mixed[order].chunk(len(LABELS)))
    tokens = torch.cat(texts)
    before = _losses(planted.target, tokens)
    with applied(planted.target, edit):
        after = _losses(planted.target, tokens)
    means = after.view(len(LABELS), -1).mean(1).numpy()
    change = (after - before).view(len(LABELS), -1).mean(1).numpy().astype(np.float64)
    others = [k for k in range(len(LABELS)) if k != label]
    return float(means[label] / np.log(WORDS)), float(change[others].max()), change


def _losses(target: Target, tokens: Tensor) -> Tensor:
    with torch.no_grad():
        logits = target.module(tokens)
    return nn.functional.cross_entropy(logits[:, :-1].transpose(1, 2), tokens[:, 2:], reduction="none")


SCENARIOS = ("one", "several", "none")
"""How many single pieces remove the label without harm: one, two or three of which one harms least, or none."""


@lru_cache(maxsize=64)
def planted(seed: int) -> Planted:
    """The network of a seed: which label is planted, and how, follow from the seed."""
    generator = numpy_generator(seed, "scenario")
    scenario = SCENARIOS[int(generator.integers(len(SCENARIOS)))]
    label = int(generator.integers(len(LABELS)))
    for attempt in range(50):
        carriers = _carriers(numpy_generator(seed, "carriers", attempt), scenario, label)
        network = Network(seed, carriers)
        target = make_target(network, None, f"planted {seed}", check=False)
        pieces = {
            site: [Subcomponent(f"sites.{site}", index, u, v) for index, (u, v) in enumerate(found)]
            for site, found in planted_pieces(seed, carriers).items()
        }
        made = Planted(seed, scenario, label, carriers, target, pieces)
        if _as_planted(made):
            return made
    raise ValueError(f"network {seed} cannot be planted as {scenario!r}")


def _carriers(generator: np.random.Generator, scenario: str, label: int) -> Carriers:
    amounts = np.zeros((len(SITES), PIECES, len(LABELS)))
    others = [k for k in range(len(LABELS)) if k != label]
    free = {site: list(generator.permutation(PIECES)) for site in range(len(SITES))}

    def place(stage: int, carried: dict[int, float]) -> None:
        site = 2 * stage + int(generator.integers(2))
        if not free[site]:
            site = 2 * stage + (1 - site % 2)
        piece = free[site].pop()
        for one, amount in carried.items():
            amounts[site, piece, one] = amount

    stages = list(generator.permutation(3))
    clean = {"one": 1, "several": 2, "none": 0}[scenario]
    for number, stage in enumerate(stages):
        mates = [int(k) for k in generator.permutation(others)]
        shared = float(generator.uniform(0.35, 1.0))
        if number < clean:
            # Carries the label, and of another one a part that it hardly misses; the first of several harms least.
            shared = float(generator.uniform(*((0.0, 0.1) if number == 0 else (0.13, 0.17))))
            place(stage, {label: 1.0, mates[0]: shared})
            place(stage, {mates[0]: 1.0 - shared})
            done = {label, mates[0]}
        elif generator.random() < 0.6:
            # Removes the label, and too much of another one with it.
            place(stage, {label: 1.0, mates[0]: shared})
            place(stage, {mates[0]: 1.0 - shared})
            done = {label, mates[0]}
        else:
            # Either of two is enough, so that removing one does nothing; removing both does it without harm.
            place(stage, {label: 1.0})
            place(stage, {label: 1.0, mates[0]: 0.1})
            done = {label}
        if generator.random() < 0.6 and number >= clean:
            place(stage, {label: 0.15})
        rest = [k for k in others if k not in done]
        while rest:
            size = min(len(rest), 1 + int(generator.integers(2)))
            group, rest = rest[:size], rest[size:]
            place(stage, {one: 1.0 + 0.1 * float(generator.random()) for one in group})
    return Carriers(amounts)


def single_outcomes(made: Planted) -> dict[tuple[str, int], tuple[float, float]]:
    """Exact level and harm of every single piece taken away."""
    return {(site, index): made.exact_factors(site, index, (0.0,))[0] for site in SITES for index in range(PIECES)}


def near_bars(level: float, harm: float) -> bool:
    """Whether a sample could hardly tell on which side of the bars this is."""
    return (abs(level - LEVEL) < 0.03 and harm < HARM + 0.03) or (0 < harm - HARM < 0.03 and level > LEVEL - 0.03)


def _as_planted(made: Planted) -> bool:
    """Whether the exact measure is what was meant, with room for what a sample can tell."""
    found = single_outcomes(made)
    passing = {key: harm for key, (level, harm) in found.items() if level >= LEVEL and harm <= HARM}
    if any(near_bars(*outcome) for outcome in found.values()):
        return False
    if made.scenario == "several":
        harms = sorted(passing.values())
        return len(harms) == 2 and harms[1] - harms[0] > 0.012
    return len(passing) == {"one": 1, "none": 0}[made.scenario]
