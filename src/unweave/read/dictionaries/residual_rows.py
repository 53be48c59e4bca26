"""The residual stream after one layer, a row a token, kept in half precision to be read many times."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unweave.base.errors import UnweaveError, oserror_line
from unweave.base.memory import available_memory
from unweave.base.progress import Progress, Silent
from unweave.base.settings import cache_folder
from unweave.models.capture import _reserve
from unweave.models.target import Target
from unweave.read.features import Place
from unweave.read.observe import observe
from unweave.read.stream import padded_batches

Windows = Int[Tensor, "n t"] | np.ndarray | Sequence[Sequence[int]]


@dataclass(frozen=True)
class ResidualRows:
    """Rows times ``unit`` are the stream's values; a row's window says what hangs together with it."""

    values: Float[Tensor, "n d"]
    """float16, in memory, or on disk where there is too little of it."""
    unit: float
    windows: Int[Tensor, " n"]
    norms: Float[Tensor, " n"]
    """In the stream's own units."""

    def __len__(self) -> int:
        return len(self.windows)

    def usual(self, limit: float) -> Bool[Tensor, " n"]:
        """The tokens whose norm is at most ``limit`` times the mean."""
        return self.norms <= limit * self.norms.mean()


def residual_place(target: Target, layer: int) -> Place:
    """The residual stream that leaves block ``layer``; raises ``UnweaveError`` where there is no such block."""
    if target.blocks is None:
        raise UnweaveError(f"{target.name} has no list of blocks, so it has no residual stream between them")
    if not 0 <= layer < target.depth:
        raise UnweaveError(f"layer {layer} is not in this target: it has layers 0 to {target.depth - 1}")
    width = target.hidden_before(layer, torch.zeros(1, 2, dtype=torch.long)).shape[-1]
    return Place(f"{target.blocks}.{layer}", "output", width)


def token_sequences(windows: Windows) -> list[list[int]]:
    """Windows or token sequences of any lengths as lists, checked."""
    if isinstance(windows, (Tensor, np.ndarray)) and windows.ndim != 2:
        raise UnweaveError(f"windows are {tuple(windows.shape)}: give [windows, tokens], or one sequence a text")
    listed = [[int(token) for token in window] for window in windows]
    if not listed or not all(listed):
        raise UnweaveError(f"{len(listed)} windows with an empty one, or none: give one token or more in each")
    return listed


def residual_rows(
    target: Target, place: Place, sequences: Sequence[Sequence[int]], progress: Progress | None = None
) -> ResidualRows:
    """One pass over token sequences, in their order, and the stream at ``place`` at each of their tokens.

    Sequences of one forward are filled up on the right, which changes nothing before it in a causal model. Raises
    ``UnweaveError`` for values that are NaN or infinite.
    """
    progress = progress or Silent()
    lengths = np.array([len(each) for each in sequences])
    ends = np.cumsum(lengths)
    count, done, unit = int(ends[-1]), 0, 0.0
    values = _room(count, place.width)
    norms = torch.empty(count)
    for chosen, tokens in padded_batches(sequences):
        found = observe(target, {"rows": place}, tokens, logits=False).values["rows"].float().cpu()
        for i, rows in zip(chosen, found, strict=True):
            rows = rows[: lengths[i]]
            part = slice(int(ends[i] - lengths[i]), int(ends[i]))
            norms[part] = rows.norm(dim=1)
            # Half precision ends at 65504: in units of a usual row nothing but a sink comes near that.
            unit = unit or max(float(norms[part].median()) / place.width**0.5, 1e-12)
            values[part] = (rows / unit).half()
        if not bool(torch.isfinite(found).all()):
            raise UnweaveError(
                f"the {place.side} of {place.module!r} is NaN or infinite on some token: check the model"
            )
        done += int(lengths[chosen].sum())
        progress.update(done, count, "tokens read")
    return ResidualRows(values, unit, torch.from_numpy(np.repeat(np.arange(len(lengths)), lengths)), norms)


def _room(count: int, width: int) -> Float[Tensor, "n d"]:
    """Space for the rows: in memory where they take less than half of what is free, else in a nameless file."""
    size, free = count * width * 2, available_memory(torch.device("cpu"))
    if free is None or size < free / 2:
        return torch.empty(count, width, dtype=torch.float16)
    folder = cache_folder("residual")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            _reserve(file.fileno(), size)
            return torch.from_numpy(np.memmap(file, np.float16, "r+", shape=(count, width)))
    except OSError as error:
        raise oserror_line(error, folder) from error
