"""How likely a target finds replies: the reference that DPO holds the trained one against."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

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
            chances, _ = chances_of(target, [prompts[index] for index in chosen], [replies[index] for index in chosen])
            for index, row in zip(chosen, chances.double().cpu().numpy(), strict=True):
                found[index] = row[: len(replies[index])]
        progress.update(min(start + rows, len(order)), len(order), "replies weighed")
    return found


def chances_of(
    target: Target, prompts: Sequence[Tokens], replies: Sequence[Tokens]
) -> tuple[Float[Tensor, "n longest"], Bool[Tensor, "n longest"]]:
    """ln p of each reply's tokens, and which of them there are: shorter replies are padded. Keeps the graph.

    Only the positions before reply tokens pass through the output embedding.
    """
    width = max(len(prompt) + len(reply) for prompt, reply in zip(prompts, replies, strict=True))
    longest = max(map(len, replies))
    tokens = torch.zeros(len(prompts), width, dtype=torch.long)
    before = torch.zeros(len(prompts), longest, dtype=torch.long)
    there = torch.zeros(len(prompts), longest, dtype=torch.bool)
    for row, (prompt, reply) in enumerate(zip(prompts, replies, strict=True)):
        tokens[row, : len(prompt) + len(reply)] = torch.tensor([*prompt, *reply])
        before[row] = torch.arange(len(prompt) - 1, len(prompt) - 1 + longest).clamp(max=width - 1)
        there[row, : len(reply)] = True
    logits = target.logits(tokens, before).float()
    said = tokens.gather(1, (before + 1).clamp(max=width - 1)).to(logits.device)
    return logits.gather(-1, said[..., None])[..., 0] - logits.logsumexp(-1), there.to(logits.device)
