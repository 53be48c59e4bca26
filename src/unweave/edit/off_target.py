"""What an edit changes elsewhere: every label's held-out text before and after, with intervals over windows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from unweave.edit.edits import Edit, applied
from unweave.edit.measure import Measured, Yardstick, measure
from unweave.models.prefix import Prefix
from unweave.models.target import Target
from unweave.stats.bootstrap import mean_interval


@dataclass(frozen=True)
class Effect:
    """An edit's effect on one label's text: nats per token, mean over windows, change with a 95 % interval."""

    label: str
    base: float
    edited: float
    change: float
    low: float
    high: float
    entropy: float
    windows: int


def effects(target: Target, edit: Edit, yardstick: Yardstick, *, local: bool) -> dict[str, Effect]:
    """Measures every label of the yardstick under the edit. ``local``: nothing before the cached layer is edited."""
    with applied(target, edit):
        found = {
            label: _measure(target, prefix, yardstick.batch, local) for label, prefix in yardstick.prefixes.items()
        }
    return compare(yardstick.base, found)


def compare(base: Mapping[str, Measured], edited: Mapping[str, Measured]) -> dict[str, Effect]:
    """Paired differences window by window; the interval is a bootstrap over windows."""
    rows = {}
    for label, after in edited.items():
        before = base[label]
        change = (after.cross_entropy - before.cross_entropy).numpy().astype(np.float64)
        interval = mean_interval(change)
        rows[label] = Effect(
            label,
            before.mean()[0],
            after.mean()[0],
            interval.mean,
            interval.low,
            interval.high,
            after.mean()[1],
            len(change),
        )
    return rows


def _measure(target: Target, prefix: Prefix, batch: int, local: bool) -> Measured:
    return measure(target, prefix if local else Prefix(prefix.tokens, 0, None), batch)


@dataclass(frozen=True)
class MaskedText:
    """Token windows of one length with a mask of the tokens whose cross-entropy counts."""

    tokens: torch.Tensor
    counted: torch.Tensor


def masked_cross_entropy(target: Target, text: MaskedText, batch: int = 8) -> float:
    """Mean cross-entropy of the counted tokens, nats."""
    total, count = 0.0, 0
    with torch.no_grad():
        for start in range(0, len(text.tokens), batch):
            tokens = text.tokens[start : start + batch].to(target.device)
            logits = target.logits(tokens, slice(0, -1)).float()
            losses = torch.nn.functional.cross_entropy(logits.transpose(1, 2), tokens[:, 1:], reduction="none")
            counted = text.counted[start : start + batch, 1:].to(losses)
            total, count = total + float((losses * counted).sum()), count + int(counted.sum())
    return total / max(count, 1)
