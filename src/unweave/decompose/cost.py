"""What a whole-model decomposition will cost, before it starts: parameters, arithmetic and memory of a step.

Counts follow from shapes alone. A multiplication and addition are two FLOPs; a backward pass counts twice the forward
where both inputs need gradients and once where only one does.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from unweave.base.errors import UnweaveError
from unweave.base.memory import available_memory
from unweave.decompose.config import RECONSTRUCTIONS, WholeModelConfig
from unweave.decompose.groups import site_groups
from unweave.decompose.processes import Processes
from unweave.decompose.start import subcomponent_count
from unweave.models.sites import Site
from unweave.models.target import Target

FLOAT = 4


@dataclass(frozen=True)
class Cost:
    """On each of ``devices`` that share a step's samples; what is trained is float32, the target has its own type."""

    sites: int
    subcomponents: int
    target_parameters: int
    piece_parameters: int
    """Numbers in all V and U."""
    importance_parameters: int
    rows: int
    """Tokens a step (samples, where rows have no positions), on all devices together."""
    devices: int
    groups: int
    part_rows: int
    """Rows that are put through the model at once."""
    steps: int
    """Of all groups together."""
    flops: float
    """Of one training step on one device, on average over the groups."""
    bytes_fixed: int
    """The target, and of the largest group what is trained with its gradients and both moments of AdamW, the
    adversary's sources, and one site's delta."""
    bytes_step: int
    """Activations kept for the backward pass, at most."""
    bytes_exchanged: int
    """Sent by a device in a step, to add gradients up round a ring of them."""
    bytes_result: int
    """The decomposition on disk; a checkpoint of the largest group is about three times as large as its part of it."""

    @property
    def bytes(self) -> int:
        return self.bytes_fixed + self.bytes_step

    def hours(self, flops_per_second: float) -> float:
        """Of all steps, at a rate that a device really reaches."""
        return self.flops * self.steps / flops_per_second / 3600

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "bytes": self.bytes}


def estimate_cost(
    target: Target, config: WholeModelConfig, rows: int | None = None, samples: int | None = None, devices: int = 1
) -> Cost:
    """The cost of ``config`` on ``target``; pruning is not counted, so it is what the run begins with.

    ``rows`` and ``samples`` are those of a step, where they are not ``batch`` windows of ``window_length``.
    """
    samples = samples or config.batch
    rows = rows or samples * config.window_length
    cut = _cut(config, rows, samples, devices)
    groups = [_GroupCost(target, config, group, cut) for group in site_groups(target.sites(config.sites), config)]
    largest = max(groups, key=lambda group: group.bytes_fixed + group.bytes_step)
    return Cost(
        sites=sum(len(group.sites) for group in groups),
        subcomponents=sum(sum(group.counts) for group in groups),
        target_parameters=sum(p.numel() for p in target.module.parameters()),
        piece_parameters=sum(group.pieces for group in groups),
        importance_parameters=sum(group.importance for group in groups),
        rows=rows,
        devices=devices,
        groups=len(groups),
        part_rows=cut.part_rows,
        steps=config.steps * len(groups),
        flops=sum(group.flops for group in groups) / len(groups),
        bytes_fixed=largest.bytes_fixed,
        bytes_step=largest.bytes_step,
        bytes_exchanged=largest.bytes_exchanged,
        bytes_result=FLOAT * sum(group.pieces + group.importance for group in groups),
    )


@dataclass(frozen=True)
class _Cut:
    """How a device works through a step: its rows, in so many parts, beside so many devices."""

    rows: float
    parts: int
    devices: int
    part_rows: int


def _cut(config: WholeModelConfig, rows: int, samples: int, devices: int) -> _Cut:
    own = math.ceil(samples / devices)
    part = min(config.micro_batch or own, own)
    return _Cut(rows * own / samples, math.ceil(own / part), devices, round(rows * part / samples))


@dataclass(frozen=True)
class Room:
    """What a run puts on one device beside the target, in bytes: whatever the batch is, and for the rows of a part;
    and what was computed before the steps and is kept through them."""

    fixed: int
    step: int
    part_rows: int
    kept: int = 0

    @property
    def bytes(self) -> int:
        return self.fixed + self.step + self.kept


