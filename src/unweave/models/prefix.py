"""Activations before the first edited layer, computed once and reused for every edit after it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unweave.base.progress import Progress, Silent
from unweave.models.target import Positions, Target


@dataclass(frozen=True)
class Prefix:
    """Token windows with the residual stream entering block ``layer``; ``hidden`` is None when nothing is cached."""

    tokens: Int[Tensor, "n t"]
    layer: int
    hidden: Float[Tensor, "n t d"] | None

    def __len__(self) -> int:
        return len(self.tokens)

    def rows(self, index: slice | Sequence[int] | Tensor) -> Prefix:
        """The same for some of the windows."""
        picked = torch.as_tensor(index) if not isinstance(index, slice | Tensor) else index
        return Prefix(self.tokens[picked], self.layer, None if self.hidden is None else self.hidden[picked])

    def batches(self, size: int) -> Iterator[Prefix]:
        for start in range(0, len(self), size):
            yield self.rows(slice(start, start + size))


def cache_prefix(
    target: Target, tokens: Int[Tensor, "n t"], layer: int | None, batch: int = 16, progress: Progress | None = None
) -> Prefix:
    """Runs the blocks before ``layer`` once. With ``layer`` None or 0 nothing is cached and forwards are whole."""
    progress = progress or Silent()
    tokens = torch.as_tensor(tokens)
    if not layer or target.blocks is None:
        return Prefix(tokens, 0, None)
    parts: list[Tensor] = []
    with torch.no_grad():
        for start in range(0, len(tokens), batch):
            parts.append(target.hidden_before(layer, tokens[start : start + batch]))
            progress.update(min(start + batch, len(tokens)), len(tokens), "windows")
    return Prefix(tokens, layer, torch.cat(parts))


@contextmanager
def from_prefix(target: Target, prefix: Prefix) -> Iterator[None]:
    """Inside the block, forwards on ``prefix.tokens`` start from what was cached."""
    if prefix.hidden is None:
        yield
        return
    with target.resumed(prefix.layer, prefix.hidden):
        yield


def prefix_logits(
    target: Target, prefix: Prefix, positions: Positions | None = None
) -> Float[Tensor, "n p vocabulary"]:
    """Logits of the windows, the cached part not run again."""
    with from_prefix(target, prefix):
        return target.logits(prefix.tokens, positions)
