"""Attribution over text: the edges of all prompt graphs of many windows, summed, in memory that no window adds to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from unweave.base.errors import UnweaveError, nearest
from unweave.base.memory import available_memory
from unweave.base.progress import Progress, Silent
from unweave.decompose.decomposition import Decomposition
from unweave.models.target import Target
from unweave.read.attribution_parts import Parts
from unweave.read.cut import Attention, CutTarget, Norms, Pass
from unweave.read.edge_table import EdgeTable
from unweave.read.features import SubcomponentDictionary

SOURCES, BATCH, CHUNK = 50, 8, 128
_SHARE = 0.8


class Sums(NamedTuple):
    """Edges from everything (all subcomponents in order, then embeddings) to some targets, summed over text."""

    signed: Float[Tensor, "targets sources"]
    toward: Float[Tensor, "targets sources"]
    absolute: Float[Tensor, "targets sources"]


@dataclass(frozen=True)
class _Counts:
    """What one pass over the text says of every subcomponent where it fires."""

    importance: Float[Tensor, " c"]
    square: Float[Tensor, " c"]
    firing: Int[Tensor, " c"]


def dataset_attribution(
    target: Target,
    decomposition: Decomposition | SubcomponentDictionary,
    tokens: Int[Tensor, "n t"] | np.ndarray,
    *,
    targets: Sequence[str] | None = None,
    sources: int = SOURCES,
    attention: Attention = "through",
    norms: Norms = "frozen",
    batch: int = BATCH,
    chunk: int = CHUNK,
    out: Path | None = None,
    progress: Progress | None = None,
) -> EdgeTable:
    """Edges of prompt graphs (``prompt_graph``), from every subcomponent that fires to every one, summed over windows.

    Of each target (``site:index``; None: all that fire in the text) the ``sources`` of the largest absolute sum are
    kept. Targets are taken ``chunk`` at a time through all windows, so that which sources are largest is exact and
    memory is that of a chunk. With ``out``, a new folder, a stopped run goes on after its last finished chunk; the
    result is saved there. Cost: a backward pass for each target, batch and sign of its activation.

    Raises ``UnweaveError`` for an unknown target, windows of no tokens, or too little memory (with the number).
    """
    made = decomposition.decomposition if isinstance(decomposition, SubcomponentDictionary) else decomposition
    windows, progress = torch.as_tensor(tokens, dtype=torch.long), progress or Silent()
    if windows.dim() != 2 or not windows.numel():
        raise UnweaveError(f"tokens have shape {tuple(windows.shape)}, and windows (n, t) with tokens are needed")
    for name, value in (("sources", sources), ("batch", batch), ("chunk", chunk)):
        if value < 1:
            raise UnweaveError(f"{name} is {value}, and it must be at least 1")
    if out is not None and Path(out).exists():
        raise UnweaveError(f"{out} already exists: choose another --out, or remove it first")
    model = CutTarget(target, made, attention, norms)
    names = [f"{site}:{index}" for site, pieces in made.sites.items() for index in range(len(pieces))]
    wanted = _rows(names, targets)
    _check_memory(model, target, windows, batch, chunk, len(names))
    adder = _Adder(model, windows, batch)
    counts = adder.count(progress)
    alive = [row for row in wanted.tolist() if counts.firing[row]]
    # Chunks are numbered over these: what fires here and not on another device would shift them all.
    parts = Parts.open(out, model, windows, torch.tensor(alive, dtype=torch.long), sources, chunk)
    groups = [alive[start : start + chunk] for start in range(0, len(alive), chunk)]
    for number, rows in enumerate(groups):
        if not parts.has(number):
            progress.update(number * chunk, len(alive), "targets")
            sums = adder.sums(rows, progress, number * chunk, len(alive))
            parts.keep(number, *_largest(sums, rows, sources))
    progress.update(len(alive), len(alive), "targets")
    columns = parts.columns(len(groups))
    table = EdgeTable(
        names=(*names, *adder.embeddings),
        subcomponents=len(names),
        columns=columns,
        importance=torch.cat([counts.importance, adder.tokens_read]).cpu().numpy(),
        rms=(counts.square / counts.firing.clamp_min(1)).sqrt().cpu().numpy(),
        firing=counts.firing.cpu().numpy(),
        tokens=windows.numel(),
        target=target.identity.digest,
        target_name=target.name,
        decomposition=made.digest(),
        attention=attention,
        norms=norms,
        passed_through=tuple(model.passed_through),
    )
    if out is not None:
        table.save(out)
        parts.remove()
    return table


def _rows(names: Sequence[str], targets: Sequence[str] | None) -> Int[Tensor, " k"]:
    if targets is None:
        return torch.arange(len(names))
    known = {name: row for row, name in enumerate(names)}
    for name in targets:
        if name not in known:
            raise UnweaveError(f"subcomponent {name!r} is not in this decomposition; {nearest(name, known)}")
    return torch.tensor(sorted({known[name] for name in targets}))


def _largest(sums: Sums, rows: Sequence[int], count: int) -> tuple[Tensor, Tensor, Sums]:
    """Target and source of each edge that is kept, and its sums."""
    best = sums.absolute.topk(min(count, sums.absolute.shape[1]), dim=1)
    kept = best.values > 0
    owners = torch.tensor(rows, device=kept.device)[:, None].expand_as(kept)[kept]
    return owners, best.indices[kept], Sums(*(part.gather(1, best.indices)[kept] for part in sums))


def _check_memory(
    model: CutTarget, target: Target, windows: Tensor, batch: int, chunk: int, subcomponents: int
) -> None:
    """A forward pass with its graph, and the sums of a chunk."""
    tokens = min(batch, len(windows)) * windows.shape[1]
    widths = sum(2 * site.d_in + 4 * site.d_out for site in model.sites.values())
    needed = tokens * 4 * (widths + 4 * subcomponents + 3 * target.vocabulary) + 3 * 4 * chunk * subcomponents
    free = available_memory(target.device)
    if free is not None and needed > _SHARE * free:
        raise UnweaveError(
            f"a batch of {tokens:,} tokens and {chunk} targets at a time take about {needed / 1e9:.1f} GB, and "
            f"{free / 1e9:.1f} GB are free: set batch or chunk lower, or use shorter windows"
        )


class _Adder:
    """Sums edges over the windows of a text."""

    def __init__(self, model: CutTarget, windows: Int[Tensor, "n t"], batch: int) -> None:
        self.model, self.windows, self.batch = model, windows, batch
        self.first: dict[str, int] = {}
        count = 0
        for name, pieces in model.decomposition.sites.items():
            self.first[name] = count
            count += len(pieces)
        self.subcomponents = count
        self.embeddings: list[str] = []
        self.tokens_read = torch.zeros(0)
        """How often each embedding was read: what stands for a sum of importances there."""

    def _passes(self) -> Iterator[Pass]:
        for part in self.windows.split(self.batch):
            yield self.model.run(part)

    def count(self, progress: Progress) -> _Counts:
        """Sums of importances, squared activations and firings, and which embeddings there are."""
        device = next(iter(self.model.readers.values())).device
        importance, square = (torch.zeros(self.subcomponents, device=device) for _ in range(2))
        firing = torch.zeros(self.subcomponents, dtype=torch.long, device=device)
        read: dict[str, int] = {}
        for number, passed in enumerate(self._passes()):
            progress.update(number * self.batch, len(self.windows), "windows read")
            for name, site in passed.sites.items():
                here = slice(self.first[name], self.first[name] + site.importance.shape[-1])
                fires = site.fires
                importance[here] += (site.importance * fires).sum((0, 1))
                square[here] += (site.activation.square() * fires).sum((0, 1))
                firing[here] += fires.sum((0, 1))
            for name, (looked_up, _) in passed.embeddings.items():
                read[name] = read.get(name, 0) + looked_up.numel()
        self.embeddings = list(read)
        self.tokens_read = torch.tensor([float(count) for count in read.values()], device=device)
        return _Counts(importance, square, firing)

    def sums(self, rows: Sequence[int], progress: Progress, done: int, total: int) -> Sums:
        """Sums of edges to the targets in ``rows`` over all windows."""
        device = self.tokens_read.device
        width = self.subcomponents + len(self.embeddings)
        found = Sums(*(torch.zeros(len(rows), width, device=device) for _ in range(3)))
        owners = [self._owner(row) for row in rows]
        batches = -(-len(self.windows) // self.batch)
        for number, passed in enumerate(self._passes()):
            for place, (name, index) in enumerate(owners):
                site = passed.sites[name]
                activation, fires = site.activation[..., index], site.fires[..., index]
                for sign in (1.0, -1.0):
                    where = fires & (sign * activation > 0)
                    if bool(where.any()):
                        along = where[..., None] * self.model.readers[name][:, index]
                        gradients = passed.gradients(site.input, along.to(site.input.dtype))
                        self._add(found, place, passed, gradients, sign)
            share = (number + 1) / batches
            progress.update(done + int(share * len(rows)), total, "targets")
        return found

    def _owner(self, row: int) -> tuple[str, int]:
        name = max((name for name, first in self.first.items() if first <= row), key=lambda each: self.first[each])
        return name, row - self.first[name]

    def _add(self, found: Sums, place: int, passed: Pass, gradients: Mapping[str, Tensor], sign: float) -> None:
        for name, gradient in gradients.items():
            if name in passed.sites:
                here = slice(self.first[name], self.first[name] + passed.sites[name].importance.shape[-1])
                flat = gradient.flatten(0, 1)
                # Most of a gradient is 0: a subcomponent that reads the stream has one at its own positions only.
                live = flat.any(-1).nonzero()[:, 0]
                edges = (flat[live] @ self.model.writers[name].T) * passed.sites[name].weighted.flatten(0, 1)[live]
            else:
                first = self.subcomponents + self.embeddings.index(name)
                here = slice(first, first + 1)
                vectors = passed.embeddings[name][1].detach().float()
                edges = (gradient * vectors).sum(-1).reshape(-1, 1)
            found.signed[place, here] += edges.sum(0)
            found.toward[place, here] += sign * edges.sum(0)
            found.absolute[place, here] += edges.abs().sum(0)
