"""Clean outputs and site inputs of all rows, computed once before the steps where memory holds them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from unweave.base.errors import UnweaveError
from unweave.decompose.batches import Batches, RowBatches
from unweave.decompose.masked import MaskedTarget, check_rows
from unweave.models.sites import Site
from unweave.models.target import Target


class Precomputed:
    """What the clean target gives for every row of the data; a step takes the rows that it draws.

    Raises ``UnweaveError`` for data that is drawn by a function, and for sites that do not see every row. Inputs that
    several sites read are held once. Whether there is room is asked before a run, with ``kept_bytes``.
    """

    def __init__(self, model: MaskedTarget, batches: Batches, batch: int) -> None:
        self._batches = _row_batches(batches)
        rows = self._batches.rows
        self._reads, first = _clean(model, rows[:batch])
        self._held = {name: tensor.new_empty(len(rows), *tensor.shape[1:]) for name, tensor in first.items()}
        for start in range(0, len(rows), batch):
            found = first if start == 0 else _clean(model, rows[start : start + batch])[1]
            for name, held in self._held.items():
                held[start : start + batch] = found[name]

    def __call__(self, step: int, place: range) -> tuple[Tensor, dict[str, Tensor]]:
        """Output and inputs of some of a step's samples."""
        drawn = self._batches.drawn(step)[place.start : place.stop]
        found = {name: held[drawn.to(held.device)] for name, held in self._held.items()}
        return found[_OUTPUT], {name: found[read] for name, read in self._reads.items()}


def kept_bytes(target: Target, groups: Iterable[Sequence[Site]], batches: Batches) -> dict[torch.device, int]:
    """What ``Precomputed`` will keep on each device, of several groups of sites the one that keeps most there.

    One row is run through the target, because shapes do not say which sites read one tensor.
    """
    rows = _row_batches(batches).rows
    most: dict[torch.device, int] = {}
    for sites in groups:
        with MaskedTarget(target, sites).attached() as model:
            _, found = _clean(model, rows[:1])
        kept: dict[torch.device, int] = {}
        for tensor in found.values():
            kept[tensor.device] = kept.get(tensor.device, 0) + tensor.nbytes * len(rows)
        most |= {device: max(size, most.get(device, 0)) for device, size in kept.items()}
    return most


_OUTPUT = ""
"""Beside the names of sites: the target's own output."""


def _clean(model: MaskedTarget, rows: Tensor) -> tuple[dict[str, str], dict[str, Tensor]]:
    """For every site the first that reads the same tensor; and the output and those sites' inputs, by name."""
    output, inputs = model.clean_rows(rows)
    check_rows(inputs, model.sites, rows)
    first: dict[int, str] = {}
    reads = {name: first.setdefault(id(x), name) for name, x in inputs.items()}
    return reads, {_OUTPUT: output, **{name: inputs[name] for name in first.values()}}


def _row_batches(batches: Batches) -> RowBatches:
    if not isinstance(batches, RowBatches):
        raise UnweaveError(
            "precompute needs rows that come up again, and this data is a function that draws batches: give the rows "
            "themselves, or set precompute to False"
        )
    return batches