def estimate_room(
    target: Target,
    config: WholeModelConfig,
    rows: int | None = None,
    samples: int | None = None,
    devices: int = 1,
    base: bool = False,
    kept: Mapping[torch.device, int] | None = None,
) -> dict[torch.device, Room]:
    """The room that a run needs on each device of a loaded target, as ``estimate_cost`` reckons it; of several groups
    of sites the one that needs most there. ``devices`` is how many processes share a step's samples, ``base`` whether
    the difference from another checkpoint is taken apart, and ``kept`` the bytes that are computed before the steps.
    """
    samples = samples or config.batch
    cut = _cut(config, rows or samples * config.window_length, samples, devices)
    groups = [_GroupCost(target, config, group, cut, base) for group in site_groups(target.sites(config.sites), config)]
    found = {}
    for device in dict.fromkeys(parameter.device for parameter in target.module.parameters()):
        own = (kept or {}).get(device, 0)
        rooms = [Room(group.fixed(device), group.step(device), cut.part_rows, own) for group in groups]
        found[device] = max(rooms, key=lambda room: room.bytes)
    return found


class _GroupCost:
    """One group of sites on one device."""

    def __init__(
        self, target: Target, config: WholeModelConfig, sites: Sequence[Site], cut: _Cut, base: bool = False
    ) -> None:
        self.target, self.config, self.sites, self.cut, self.base = target, config, sites, cut, base
        self.counts = [subcomponent_count(config, site.d_in, site.d_out) for site in sites]
        self.pieces = sum(count * (site.d_in + site.d_out) for site, count in zip(sites, self.counts, strict=True))
        own = sum(_site_importance(config, site, count) for site, count in zip(sites, self.counts, strict=True))
        self.importance = _common_importance(config, sites) + own
        self.terms = [name for name in RECONSTRUCTIONS if getattr(config, name)]
        self.forwards = sum(len(sites) if name == "layerwise" else 1 for name in self.terms)
        # Gradients go back as far as the first masked site; what stands before it is run forwards only.
        every = list(target.all_sites().values())
        names = [site.name for site in every]
        output = target.output_embedding()
        unembedding = int(output.weight.numel()) if output is not None else 0  # type: ignore[union-attr]
        sizes = [site.d_in * site.d_out for site in every]
        self.matrices = sum(sizes) + unembedding
        self.behind = {
            site.name: (sum(sizes[names.index(site.name) :]) + unembedding) / self.matrices for site in sites
        }
        first = min(names.index(site.name) for site in sites)
        own = set(self.behind)
        self.downstream = [site for site in every[first:] if site.name not in own]

    @property
    def flops(self) -> float:
        config, cut = self.config, self.cut
        clean = 2 * cut.rows * self.matrices
        reach = max(self.behind.values())
        # Through frozen matrices only the gradient of the input is taken: forward and once more.
        masked = sum(
            sum(1 + behind for behind in self.behind.values()) if name == "layerwise" else 1 + reach
            for name in self.terms
        )
        flops = (1 + masked) * clean + (len(self.terms) * self.pieces + self.importance) * 3 * 2 * cut.rows
        # Parts are run clean again for each pass over the step: one an ascent, one for the rates of the frequency term.
        again = clean if cut.parts > 1 else 0
        if config.attacks:
            ascent = (1 + reach) * clean + 2 * 2 * cut.rows * self.pieces + 2 * cut.rows * self.importance
            flops += config.ascent_steps * (ascent + again)
        if config.frequency and cut.parts > 1:
            flops += again + 2 * cut.rows * self.importance
        deltas = [3 * 2 * site.d_in * site.d_out * count for site, count in zip(self.sites, self.counts, strict=True)]
        return flops + max(sum(Processes(rank, cut.devices).own(deltas)) for rank in range(cut.devices))

    @property
    def trained(self) -> int:
        """Numbers that have a gradient and two moments: pieces, importance function and kept sources."""
        return self.pieces + self.importance + _source_numbers(self.config, sum(self.counts) + len(self.sites))

    @property
    def bytes_fixed(self) -> int:
        return sum(p.numel() * p.element_size() for p in self.target.module.parameters()) + self.fixed()

    def fixed(self, device: torch.device | None = None) -> int:
        """What a run adds to the target whatever the batch: on a device, or on all where none is named."""
        here = [each for each in zip(self.sites, self.counts, strict=True) if self._is_on(device, each[0])]
        matrices = [site.d_in * site.d_out for site, _ in here]
        # Whatever is not float32, or a difference, is held once more in float32, where it is taken apart.
        copies = 0 if self.target.dtype.itemsize == FLOAT and not self.base else sum(matrices)
        # U at the scale of its matrix, of all sites, and the gradient of one.
        scaled = [site.d_out * count for site, count in here]
        trained = _common_importance(self.config, self.sites) if self._is_first(device) else 0
        for site, count in here:
            trained += count * (site.d_in + site.d_out) + _site_importance(self.config, site, count)
            trained += _source_numbers(self.config, count + 1)
        largest = 3 * max(matrices, default=0) + max(scaled, default=0)
        return FLOAT * (copies + 4 * trained + largest + sum(scaled))

    @property
    def bytes_step(self) -> int:
        return self.step()

    def step(self, device: torch.device | None = None) -> int:
        """What the rows of a part take: on a device, or on all where none is named."""
        # For every subcomponent and row 16 numbers, as benchmarks/cost.py measures a merged step without a compiler:
        # what logit, penalty, mask and activation keep, and their gradients. For every site its input, its output and
        # what the module itself keeps, and so for the whole sites that gradients pass through; logits of clean and
        # masked forward.
        here = [each for each in zip(self.sites, self.counts, strict=True) if self._is_on(device, each[0])]
        wide = sum(site.d_in + 2 * site.d_out for site, _ in here)
        passed = sum(site.d_in + 2 * site.d_out for site in self.downstream if self._is_on(device, site))
        # A module of features has no vocabulary, and its outputs are about as wide as its sites.
        module = self.target.module
        of_words = self.target.output_embedding() is not None or hasattr(getattr(module, "config", None), "vocab_size")
        logits = (4 * self.forwards + 2) * self.target.vocabulary if of_words and self._is_first(device) else 0
        pieces = 16 * sum(count for _, count in here) * len(self.terms)
        kept = pieces + wide * (1 + self.forwards) + passed * self.forwards + logits
        return round(FLOAT * self.cut.rows / self.cut.parts * kept)

    def _is_on(self, device: torch.device | None, site: Site) -> bool:
        return device is None or self.target.stored_in(site)[0] == device

    def _is_first(self, device: torch.device | None) -> bool:
        """Whether what belongs to no site is there: the target's first device, to which outputs come back."""
        return device is None or self.target.device == device

    @property
    def bytes_exchanged(self) -> int:
        return 2 * (self.cut.devices - 1) * FLOAT * self.trained // self.cut.devices


