"""What a decomposition learns from: windows of a corpus, rows that a person gives, or batches drawn by a function."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from unweave.base.errors import UnweaveError
from unweave.base.seeds import numpy_generator
from unweave.corpora.text import Corpus
from unweave.corpora.windows import windows_by_label
from unweave.models.target import Target

Batches = Callable[[int], Tensor]
"""A step's whole batch, as a function of the step alone: samples first."""

FINGERPRINTED = 8
"""Batches that tell one function from another."""


@dataclass(frozen=True)
class RowBatches:
    """Batches of rows (token windows, or rows of features) drawn with replacement, by seed and step alone."""

    rows: Tensor
    batch: int
    seed: int = 0
    order: np.ndarray | None = None
    """Rows to draw from, a row as often as it stands here; every row once when None."""

    def __call__(self, step: int) -> Tensor:
        return self.rows[self.drawn(step)]

    def drawn(self, step: int) -> Int[Tensor, " batch"]:
        """Numbers of the rows of a step's batch."""
        drawn = numpy_generator(self.seed, "batch", step).integers(
            len(self.rows) if self.order is None else len(self.order), size=self.batch
        )
        return torch.as_tensor(drawn if self.order is None else self.order[drawn])


def text_windows(
    target: Target, corpus: Corpus, part: str, most: int, length: int, labels: Sequence[str] | None = None
) -> dict[str, np.ndarray]:
    """Up to ``most`` windows a label: a label with less text (a Declaration) gives what it has.

    Raises ``UnweaveError`` for a target without a tokenizer, which cannot read text.
    """
    if target.tokenizer is None:
        raise UnweaveError(
            f"{target.name} has no tokenizer to read corpus {corpus.name!r} with: load it with its tokenizer, or give "
            "windows of tokens (n, t)"
        )
    return windows_by_label(target.tokenizer, corpus, part, labels or None, length, at_most=most)


def balanced_rows(counts: Sequence[int]) -> np.ndarray:
    """Row numbers in which every label stands about equally often: those of a short label are repeated."""
    starts = np.concatenate([[0], np.cumsum(counts)])
    most = max(counts)
    return np.concatenate(
        [
            np.tile(np.arange(start, start + count), -(-most // count))[:most]
            for start, count in zip(starts, counts, strict=False)
        ]
    )


def check_data(rows: Tensor) -> None:
    """Raises ``UnweaveError`` for data that is empty, has no rows, or holds NaN or infinite values."""
    if rows.dim() < 2 or not rows.numel():
        raise UnweaveError(
            f"the data has shape {tuple(rows.shape)}: give windows of tokens (n, t) or rows of features (n, d)"
        )
    if rows.is_floating_point() and not bool(torch.isfinite(rows).all()):
        raise UnweaveError("the data has NaN or infinite values: remove those rows first")


def fingerprint_batches(batches: Batches, steps: int = FINGERPRINTED) -> str:
    """A short hash of the first batches of a function, each of them checked.

    Raises ``UnweaveError`` for a batch that is no tensor, is empty, or holds NaN or infinite values.
    """
    digest = hashlib.sha256()
    for step in range(steps):
        batch = batches(step)
        if not isinstance(batch, Tensor):
            raise UnweaveError(f"the batch of step {step + 1} is a {type(batch).__name__}, and a tensor is needed")
        check_data(batch)
        digest.update(fingerprint(batch).encode())
    return digest.hexdigest()[:16]


def fingerprint(rows: Tensor) -> str:
    """A short hash of the data's values, type and shape."""
    raw = rows.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
    digest = hashlib.sha256(f"{rows.dtype}{tuple(rows.shape)}".encode())
    digest.update(raw.numpy().tobytes())
    return digest.hexdigest()[:16]
