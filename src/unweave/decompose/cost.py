"""What a whole-model decomposition will cost, before it starts, and whether there is room for it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch

from unweave.base.errors import UnweaveError
from unweave.base.memory import available_memory
from unweave.decompose.config import WholeModelConfig
from unweave.decompose.group_cost import FLOAT, GroupCost, cut_step
from unweave.decompose.groups import site_groups
from unweave.models.target import Target


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
    adversary's sources, and one site's delta; and what the process itself takes."""
    bytes_step: int
    """Activations kept for the backward pass, at most."""
    bytes_start: int
    """Of the CPU's memory beside the target, while pieces that start from inputs are placed; 0 for random ones."""
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

    ``rows`` and ``samples`` are those of a step, where they are not ``batch`` windows of ``window_length``. Raises
    ``UnweaveError`` when there are fewer samples than devices.
    """
    samples = samples or config.batch
    rows = rows or samples * config.window_length
    cut = cut_step(config, rows, samples, devices)
    groups = [GroupCost(target, config, group, cut) for group in site_groups(target.sites(config.sites), config)]
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
        bytes_start=max(group.start() for group in groups),
        bytes_exchanged=largest.bytes_exchanged,
        bytes_result=FLOAT * sum(group.pieces + group.importance for group in groups),
    )


@dataclass(frozen=True)
class Room:
    """What a run puts on one device beside the target, in bytes: whatever the batch is, and for the rows of a part;
    what was computed before the steps and is kept through them; and, before any of it, for placing the pieces."""

    fixed: int
    step: int
    part_rows: int
    kept: int = 0
    start: int = 0

    @property
    def steps(self) -> int:
        return self.fixed + self.step + self.kept

    @property
    def bytes(self) -> int:
        return max(self.steps, self.start)


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
    Pieces are placed in the CPU's memory, wherever the target is.
    """
    samples = samples or config.batch
    cut = cut_step(config, rows or samples * config.window_length, samples, devices)
    groups = [GroupCost(target, config, group, cut, base) for group in site_groups(target.sites(config.sites), config)]
    used = [parameter.device for parameter in target.module.parameters()]
    if any(group.start() for group in groups):
        used.append(torch.device("cpu"))
    found = {}
    for device in dict.fromkeys(used):
        own, on_cpu = (kept or {}).get(device, 0), device.type == "cpu"
        rooms = [
            Room(group.fixed(device), group.step(device), cut.part_rows, own, on_cpu * group.start())
            for group in groups
        ]
        found[device] = max(rooms, key=lambda room: room.bytes)
    return found


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
        if free is None or room.bytes <= free:
            continue
        where = f" on {device}" if len(needed) > 1 else ""
        if room.start > room.steps:
            raise UnweaveError(
                f"placing pieces by the sites' inputs needs about {room.start / 1e9:.1f} GB beside the target{where}, "
                f"and {free / 1e9:.1f} GB are free: set start to random, or use fewer sites or more groups"
            )
        kept = f", {room.kept / 1e9:.1f} GB for what precompute keeps" if room.kept else ""
        less = "set precompute to False, " if room.kept else ""
        raise UnweaveError(
            f"a step needs about {room.bytes / 1e9:.1f} GB beside the target{where} ({room.fixed / 1e9:.1f} GB for "
            f"what is trained, {room.step / 1e9:.1f} GB for {room.part_rows} rows at once{kept}), and "
            f"{free / 1e9:.1f} GB are free: {less}use fewer sites, a smaller capacity or hidden, a micro_batch or more "
            "groups"
        )