def check_memory(
    needed: Mapping[torch.device, Room], available: Callable[[torch.device], int | None] = available_memory
) -> None:
    """Raises ``UnweaveError`` with both numbers when a run needs more memory on a device than is free there.

    ``available`` gives the free bytes of a device where the target is loaded already, None where nobody knows.
    Processes that ``torchrun`` starts on one machine share the CPU's.
    """
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    for device, room in needed.items():
        free = available(device)
        if free is not None and device.type == "cpu":
            free //= processes
        if free is not None and room.bytes > free:
            where = f" on {device}" if len(needed) > 1 else ""
            kept = f", {room.kept / 1e9:.1f} GB for what precompute keeps" if room.kept else ""
            less = "set precompute to False, " if room.kept else ""
            raise UnweaveError(
                f"a step needs about {room.bytes / 1e9:.1f} GB beside the target{where} ({room.fixed / 1e9:.1f} GB for "
                f"what is trained, {room.step / 1e9:.1f} GB for {room.part_rows} rows at once{kept}), and "
                f"{free / 1e9:.1f} GB are free: {less}use fewer sites, a smaller capacity, a micro_batch or more groups"
            )


def _site_importance(config: WholeModelConfig, site: Site, count: int) -> int:
    """Numbers of the importance function that belong to one site."""
    if config.importance == "component-mlp":
        return (3 * config.hidden + 1) * count
    head = (config.hidden + 1) * count
    return (site.d_in + 1) * config.hidden + head if config.importance == "site-mlp" else head


def _common_importance(config: WholeModelConfig, sites: Sequence[Site]) -> int:
    """Those that look at all sites at once."""
    if config.importance in ("site-mlp", "component-mlp"):
        return 0
    hidden = config.hidden
    first = (sum(site.d_in for site in sites) + 1) * hidden
    block = 4 * hidden**2 + 8 * hidden**2 + 5 * hidden
    return first + (config.depth * block if config.importance == "transformer" else 0)


def _source_numbers(config: WholeModelConfig, columns: int) -> int:
    if not config.attacks or config.adversary == "fresh":
        return 0
    reach = {
        "shared": 1,
        "position": config.window_length,
        "batch": config.batch * config.window_length,
        "pooled": config.pool,
    }
    return reach[config.sources] * columns
