"""The objective every method shares: make the removed label's predictions uninformative, keep the retained label's.

The published experiment's loss is known only in outline; this protocol is ours (``docs/protocol.md``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unweave.base.errors import UnweaveError
from unweave.models.prefix import Prefix, cache_prefix, prefix_logits
from unweave.models.target import Target


@dataclass(frozen=True)
class LossText:
    """Windows with the base model's log-probabilities at the positions that count.

    ``tokens`` is the number of predictions in the loss; ``tokens_seen`` counts the windows whole, context included.
    """

    prefix: Prefix
    positions: tuple[int, ...]
    base: Float[Tensor, "n p v"]

    @property
    def tokens(self) -> int:
        return len(self.prefix) * len(self.positions)

    @property
    def tokens_seen(self) -> int:
        return self.prefix.tokens.numel()

    def rows(self, index: Sequence[int]) -> LossText:
        return LossText(self.prefix.rows(index), self.positions, self.base[list(index)])

    def __len__(self) -> int:
        return len(self.prefix)


def loss_text(target: Target, tokens: Int[Tensor, "n t"], positions: Sequence[int], layer: int | None) -> LossText:
    """Runs the base model once on the windows and keeps what it predicts at ``positions``."""
    prefix = cache_prefix(target, torch.as_tensor(tokens), layer)
    with torch.no_grad():
        parts = [prefix_logits(target, part, positions).float().log_softmax(-1) for part in prefix.batches(8)]
    return LossText(prefix, tuple(positions), torch.cat(parts))


def loss_layout(budget: int, window: int) -> tuple[int, int]:
    """(windows, loss tokens in each) for a budget: the loss tokens are the last of each window, the rest is context.

    4 tokens are the end of one window; larger budgets spread over more windows (64: 4 x 16; 1,024: 32 x 32), so that
    context costs less as the budget grows. Raises ``UnweaveError`` for a budget that cannot be laid out.
    """
    if budget < 1:
        raise UnweaveError(f"tokens is {budget}, and the budget must be at least 1")
    each = 1
    while each * 2 <= min(window // 2, 2 * math.sqrt(budget)) and budget % (each * 2) == 0:
        each *= 2
    return budget // each, each


def removal_cross_entropy(
    target: Target, text: LossText, batch: int = 8
) -> Float[Tensor, "n p"]:
    """Cross-entropy of the base model's predicted distribution under the target as it now is, per loss token."""
    parts = []
    for start in range(0, len(text), batch):
        part = text.rows(range(start, min(start + batch, len(text))))
        logits = prefix_logits(target, part.prefix, part.positions).float()
        parts.append(-(part.base.exp() * logits.log_softmax(-1)).sum(-1))
    return torch.cat(parts)


def retained_kl(target: Target, text: LossText, batch: int = 8) -> Float[Tensor, "n p"]:
    """KL from the base model's prediction to the target's, per retained token."""
    parts = []
    for start in range(0, len(text), batch):
        part = text.rows(range(start, min(start + batch, len(text))))
        logits = prefix_logits(target, part.prefix, part.positions).float()
        parts.append((part.base.exp() * (part.base - logits.log_softmax(-1))).sum(-1))
    return torch.cat(parts)


@dataclass(frozen=True)
class Objective:
    """``mean_i max(0, ln V - CE_i)`` over the removed label's tokens plus the mean KL on retained text."""

    removed: LossText
    retained: LossText
    ceiling: float

    def loss(self, target: Target, removed_rows: Sequence[int] | None = None) -> Float[Tensor, ""]:
        """The value with gradients, for methods that descend it."""
        removed = self.removed if removed_rows is None else self.removed.rows(removed_rows)
        shortfall = (self.ceiling - removal_cross_entropy(target, removed)).clamp(min=0)
        return shortfall.mean() + retained_kl(target, self.retained).mean()


@dataclass(frozen=True)
class Probe:
    """What one setting of a single number does to the objective's text."""

    strength: float
    reached: float
    kl: float


@dataclass(frozen=True)
class Tuned:
    """The end of a line search: the strength, why it stopped there, and the path."""

    strength: float
    stopped: str
    path: tuple[Probe, ...]


LIMIT = 64.0
KL_LIMIT = 0.5


def robust_level(cross_entropy: Float[Tensor, "n p"]) -> float:
    """The median over loss tokens: one token that the edit cannot move does not drag the number past the rest."""
    return float(cross_entropy.flatten().quantile(0.5))


def line_search(
    apply: Callable[[float], AbstractContextManager[Target]],
    objective: Objective,
    *,
    limit: float = LIMIT,
    tolerance: float = 0.02,
) -> Tuned:
    """Finds the strength below 0 at which the removed label's predictions become uninformative, and no further.

    ``strength`` is what is added to a piece: factor minus 1. The side is fixed (downwards: a piece that the label
    needs is weakened, then turned round), because a large positive strength also raises the cross-entropy. The
    search doubles the strength from -1 until ``robust_level`` reaches ln V, and halves the bracket until the level is
    within ``tolerance`` nats or the bracket within a hundredth. It stops short where the retained text's KL passes
    0.5 nats, where the strength passes ``limit``, or where the level falls for two doublings in a row.
    """
    path: list[Probe] = []

    def probe(strength: float) -> Probe:
        with apply(strength) as target, torch.no_grad():
            reached = robust_level(removal_cross_entropy(target, objective.removed))
            kl = float(retained_kl(target, objective.retained).mean())
        path.append(Probe(strength, reached, kl))
        return path[-1]

    low, high, strength, falls = 0.0, None, -1.0, 0
    best = probe(0.0)
    if best.reached >= objective.ceiling:
        return Tuned(0.0, "the base model is already at ln V on these tokens", tuple(path))
    while high is None:
        found = probe(strength)
        if found.kl > KL_LIMIT:
            return Tuned(best.strength, "retained text changed too much", tuple(path))
        falls = falls + 1 if found.reached < best.reached else 0
        if falls == 2:
            return Tuned(best.strength, "the level falls as the strength grows", tuple(path))
        if found.reached >= objective.ceiling:
            high = strength
        else:
            if found.reached >= best.reached:
                best = found
            low, strength = strength, strength * 2
            if -strength > limit:
                return Tuned(best.strength, "limit reached", tuple(path))
    while (low - high) > 0.01 * -high:
        middle = (low + high) / 2
        found = probe(middle)
        if abs(found.reached - objective.ceiling) < tolerance:
            return Tuned(middle, "ln V reached", tuple(path))
        low, high = (middle, high) if found.reached < objective.ceiling else (low, middle)
    return Tuned(high, "ln V reached", tuple(path))
