"""How likely a target finds replies: the reference that DPO holds the trained one against."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float64

from unweave.base.progress import Progress, Silent
from unweave.models.target import Target

Tokens = Sequence[int]


@torch.no_grad()
def reply_log_probs(
    target: Target,
    prompts: Sequence[Tokens],
    replies: Sequence[Tokens],
    rows: int = 32,
    progress: Progress | None = None,
) -> list[Float64[np.ndarray, " t"]]:
    """ln p of every token of each reply after its prompt, in nats; reply i follows prompt i.

    Rows are padded on the right, where causal attention never looks.
    """
    progress = progress or Silent()
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]) + len(replies[index]))
    found: list[Float64[np.ndarray, " t"]] = [np.zeros(0)] * len(prompts)
    for start in range(0, len(order), rows):
        chosen = [index for index in order[start : start + rows] if len(replies[index])]
        if chosen:
            _batch(target, chosen, prompts, replies, found)
        progress.update(min(start + rows, len(order)), len(order), "replies weighed")
    return found


def _batch(
    target: Target,
    chosen: Sequence[int],
    prompts: Sequence[Tokens],
    replies: Sequence[Tokens],
    found: list[Float64[np.ndarray, " t"]],
) -> None:
    width = max(len(prompts[index]) + len(replies[index]) for index in chosen)
    longest = max(len(replies[index]) for index in chosen)
    tokens = torch.zeros(len(chosen), width, dtype=torch.long)
    before = torch.zeros(len(chosen), longest, dtype=torch.long)
    for row, index in enumerate(chosen):
        both = [*prompts[index], *replies[index]]
        tokens[row, : len(both)] = torch.tensor(both)
        first = len(prompts[index]) - 1
        before[row] = torch.arange(first, first + longest).clamp(max=width - 1)
    logits = target.logits(tokens, before).float()
    said = tokens.gather(1, (before + 1).clamp(max=width - 1)).to(logits.device)
    chances = (logits.gather(-1, said[..., None])[..., 0] - logits.logsumexp(-1)).double().cpu().numpy()
    for row, index in enumerate(chosen):
        found[index] = chances[row, : len(replies[index])]
