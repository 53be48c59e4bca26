"""Sites taken apart group by group, so that the subcomponents of a few of them at a time are in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from unweave.base.errors import UnweaveError
from unweave.base.progress import Progress, Silent
from unweave.decompose.batches import Batches
from unweave.decompose.checkpoint import CHECKPOINT_SECONDS, read_checkpoint, write_checkpoint
from unweave.decompose.clock import Clock
from unweave.decompose.config import WholeModelConfig
from unweave.decompose.decomposition import Decomposition
from unweave.decompose.processes import join_processes
from unweave.decompose.start import subcomponent_count
from unweave.decompose.whole_model import run_settings, train_whole_model
from unweave.models.sites import Site
from unweave.models.target import Target

Log = Callable[[dict[str, float]], None]


def site_groups(sites: Sequence[Site], config: WholeModelConfig) -> list[list[Site]]:
    """Neighbouring sites in ``config.groups`` groups, cut so that the largest group's subcomponents are fewest numbers.

    Raises ``UnweaveError`` when there are more groups than sites.
    """
    if config.groups > len(sites):
        raise UnweaveError(
            f"groups is {config.groups} and there are {len(sites)} sites: set it to {len(sites)} or less"
        )
    sizes = [subcomponent_count(config, site.d_in, site.d_out) * (site.d_in + site.d_out) for site in sites]
    low, high = max(sizes), sum(sizes)
    while low < high:
        middle = (low + high) // 2
        if len(_cut(sizes, middle, config.groups)) <= config.groups:
            high = middle
        else:
            low = middle + 1
    return [[sites[number] for number in group] for group in _cut(sizes, low, config.groups)]


def _cut(sizes: Sequence[int], most: int, groups: int) -> list[list[int]]:
    """Numbers in groups of at most ``most`` together: as many as are asked for, or more where it is too small."""
    found: list[list[int]] = [[]]
    total = 0
    for number, size in enumerate(sizes):
        one_each = len(sizes) - number <= groups - len(found)
        if found[-1] and (total + size > most or one_each):
            found.append([])
            total = 0
        found[-1].append(number)
        total += size
    return found


def train_in_groups(
    target: Target,
    sites: Sequence[Site],
    batches: Batches,
    config: WholeModelConfig,
    *,
    base: Target | None = None,
    known: Decomposition | None = None,
    folder: Path | None = None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    origin: str = "",
    clock: Clock | None = None,
    progress: Progress | None = None,
    log: Log | None = None,
) -> dict[str, Tensor]:
    """``train_whole_model`` for one group of sites after the other; returns the tensors of all by name.

    The other sites are whole while a group is trained, so a group learns nothing of masks elsewhere. With ``folder`` a
    finished group is kept there and left, and an interrupted call goes on with the next group, or within one; the
    tensors returned are then mapped from those files, and take memory only where they are read.
    """
    progress, clock = progress or Silent(), clock or Clock()
    options = {
        "base": base,
        "known": known,
        "checkpoint_seconds": checkpoint_seconds,
        "origin": origin,
        "clock": clock,
    }
    groups = site_groups(sites, config)
    if len(groups) == 1:
        checkpoint = folder / "whole-model.safetensors" if folder else None
        return train_whole_model(
            target, sites, batches, config, checkpoint=checkpoint, progress=progress, log=log, **options
        )
    processes = join_processes()
    found: dict[str, Tensor] = {}
    files: list[tuple[Path, dict[str, Any]]] = []
    for number, group in enumerate(groups):
        name = f"group-{number + 1}-of-{len(groups)}"
        kept = folder / f"{name}.safetensors" if folder else None
        checkpoint = folder / f"{name}.training.safetensors" if folder else None
        settings = run_settings(group, origin, config)
        done = read_checkpoint(kept, settings) if kept is not None else None
        processes.agree(f"whether {kept} is finished", done is not None)
        if done is not None:
            clock.before = done.seconds
        else:
            if processes.first:
                progress.say(f"group {number + 1} of {len(groups)}: {group[0].name} to {group[-1].name}")
            tensors = train_whole_model(
                target,
                group,
                batches,
                config,
                checkpoint=checkpoint,
                progress=_Slice(progress, number, len(groups)),
                log=_numbered(log, number, config.steps),
                **options,
            )
            if kept is None or checkpoint is None:
                found |= tensors
            elif processes.first:
                write_checkpoint(kept, settings, config.steps, tensors, clock.seconds)
                checkpoint.unlink(missing_ok=True)
            del tensors
        if kept is not None:
            files.append((kept, settings))
    processes.agree("whether all groups are finished", True)
    for kept, settings in files:
        stored = read_checkpoint(kept, settings)
        if stored is None:
            raise UnweaveError(f"{kept} is gone, a group that was finished: make the same call again")
        found |= stored.tensors
    # The first process removes these files once the result is saved: not while another still reads them.
    processes.agree("whether all groups were read", True)
    return found


class _Slice:
    """Progress of one group as a part of the whole."""

    def __init__(self, progress: Progress, number: int, count: int) -> None:
        self.progress, self.number, self.count = progress, number, count

    def update(self, done: int, total: int, note: str = "") -> None:
        note = f"group {self.number + 1} of {self.count} {note}".rstrip()
        self.progress.update(self.number * total + done, self.count * total, note)

    def say(self, line: str) -> None:
        self.progress.say(line)


def _numbered(log: Log | None, number: int, steps: int) -> Log | None:
    """A log that counts steps from the first group's first, and says which group a row is of."""
    if log is None:
        return None
    return lambda row: log({**row, "step": number * steps + row["step"], "group": number + 1})
