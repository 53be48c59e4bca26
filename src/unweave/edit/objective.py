"""The objective every method shares: make the removed label's predictions uninformative, keep the retained label's.

The published experiment's loss is known only in outline; this protocol is ours (``docs/protocol.md``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unweave.base.errors import UnweaveError
from unweave.models.prefix import Prefix, cache_prefix, prefix_logits
from unweave.models.target import Target

BATCH = 8
LEAST_CERTAIN = 3 / 8


@dataclass(frozen=True)
class LossText:
    """Windows with the base model's log-probabilities at the positions that count, each window's own.

    ``tokens`` is the number of predictions in the loss; ``tokens_seen`` counts the windows whole, context included.
    """

    prefix: Prefix
    positions: Int[Tensor, "n p"]
    base: Float[Tensor, "n p v"]

    @property
    def tokens(self) -> int:
        return self.positions.numel()

    @property
    def tokens_seen(self) -> int:
        return self.prefix.tokens.numel()

    def entropy(self) -> Float[Tensor, "n p"]:
        """Entropy of the base prediction: what ``removal_cross_entropy`` is when nothing was edited."""
        return -(self.base.exp() * self.base).sum(-1)

    def rows(self, index: Sequence[int]) -> LossText:
        picked = list(index)
        return LossText(self.prefix.rows(picked), self.positions[picked], self.base[picked])

    def __len__(self) -> int:
        return len(self.prefix)


def loss_text(
    target: Target,
    tokens: Int[Tensor, "n t"],
    positions: Sequence[int] | int,
    layer: int | None,
    unusual: Float[Tensor, "n t"] | None = None,
) -> LossText:
    """Runs the base model once on the windows and keeps what it predicts at ``positions``.

    A number instead of positions takes that many in each window, position 0 apart: of the three eighths at which the
    base model is least certain, those of the smallest ``unusual`` (none given: the least certain). An uncertain
    prediction's cross-entropy averages over many words, so a few tokens say more: measured on German, the level
    judged from four of them scatters by 0.06 ln V instead of the 0.15 of evenly spaced ones.
    """
    prefix = cache_prefix(target, torch.as_tensor(tokens), layer)
    chosen, base = [], []
    with torch.no_grad():
        for start, part in enumerate(prefix.batches(BATCH)):
            if isinstance(positions, int):
                every = prefix_logits(target, part, slice(1, None)).float().log_softmax(-1)
                entropy = -(every.exp() * every).sum(-1)
                strange = None if unusual is None else unusual[BATCH * start : BATCH * (start + 1), 1:]
                picked = _least_certain(entropy, positions, strange)
                chosen.append(picked + 1)
                base.append(every[torch.arange(len(every), device=every.device)[:, None], picked])
            else:
                chosen.append(torch.as_tensor(list(positions)).expand(len(part), -1))
                base.append(prefix_logits(target, part, positions).float().log_softmax(-1))
    return LossText(prefix, torch.cat(chosen), torch.cat(base))


def _least_certain(
    entropy: Float[Tensor, "n t"], count: int, unusual: Float[Tensor, "n t"] | None
) -> Int[Tensor, "n count"]:
    if unusual is None:
        return entropy.topk(count, dim=1).indices.sort(dim=1).values
    candidates = entropy.topk(max(count, round(entropy.shape[1] * LEAST_CERTAIN)), dim=1).indices
    usual = unusual.to(entropy).gather(1, candidates).topk(count, dim=1, largest=False).indices
    return candidates.gather(1, usual).sort(dim=1).values


def loss_layout(budget: int, window: int) -> tuple[int, int]:
    """(windows, loss tokens in each) for a budget.

    4 tokens stand in one window, the rest of which is context; larger budgets use more windows and more of each
    (64: 4 windows of 16; 1,024: 32 of 32), so that context costs less as the budget grows. A budget of a whole
    window less one takes every position but the first. Raises ``UnweaveError`` for a budget below 1.
    """
    if budget < 1:
        raise UnweaveError(f"tokens is {budget}, and the budget must be at least 1")
    each = 1
    while each * 2 <= min(window // 2, 2 * math.sqrt(budget)) and budget % (each * 2) == 0:
        each *= 2
    if each == 1 and budget < window:
        each = budget
    return budget // each, each


def removal_cross_entropy(target: Target, text: LossText, batch: int = 8) -> Float[Tensor, "n p"]:
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
