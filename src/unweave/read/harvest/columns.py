"""Which tokens are told apart in the tables of a harvest, and draws from the model's next-token distribution."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unweave.base.errors import UnweaveError

_BYTES = 8
"""Of one feature and token: a count where it fires and one of what the model predicts there, 4 bytes each."""


@dataclass(frozen=True)
class Columns:
    """Token ids by column. The last column holds every token that has none of its own."""

    tokens: np.ndarray
    """int64 [columns - 1]."""
    of_token: np.ndarray
    """int64 [vocabulary], the column of each token id."""

    def __len__(self) -> int:
        return len(self.tokens) + 1


def choose_columns(tokens: np.ndarray, vocabulary: int, features: int, table_gb: float) -> Columns:
    """All tokens where the tables fit in ``table_gb``, else those that are most frequent in the text.

    ``tokens`` is the text, as token ids. Raises ``UnweaveError`` where not even 100 tokens fit.
    """
    vocabulary = max(vocabulary, int(tokens.max()) + 1)
    room = int(table_gb * 1e9 / (_BYTES * features)) - 1
    if room < min(vocabulary, 100):
        raise UnweaveError(
            f"table_gb is {table_gb:g}, room for {max(room, 0)} tokens of {features} features: give more"
        )
    if room >= vocabulary:
        chosen = np.arange(vocabulary)
    else:
        counts = np.bincount(tokens.reshape(-1), minlength=vocabulary)
        chosen = np.sort(np.argsort(-counts, kind="stable")[:room])
    of_token = np.full(vocabulary, len(chosen))
    of_token[chosen] = np.arange(len(chosen))
    return Columns(chosen, of_token)


def draw_tokens(logits: Float[Tensor, "n t v"], keys: np.ndarray, draws: int) -> np.ndarray:
    """int64 [n, t, draws]: tokens drawn systematically from each position's distribution.

    One random offset a position and steps of ``1 / draws``, so that a token of probability p is drawn
    ``p * draws`` times on average and never a whole time off; ``keys`` (uint64 [n, t]) are where the offset is from.
    """
    offsets = (keys >> np.uint64(11)).astype(np.float64) / float(1 << 53)
    steps = torch.as_tensor((np.arange(draws) + offsets[..., None]) / draws, dtype=torch.float32)
    found = []
    for window, step in zip(logits, steps, strict=True):
        weights = window.float()
        cumulated = torch.exp(weights - weights.amax(-1, keepdim=True)).cumsum(-1)
        wanted = step.to(cumulated.device) * cumulated[:, -1:]
        found.append(torch.searchsorted(cumulated, wanted).clamp_max(cumulated.shape[-1] - 1).cpu())
    return torch.stack(found).numpy()
