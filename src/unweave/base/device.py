"""Device, dtype and matrix-multiply backend, chosen in one place."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Any

from unweave.base.errors import UnweaveError, nearest
from unweave.base.settings import launched_process

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

DTYPES = ("float32", "bfloat16", "float16")
DEVICE_MAPS = ("auto", "balanced", "balanced_low_0", "sequential")


def choose_device(name: str | None = None) -> torch.device:
    """``name`` if given, else CUDA, else MPS, else CPU. Raises ``UnweaveError`` for a device that is not there.

    Of several processes that torchrun started, each gets the CUDA device of its local number.
    """
    import torch

    available = ["cpu"]
    if torch.cuda.is_available():
        available.append("cuda")
    if torch.backends.mps.is_available():
        available.append("mps")
    if name in (None, "auto"):
        name = available[-1]
    if name == "cuda" and "cuda" in available and launched_process()[1] > 1:
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UnweaveError(f"device {name!r} is not one torch knows; {nearest(str(name), available)}") from error
    if device.type not in available:
        raise UnweaveError(f"device {name!r} is not on this machine; {nearest(str(name), available)}")
    return device


def check_device_map(device_map: str | Mapping[str, Any], device: str | None) -> None:
    """Refuses a device map that does not go with the rest, or that is none of transformers' own."""
    if device is not None:
        raise UnweaveError(f"device {device!r} and a device map are given: leave out one")
    if isinstance(device_map, str) and device_map not in DEVICE_MAPS:
        raise UnweaveError(f"device_map is {device_map!r}; {nearest(device_map, DEVICE_MAPS)}")
    if int(os.environ.get("LOCAL_WORLD_SIZE", "1")) > 1:
        raise UnweaveError(
            "a device map spreads one model over this machine's devices, and each of the processes of torchrun would "
            "take them all: start one process a machine, or leave out the device map"
        )


def choose_dtype(name: str) -> torch.dtype:
    """One of ``float32``, ``bfloat16``, ``float16``."""
    import torch

    if name not in DTYPES:
        raise UnweaveError(f"dtype {name!r} is not supported; {nearest(name, DTYPES)}")
    return getattr(torch, name)


def check_precision(name: str, device: torch.device) -> None:
    """Raises ``UnweaveError`` for bfloat16 products on a device that has none."""
    import torch

    if name == "bfloat16" and device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise UnweaveError(
            f"precision is 'bfloat16', and {torch.cuda.get_device_name(device)} has no such products: set float32"
        )


@cache
def prefer_fast_float32() -> str:
    """Lets oneDNN do float32 matrix products on the CPU when that keeps float32 accuracy; returns what was chosen.

    torch's default on x86 is MKL, which uses half of the vector width on AMD processors: oneDNN measured 2.4 times
    faster there (benchmarks/product.py). The public switch also *allows* bfloat16, which processors with matrix units
    would use, so the choice is kept only when the error of a product stays at float32 rounding (relative 1e-5;
    bfloat16 gives 4e-3).
    """
    import torch

    backend = getattr(torch.backends.mkldnn, "matmul", None)
    if backend is None or not torch.backends.mkldnn.is_available():
        return "default"
    generator = torch.Generator().manual_seed(0)
    left = torch.randn(64, 576, generator=generator)
    right = torch.randn(576, 640, generator=generator)
    exact = left.double() @ right.double()
    before = backend.fp32_precision
    try:
        backend.fp32_precision = "bf16"
        error = (left @ right - exact).abs().max() / exact.abs().max()
        if error < 1e-5:
            return "onednn"
    except RuntimeError:
        pass
    backend.fp32_precision = before
    return "default"


def compiler_works() -> bool:
    """True when ``torch.compile`` can build code here (it needs a C++ compiler on the CPU). The result is kept."""
    return _compiler_works()


@cache
def _compiler_works() -> bool:
    import os

    import torch

    if os.environ.get("UNWEAVE_COMPILE", "1") == "0":
        return False
    try:
        doubled = torch.compile(lambda x: torch.relu(x) * 2)
        return bool(torch.equal(doubled(torch.ones(3)), torch.full((3,), 2.0)))
    except Exception:  # whatever the toolchain raises, eager is the answer
        return False
