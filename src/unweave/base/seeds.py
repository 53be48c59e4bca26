"""One integer seed per purpose, so that adding a random draw in one place moves no other."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import torch


def derive(seed: int, *purpose: object) -> int:
    """A 63-bit seed for ``purpose`` under ``seed``: stable over machines, Python versions and hash randomisation."""
    text = "\x1f".join([str(seed), *map(str, purpose)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def numpy_generator(seed: int, *purpose: object) -> np.random.Generator:
    """NumPy's generator for a purpose."""
    import numpy as np

    return np.random.default_rng(derive(seed, *purpose))


def torch_generator(seed: int, *purpose: object) -> torch.Generator:
    """A CPU generator for a purpose; draws are made on the CPU so that they do not depend on the device."""
    import torch

    return torch.Generator().manual_seed(derive(seed, *purpose))
