"""Clean outputs and site inputs of all rows, computed once before the steps where memory holds them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from unweave.base.errors import UnweaveError
from unweave.base.memory import available_memory
from unweave.decompose.batches import Batches, RowBatches

if TYPE_CHECKING:
    from unweave.decompose.masked import MaskedTarget


class Precomputed:
    """What the clean target gives for every row of the data; a step takes the rows that it draws.

    Raises ``UnweaveError`` for data that is drawn by a function, and with both numbers when a device has too little
    room. Inputs that several sites read are held once.
    """

    def __init__(
        self,
        model: MaskedTarget,
        batches: Batches,
        batch: int,
        available: Callable[[torch.device], int | None] = available_memory,
    ) -> None:
        if not isinstance(batches, RowBatches):
            raise UnweaveError(
                "precompute needs rows that come up again, and this data is a function that draws batches: give the "
                "rows themselves, or set precompute to False"
            )
        self._batches, rows = batches, batches.rows
        found = model.clean_rows(rows[:batch])
        self._reads = _readers(found[1])
        self._held = _room(found, set(self._reads.values()), len(rows), available)
        for start in range(0, len(rows), batch):
            output, inputs = found if start == 0 else model.clean_rows(rows[start : start + batch])
            for name, held in self._held.items():
                held[start : start + batch] = output if name == _OUTPUT else inputs[name]

    def __call__(self, step: int, place: range) -> tuple[Tensor, dict[str, Tensor]]:
        """Output and inputs of some of a step's samples."""
        drawn = self._batches.drawn(step)[place.start : place.stop]
        found = {name: held[drawn.to(held.device)] for name, held in self._held.items()}
        return found[_OUTPUT], {name: found[read] for name, read in self._reads.items()}


_OUTPUT = ""
"""Beside the names of sites: the target's own output."""


def _readers(inputs: Mapping[str, Tensor]) -> dict[str, str]:
    """For every site the first that reads the same tensor."""
    first: dict[int, str] = {}
    return {name: first.setdefault(id(x), name) for name, x in inputs.items()}


def _room(
    found: tuple[Tensor, Mapping[str, Tensor]],
    sites: Collection[str],
    count: int,
    available: Callable[[torch.device], int | None],
) -> dict[str, Tensor]:
    """Empty tensors for ``count`` rows of what the first batch gave."""
    output, inputs = found
    tensors = {_OUTPUT: output, **{name: inputs[name] for name in sites}}
    needed: dict[torch.device, int] = {}
    for tensor in tensors.values():
        needed[tensor.device] = needed.get(tensor.device, 0) + tensor[0].nbytes * count
    for device, size in needed.items():
        free = available(device)
        if free is not None and size > free:
            raise UnweaveError(
                f"precompute needs {size / 1e9:.1f} GB on {device} for the clean outputs and inputs of {count:,} rows, "
                f"and {free / 1e9:.1f} GB are free: set precompute to False, or give fewer windows"
            )
    return {name: tensor.new_empty(count, *tensor.shape[1:]) for name, tensor in tensors.items()}
