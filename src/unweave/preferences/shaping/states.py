"""The residual stream of a target at the tokens of replies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float32

from unweave.base.progress import Progress, Silent
from unweave.models.target import Target

Tokens = Sequence[int]


def reply_states(
    target: Target,
    layer: int,
    prompts: Sequence[Tokens],
    replies: Sequence[Tokens],
    rows: int = 32,
    progress: Progress | None = None,
) -> Iterator[tuple[int, Float32[np.ndarray, "t d"]]]:
    """Each reply's index and the states entering block ``layer`` at its tokens; reply i follows prompt i.

    Replies come by length, not in order, and those without a token do not come. Rows are padded on the right, where
    causal attention never looks.
    """
    progress = progress or Silent()
    order = sorted(
        (index for index in range(len(prompts)) if len(replies[index])),
        key=lambda index: len(prompts[index]) + len(replies[index]),
    )
    for start in range(0, len(order), rows):
        part = order[start : start + rows]
        whole = [[*prompts[index], *replies[index]] for index in part]
        tokens = torch.zeros(len(part), max(map(len, whole)), dtype=torch.long)
        for row, each in enumerate(whole):
            tokens[row, : len(each)] = torch.tensor(each)
        with torch.no_grad():
            hidden = target.hidden_before(layer, tokens).float().cpu().numpy()
        for row, index in enumerate(part):
            yield index, hidden[row, len(prompts[index]) : len(whole[row])].copy()
        progress.update(start + len(part), len(order), "states read")
