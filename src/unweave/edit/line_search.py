"""Tuning one number: a line search on the objective's text, with a side and a stopping rule.

The rule was built after measuring what four tokens can say. Under an edit that removes a label, a token's cross-entropy
heads for one level whatever its entropy was, as far as the piece acts there: ``CE = H + a/A (L - H)``, with H the base
entropy, a the piece's activation and A its mean on the label. The loss tokens give L (a ratio estimator); the mean
of the same expression over the label's decomposition text, where the base model alone was run, is the label's level.
In other models every token's cross-entropy rises by as much, whatever its entropy was: then the rise is what the tokens
give, and the label's level is its own entropy plus that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from unweave.base.errors import UnweaveError
from unweave.decompose.decomposition import Subcomponent
from unweave.edit.edits import FactorEdit, applied
from unweave.edit.objective import LossText, Objective, removal_cross_entropy, retained_kl
from unweave.models.capture import capture_inputs
from unweave.models.target import Target

LIMIT = 96.0
KL_LIMIT = 0.3
ONE_WAY = 0.2
"""A piece whose activations sum to less than this share of their sizes acts both ways, and weighs nothing."""

OVERCONFIDENCE_LEFT = 0.75
"""How much of the base model's overconfidence on a label is left once the label is removed: measured on the tuning
part of four languages, 0.68 to 0.91."""


@dataclass(frozen=True)
class Reference:
    """What the label looks like in the base model, in means over tokens of its broadest text, no edit applied.

    ``cross_entropy`` of the realised tokens, ``entropy`` of the predictions, ``activation`` of the piece, and
    ``acting_entropy``, the entropy weighted by the activation. Those tokens are counted as decomposition tokens.
    ``entropy_carried`` is how much of a difference in base entropy between tokens is still there under the edit: 0
    where all head for one level, 1 where all rise by as much. It is a fact of the target (``docs/protocol.md``).
    """

    cross_entropy: float
    entropy: float
    activation: float
    acting_entropy: float
    entropy_carried: float = 0.0

    @property
    def offset(self) -> float:
        """From the level L of the loss tokens to the label's realised cross-entropy under the edit."""
        return self.entropy - self.acting_entropy + OVERCONFIDENCE_LEFT * (self.cross_entropy - self.entropy)


@dataclass(frozen=True)
class Probe:
    """What one strength does: the level it is expected to reach on the label's text, and the retained text's KL."""

    strength: float
    level: float
    kl: float


@dataclass(frozen=True)
class Tuned:
    """The end of a line search: the strength (factor minus 1), why it stopped there, and the path."""

    strength: float
    stopped: str
    path: tuple[Probe, ...]

    @property
    def factor(self) -> float:
        return 1.0 + self.strength


def tune_factor(target: Target, edit: FactorEdit, objective: Objective, reference: Reference) -> Tuned:
    """Finds the one factor of a single-piece edit at which the label's predictions become uninformative.

    The piece is only ever turned down, through 0 and round: a large factor above 1 also raises the cross-entropy, by
    another road. The search ends where the label's realised cross-entropy is expected at the objective's ceiling, and
    stops short where the retained text's KL passes 0.3 nats or the strength passes 96.
    """
    return search(expected_levels(target, edit, objective, reference), objective.ceiling)


def tune_on_loss_alone(target: Target, edit: FactorEdit, objective: Objective) -> Tuned:
    """The same search, stopped where the loss tokens' own mean cross-entropy reaches the ceiling: no reference."""
    base = objective.removed.entropy()

    def level(strength: float) -> Probe:
        gain, kl = _gain_and_kl(target, edit, objective, strength)
        return Probe(strength, float((base + gain).mean()), kl)

    return search(level, objective.ceiling)


