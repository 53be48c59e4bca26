"""Device, dtype and matrix-multiply backend, chosen in one place."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from unweave.base.errors import UnweaveError, nearest

if TYPE_CHECKING:
    import torch

DTYPES = ("float32", "bfloat16", "float16")


def choose_device(name: str | None = None) -> torch.device:
    """``name`` if given, else CUDA, else MPS, else CPU. Raises ``UnweaveError`` for a device that is not there."""
    import torch

    available = ["cpu"]
    if torch.cuda.is_available():
        available.append("cuda")
    if torch.backends.mps.is_available():
        available.append("mps")
    if name in (None, "auto"):
        return torch.device(available[-1])
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UnweaveError(f"device {name!r} is not one torch knows; {nearest(str(name), available)}") from error
    if device.type not in available:
        raise UnweaveError(f"device {name!r} is not on this machine; {nearest(str(name), available)}")
    return device


def choose_dtype(name: str) -> torch.dtype:
    """One of ``float32``, ``bfloat16``, ``float16``."""
    import torch

    if name not in DTYPES:
        raise UnweaveError(f"dtype {name!r} is not supported; {nearest(name, DTYPES)}")
    return getattr(torch, name)


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
