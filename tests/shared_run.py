"""What each of two processes does in ``test_processes.py``; the results come back in files."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import cut
import tiny
import torch
import torch.distributed as dist

from unweave.base.errors import UnweaveError
from unweave.base.files import save_tensors
from unweave.decompose import groups, whole_model
from unweave.decompose import run as front_door
from unweave.decompose.processes import join_processes
from unweave.decompose.run import decompose
from unweave.decompose.whole_model import train_whole_model

CUT = "pooled, ascents, frequency"
CASES = [
    *((run, {}, 6) for run in cut.RUNS),
    (CUT, {"micro_batch": 2}, 6),
    # Three samples in one process and four in the other, in one part and in two.
    (CUT, {"micro_batch": 3}, 7),
    ("position, fresh", {"micro_batch": 2}, 7),
]
PRUNED = "other terms, pruned"


def work(rank: int, folder: str) -> None:
    """Trains every case, goes on from a checkpoint, and meets what is refused."""
    torch.set_num_threads(1)
    store = f"file://{folder}/store"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
    tensors, told = {}, {}
    for number, (run, options, batch) in enumerate(CASES):
        logged, gradients, result = cut.measured(cut.config_of(run, **options), batch)
        told[f"case {number}"] = logged
        for step, found in enumerate(gradients):
            tensors |= {f"{number}|{step}|{name}": tensor for name, tensor in found.items()}
        tensors |= {f"{number}||{name}": tensor for name, tensor in result.items()}
    told["writes"], told["refused"] = 0, {}
    for name, result in going_on(Path(folder), told).items():
        tensors[f"going on||{name}"] = result
    told["groups"] = in_groups(Path(folder))
    for what, attempt in REFUSED.items():
        try:
            attempt(rank)
        except UnweaveError as error:
            told["refused"][what] = str(error)
    told["stopped"] = stopped(rank, Path(folder))
    save_tensors({name: t.contiguous() for name, t in tensors.items()}, Path(folder) / f"{rank}.safetensors")
    (Path(folder) / f"{rank}.json").write_text(json.dumps(told))
    dist.destroy_process_group()


def going_on(folder: Path, told: dict) -> dict[str, torch.Tensor]:
    """A run that is stopped after three steps, one of them the pruning, and goes on from its checkpoint."""
    target, config, path = tiny.words(), cut.config_of(PRUNED), folder / "x.safetensors"
    step, write = whole_model.Training.step, whole_model.write_checkpoint

    def stopped(self, number):
        if number == 3:
            raise KeyboardInterrupt
        return step(self, number)

    def counted(*arguments):
        told["writes"] += 1
        write(*arguments)

    options = {"checkpoint": path, "checkpoint_seconds": 0, "log": lambda row: told.setdefault("logged", []).append(1)}
    whole_model.Training.step, whole_model.write_checkpoint = stopped, counted
    try:
        train_whole_model(target, target.sites(), tiny.sentences(), config, **options)
    except KeyboardInterrupt:
        pass
    finally:
        whole_model.Training.step, whole_model.write_checkpoint = step, write
    join_processes().agree("the step", 3)
    return train_whole_model(target, target.sites(), tiny.sentences(), config, **options)


def in_groups(folder: Path) -> dict[str, object]:
    """Two groups of sites through the front door, into one folder."""
    target, saved, save = tiny.words(), [], groups.write_checkpoint
    groups.write_checkpoint = lambda *arguments: saved.append(1) or save(*arguments)
    try:
        config = cut.config_of("shared", groups=2)
        made = decompose(target, tiny.sentences(), config, out=folder / "made", checkpoint_seconds=0)
    finally:
        groups.write_checkpoint = save
    return {
        "digest": made.digest(),
        "finished groups": len(saved),
        "left": sorted(os.listdir(folder)),
        "card": made.card["processes"],
    }


def other_data(rank: int) -> None:
    train_whole_model(tiny.words(), tiny.words().sites(), tiny.sentences(seed=rank), cut.config_of("shared"))


def other_settings(rank: int) -> None:
    config = replace(cut.config_of("shared"), seed=rank)
    train_whole_model(tiny.words(), tiny.words().sites(), tiny.sentences(), config)


def too_few_samples(rank: int) -> None:
    train_whole_model(tiny.words(), tiny.words().sites(), tiny.sentences(1), cut.config_of("shared"))


STOPPED = {
    "before": (1, front_door, "estimate_room", UnweaveError),
    "in a step": (1, whole_model.Training, "_descend", ValueError),
    "in a checkpoint": (0, whole_model, "write_checkpoint", UnweaveError),
    "at the end": (0, front_door, "save_finished", UnweaveError),
}
"""Errors in one process: which, in what, of what kind."""


def stopped(rank: int, folder: Path) -> dict[str, str]:
    """What each error is in this process; after one, both are ready for the next call."""
    found = {}
    for name, (where, owner, attribute, kind) in STOPPED.items():
        kept = getattr(owner, attribute)

        def failing(*_, kind=kind):
            raise kind("the disk is full\nand more")

        if rank == where:
            setattr(owner, attribute, failing)
        try:
            config = cut.config_of("shared")
            decompose(tiny.words(), tiny.sentences(), config, out=folder / name, checkpoint_seconds=0)
        except (UnweaveError, ValueError) as error:
            found[name] = f"{type(error).__name__}: {error}"
        finally:
            setattr(owner, attribute, kept)
    return found


REFUSED = {"other data": other_data, "other settings": other_settings, "too few samples": too_few_samples}
