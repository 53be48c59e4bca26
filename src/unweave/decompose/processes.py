"""The processes that share one training: each takes a part of every step's samples, and what they find is added up.

`torchrun` starts them. All compute the same draws (numbers keyed by seed, step and sample), so that several processes
give what one gives, up to the rounding of sums.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from unweave.base.errors import UnweaveError, first_line
from unweave.base.settings import launched_process

Item = TypeVar("Item")

BUCKET_BYTES = 64 * 2**20
"""Tensors are added up side by side in blocks of this size: one exchange a tensor would wait for the network each."""


@dataclass(frozen=True)
class Processes:
    """This process's number, from 0, and how many there are. The first alone prints, and writes files."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        return self.rank == 0

    def share(self, samples: int) -> range:
        """The samples of a step that are this process's: all have as many, or one more.

        Raises ``UnweaveError`` when there are fewer samples than processes.
        """
        if samples < self.count:
            raise UnweaveError(
                f"a step has {samples} sample{'s' * (samples != 1)} and there are {self.count} processes: set batch to "
                f"{self.count} or more, or start fewer processes"
            )
        return range(samples * self.rank // self.count, samples * (self.rank + 1) // self.count)

    def own(self, items: Sequence[Item]) -> list[Item]:
        """The items that are this process's to work on, dealt in turn."""
        return list(items[self.rank :: self.count])

    @contextmanager
    def together(self) -> Iterator[None]:
        """Inside, an error in one process ends the others where they next meet, with a line that says what it was.

        All leave it together. An interruption is not told: it may come in the middle of an exchange, and reaches all.
        Nor is an error in the middle of one (no memory for its block of tensors): the others wait there for their time
        to run out.
        """
        try:
            yield
            self._meet()
        except _AnotherStopped:
            raise
        except Exception as error:
            with suppress(_AnotherStopped, RuntimeError):
                self._meet(first_line(error))
            raise

    def _meet(self, failure: str | None = None) -> None:
        """Before every exchange: raises where another process is gone, or has failed and waits here to say so."""
        if self.count == 1:
            return
        told: list[str | None] = [None] * self.count
        failed = torch.tensor(float(failure is not None), device=_meeting_device())
        try:
            dist.all_reduce(failed)
            if not failed:
                return
            dist.all_gather_object(told, failure)
        except RuntimeError as error:
            # What gloo raises is a plain RuntimeError that names its source file.
            if not isinstance(error, dist.DistError) and "gloo/" not in str(error):
                raise
            raise _AnotherStopped(f"another process is gone, and this one with it: {first_line(error)}") from error
        rank, line = next((rank, line) for rank, line in enumerate(told) if line is not None)
        raise _AnotherStopped(f"process {rank} stopped, and the others with it: {line}")

    def add_up(self, tensors: Iterable[Tensor]) -> None:
        """Replaces each tensor by its sum over the processes; all give tensors of the same shapes in the same order."""
        if self.count == 1:
            return
        self._meet()
        for bucket in _buckets([tensor.detach() for tensor in tensors]):
            together = torch.cat([tensor.reshape(-1) for tensor in bucket])
            dist.all_reduce(together)
            for tensor, part in zip(bucket, together.split([each.numel() for each in bucket]), strict=True):
                tensor.copy_(part.view_as(tensor))

    def copy_first(self, tensors: Iterable[Tensor]) -> None:
        """Replaces each tensor by that of the first process, so that what was computed apart is the same to the bit."""
        if self.count == 1:
            return
        self._meet()
        for tensor in tensors:
            held = tensor.detach().contiguous()
            dist.broadcast(held, 0)
            tensor.detach().copy_(held)

    def agree(self, what: str, value: object) -> None:
        """Waits for all, and raises ``UnweaveError`` in all of them when they found different values."""
        if self.count == 1:
            return
        self._meet()
        found: list[object] = [None] * self.count
        dist.all_gather_object(found, value)
        if any(each != found[0] for each in found):
            listed = ", ".join(f"{each} in process {rank}" for rank, each in enumerate(found))
            raise UnweaveError(f"{what} is {listed}: all processes need the same data and a folder that they all see")


class _AnotherStopped(UnweaveError):
    """Another process has failed or is gone; this one has nothing to tell."""


ALONE = Processes()


def join_processes() -> Processes:
    """The group that this process is in: torch.distributed's, one that torchrun's environment asks for, or none.

    Tensors on the CPU are exchanged by gloo, those on CUDA by NCCL, where each process has the device of its local
    number.
    """
    if not dist.is_available():
        return ALONE
    if not dist.is_initialized():
        if launched_process()[1] == 1:
            return ALONE
        backend = "gloo"
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
            backend = "cpu:gloo,cuda:nccl"
        dist.init_process_group(backend)
        # Left at exit and not at the end of a training: a second group under the same names would find the first's.
        atexit.register(_leave)
    return Processes(dist.get_rank(), dist.get_world_size())


def _meeting_device() -> str:
    """The CPU, so that no other device is waited for, unless the group has no backend for it (accelerate's NCCL)."""
    backends = dist.get_backend_config() if dist.is_initialized() else "cpu:"
    devices = [each.partition(":")[0] for each in backends.split(",")]
    return "cpu" if "cpu" in devices else devices[0]


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def _buckets(tensors: Sequence[Tensor]) -> Iterable[list[Tensor]]:
    """Tensors of one device and type together, up to ``BUCKET_BYTES``."""
    waiting: dict[tuple[torch.device, torch.dtype], list[Tensor]] = {}
    for tensor in tensors:
        bucket = waiting.setdefault((tensor.device, tensor.dtype), [])
        bucket.append(tensor)
        if sum(each.nbytes for each in bucket) >= BUCKET_BYTES:
            yield waiting.pop((tensor.device, tensor.dtype))
    yield from waiting.values()
