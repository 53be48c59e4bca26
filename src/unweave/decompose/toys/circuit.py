"""Whether a decomposition of the induction model holds the induction circuit as a few subcomponents of its own.

No pass rule is published for this model; the rule here is the project's own. The circuit is what is needed in text
with the special token and not in text without, in the four matrices that pass on something about s itself:

- ``layers.0.v`` and ``layers.0.o`` tell the next place what stood before it; s is one token, so this is one vector;
- ``layers.1.q`` lets s look for that, beside every word's look at the tag: two vectors in all, and its rank is two;
- ``layers.1.k`` is what s finds. A place is also known by the message of a word that it lacks: with the keys after s
  at zero the trained model still answers.

In the first three one subcomponent is enough, and two are the most; of the keys no number is asked. The other matrices
pass on nothing about s: ``layers.0.q`` and ``layers.0.k`` look at the word before for all words alike, and
``layers.1.v`` and ``layers.1.o`` write log probabilities, the answer's in the seven directions that are the tag's too.

Without the circuit s looks everywhere alike and copies any word, so the answer must be right no more often than that;
text without s asks for none of it, so nothing else may change; and the answer needs no message of a word and no tag,
so it must stand when as many other subcomponents of the same four matrices are taken out instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unweave.base.seeds import torch_generator
from unweave.decompose.decomposition import Decomposition
from unweave.decompose.masked import Mask, MaskedTarget, Pieces
from unweave.decompose.numerics import divergence_kl
from unweave.decompose.toys import induction
from unweave.decompose.toys.recovery import PRESENT
from unweave.models.target import Target

SEQUENCES, DRAWS = 512, 20
LEAST_RATE, MOST_ELSEWHERE = 0.02, 0.05
"""A subcomponent is the circuit's when it fires in at least so many sequences with the special token, and in text
without it at most so often for each of those."""
NARROW = ("layers.0.v", "layers.0.o", "layers.1.q")
OWN = (*NARROW, "layers.1.k")
"""Matrices that pass on something about the special token, and those of them in which it is one vector."""
MOST_NARROW = 2
LEAST_ANSWERED, MOST_LEFT, MOST_DISTURBED = 0.9, 0.35, 0.02
"""Answers right with the model whole (and without as many others), answers right without the circuit (a word from
before s at random is right in 0.28 to 0.32), and KL in nats a word in text without the special token."""


@dataclass(frozen=True)
class Circuit:
    """The circuit's subcomponents by site, of how many that are used, and what taking them out does."""

    pieces: Mapping[str, int]
    used: Mapping[str, int]
    answered: float
    answered_without: float
    answered_without_others: float
    """Median over draws of as many other subcomponents of the same matrices."""
    disturbed: float

    def row(self) -> dict[str, object]:
        """The numbers for a table."""
        found: dict[str, object] = {f"circuit, {site}": f"{n} of {self.used[site]}" for site, n in self.pieces.items()}
        found["answered"] = f"{self.answered:.3f}"
        found["without the circuit"] = f"{self.answered_without:.3f}"
        found["without as many others"] = f"{self.answered_without_others:.3f}"
        found["KL elsewhere"] = f"{self.disturbed:.4f}"
        return found

    @property
    def failures(self) -> tuple[str, ...]:
        """What of the rule is broken, in words."""
        wide = [site for site in NARROW if not 1 <= self.pieces[site] <= MOST_NARROW]
        rules = {
            "the model does not do induction": self.answered < LEAST_ANSWERED,
            "the answer stands without the circuit": self.answered_without > MOST_LEFT,
            "other text changes without the circuit": self.disturbed > MOST_DISTURBED,
            "other subcomponents carry the answer as well": self.answered_without_others < LEAST_ANSWERED,
            f"not one or two subcomponents in {', '.join(wide)}": bool(wide),
        }
        return tuple(words for words, broken in rules.items() if broken)


def find_circuit(target: Target, made: Decomposition, seed: int) -> Circuit:
    """Finds the circuit by its importances on fresh text, takes it out, and takes as many others out."""
    tokens = induction.sequences(2 * SEQUENCES, seed, "circuit")(0)
    sites = [target.site(name) for name in made.sites]
    with torch.no_grad(), MaskedTarget(target, sites).attached() as model:
        clean, inputs = model.clean(tokens)
        special = (tokens == induction.SPECIAL).any(-1)
        importances = made.importances(inputs)
        rates = {name: _rates(importances[name], special) for name in OWN}
        chosen = {name: circuit_members(with_s, without) for name, (with_s, without) in rates.items()}
        used = {name: torch.maximum(*pair) >= LEAST_RATE for name, pair in rates.items()}

        def without(removed: Mapping[str, Tensor]) -> Tensor:
            pieces = {name: Pieces(made.site(name).V, made.site(name).U) for name in removed}
            rows = tokens.shape
            masks = {
                name: Mask((~out).float().expand(*rows, -1), torch.ones(*rows, 1)) for name, out in removed.items()
            }
            return model.masked(tokens, pieces, masks)

        others = []
        for draw in range(DRAWS):
            generator = torch_generator(seed, "others", draw)
            others.append(answered(without(_others(chosen, used, generator)), tokens))
        found = without(chosen)
    return Circuit(
        {name: int(members.sum()) for name, members in chosen.items()},
        {name: int(members.sum()) for name, members in used.items()},
        answered(clean, tokens),
        answered(found, tokens),
        median(others),
        float(divergence_kl(found, clean)[~special].mean()),
    )


def circuit_members(with_s: Float[Tensor, " c"], without: Float[Tensor, " c"]) -> Bool[Tensor, " c"]:
    """Subcomponents that fire often enough in sequences with the special token and hardly ever in others."""
    return (with_s >= LEAST_RATE) & (without <= MOST_ELSEWHERE * with_s)


def answered(logits: Float[Tensor, "n t words"], tokens: Int[Tensor, "n t"]) -> float:
    """Part of the sequences with the special token that continue it the second time with what followed it the first."""
    rows, places, right = induction.asked(tokens)
    return float((logits[rows, places].argmax(-1) == right).float().mean())


def _rates(g: Float[Tensor, "n t c"], special: Bool[Tensor, " n"]) -> tuple[Tensor, Tensor]:
    """Part of the sequences with and without the special token in which each subcomponent fires anywhere."""
    fires = (g > PRESENT).any(1).float()
    return fires[special].mean(0), fires[~special].mean(0)


def _others(
    chosen: Mapping[str, Tensor], used: Mapping[str, Tensor], generator: torch.Generator
) -> dict[str, Bool[Tensor, " c"]]:
    """As many others that are used, of each site, as the circuit has there (all of them where there are fewer)."""
    found = {}
    for name, members in chosen.items():
        pool = (used[name] & ~members).nonzero()[:, 0]
        drawn = pool[torch.randperm(len(pool), generator=generator)[: int(members.sum())]]
        found[name] = torch.zeros_like(members).index_fill(0, drawn, True)
    return found
