"""Trained once and kept: the same loop for all networks of this package, with checkpoints and a cached result."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn

from unweave.base.errors import UnweaveError
from unweave.base.files import check_writable, sole_writer
from unweave.base.progress import Progress, Silent
from unweave.base.settings import cache_folder
from unweave.base.threads import one_thread
from unweave.decompose.checkpoint import (
    CHECKPOINT_SECONDS,
    last_good,
    optimiser_tensors,
    read_checkpoint,
    restore_optimiser,
    write_checkpoint,
)

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

VERSION = 1
"""Of how the networks here are made and trained: a change of it trains them anew."""
REPORTED = 25
"""Steps between two reports of progress."""
Loss = Callable[[int], Tensor]
Network = TypeVar("Network", bound=nn.Module)


def fit(
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    rate: Callable[[int], float],
    loss: Loss,
    steps: int,
    settings: Mapping[str, Any],
    checkpoint: Path | None = None,
    progress: Progress | None = None,
) -> None:
    """``steps`` steps of ``optimiser`` on ``loss`` of the step's number, at the learning rate of that number.

    On one thread, because sums in another order are other sums: the same settings on the same machine give the same
    weights bit for bit, also after a stop and a start from ``checkpoint``. Raises ``UnweaveError`` for a loss that is
    not finite and for a checkpoint of other settings.
    """
    progress = progress or Silent()
    named = dict(network.named_parameters())
    done, saved_at = 0, time.monotonic()
    found = read_checkpoint(checkpoint, settings) if checkpoint else None
    if found is not None:
        done = found.step
        network.load_state_dict({name: found.tensors[name] for name in named})
        restore_optimiser("adam", optimiser, named, found.tensors)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with one_thread():
            for number in range(done, steps):
                for group in optimiser.param_groups:
                    group["lr"] = rate(number)
                value = loss(number)
                if not bool(torch.isfinite(value)):
                    raise UnweaveError(
                        f"the loss stopped being finite at step {number + 1}: lower the learning rate (now "
                        f"{rate(number):g}); {last_good(checkpoint)}"
                    )
                optimiser.zero_grad()
                value.backward()
                optimiser.step()
                if checkpoint and time.monotonic() - saved_at > CHECKPOINT_SECONDS and number + 1 < steps:
                    state = {**named, **optimiser_tensors("adam", optimiser, named)}
                    write_checkpoint(checkpoint, settings, number + 1, state)
                    saved_at = time.monotonic()
                if (number + 1) % REPORTED == 0 or number + 1 == steps:
                    progress.update(number + 1, steps, f"steps, loss {value.item():.3g}")
    finally:
        torch.set_num_threads(threads)


def kept(
    kind: str,
    config: DataclassInstance,
    network: Network,
    train: Callable[[Path], Network],
    folder: Path | None = None,
) -> Network:
    """What ``train`` made with these settings before, put into ``network``; or trained now, and kept.

    The file is named by a hash of kind, settings and version, in ``folder`` or the cache folder; ``train`` is given
    the place of its checkpoint. Another process that wants the same waits for the first, at most an hour.
    """
    settings = described(kind, config)
    key = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]
    place = (folder or cache_folder("worlds")) / f"{kind}-{key}.safetensors"
    check_writable(place.parent)
    with sole_writer(place, seconds=3600.0):
        found = read_checkpoint(place, settings)
        if found is None:
            checkpoint = place.with_name(f"{kind}-{key}.training.safetensors")
            network = train(checkpoint)
            write_checkpoint(place, settings, 1, network.state_dict())
            checkpoint.unlink(missing_ok=True)
        else:
            network.load_state_dict(found.tensors)
    return network.eval()


def described(kind: str, config: DataclassInstance) -> dict[str, Any]:
    """What a kept network or a checkpoint must agree with before it is used."""
    return {"kind": kind, "version": VERSION, "config": asdict(config)}