def expected_levels(
    target: Target, edit: FactorEdit, objective: Objective, reference: Reference
) -> Callable[[float], Probe]:
    """What the stopping rule expects of a strength, from the objective's tokens.

    Position 0 is left out where a strict window has it in the loss: its sink activation is of another kind. Tokens on
    which the piece hardly acts, or acts both ways, must not blow the ratio up: taken together they count as acting by
    at least a fifth of what is usual, and then their plain mean entropy is the start.
    """
    piece = _only_piece(edit)
    counted = (objective.removed.positions > 0).to(target.device)
    sign = 1.0 if reference.activation >= 0 else -1.0
    acts = sign * loss_activations(target, objective.removed, piece.site, piece.v, piece.u).to(target.device) * counted
    base = objective.removed.entropy()
    floor = max(0.2 * int(counted.sum()) * abs(reference.activation), 1e-9)
    acting = float(acts.sum())
    one_way = acting > max(floor, ONE_WAY * float(acts.abs().sum()))
    start = float((acts * base).sum()) / acting if one_way else float(base[counted].mean())
    start = min(max(start, float(base[counted].min())), float(base[counted].max()))
    start += reference.entropy_carried * (reference.acting_entropy - start)

    def level(strength: float) -> Probe:
        gain, kl = _gain_and_kl(target, edit, objective, strength)
        pace = abs(reference.activation) / max(acting, floor)
        return Probe(strength, start + reference.offset + pace * float((gain * counted).sum()), kl)

    return level


def _gain_and_kl(
    target: Target, edit: FactorEdit, objective: Objective, strength: float
) -> tuple[Float[Tensor, "n p"], float]:
    """Rise in cross-entropy of each loss token over the base entropy, and the retained text's mean KL."""
    with applied(target, edit.with_factor(1.0 + strength)), torch.no_grad():
        gain = removal_cross_entropy(target, objective.removed) - objective.removed.entropy()
        return gain, float(retained_kl(target, objective.retained).mean())


def _only_piece(edit: FactorEdit) -> Subcomponent:
    if len(edit.pieces) != 1:
        raise UnweaveError(f"one factor is tuned on one subcomponent, and this edit has {len(edit.pieces)}")
    return edit.pieces[0][0]


def search(level: Callable[[float], Probe], wanted: float, limit: float = LIMIT) -> Tuned:
    """Doubles the strength from -1 until ``level`` reaches ``wanted``, then closes the bracket to a hundredth."""
    path: list[Probe] = []

    def probe(strength: float) -> Probe:
        path.append(level(strength))
        return path[-1]

    low = probe(0.0)
    if low.level >= wanted:
        return Tuned(0.0, "the base model is already there on these tokens", tuple(path))
    best, strength, closing = low, -1.0, 0
    while True:
        found = probe(strength)
        if found.kl > KL_LIMIT:
            if closing == 5:
                return Tuned(best.strength, "retained text would change too much", tuple(path))
            closing += 1
            strength = (best.strength + strength) / 2
            continue
        if found.level >= wanted:
            high = found
            break
        low = found
        best = max(best, found, key=lambda tried: tried.level)
        if closing == 5:
            return Tuned(best.strength, "retained text would change too much", tuple(path))
        if closing:
            closing += 1
            over = max(tried.strength for tried in path if tried.kl > KL_LIMIT)
            strength = (strength + over) / 2
        else:
            if -low.strength >= limit:
                return Tuned(best.strength, "limit of the strength", tuple(path))
            strength = max(2 * strength, -limit)
    while low.strength - high.strength > 0.01 * -high.strength:
        # The level rises smoothly here, so a secant step, kept inside the bracket, needs few forwards.
        share = (wanted - low.level) / max(high.level - low.level, 1e-9)
        share = min(0.9, max(0.1, share))
        found = probe(low.strength + share * (high.strength - low.strength))
        if abs(found.level - wanted) < 0.003 * wanted:
            return Tuned(found.strength, "reached", tuple(path))
        low, high = (found, high) if found.level < wanted else (low, found)
    return Tuned(high.strength, "reached", tuple(path))


def loss_activations(
    target: Target, text: LossText, site: str, v: Float[Tensor, " d_in"], u: Float[Tensor, " d_out"]
) -> Float[Tensor, "n p"]:
    """How strongly a piece acts at the loss positions: ``||u|| v . x``."""
    with torch.no_grad():
        x = capture_inputs(target, [target.site(site)], text.prefix.tokens)[site].float()
    return (x @ v.to(x)).gather(1, text.positions.to(x.device)) * float(u.norm())
