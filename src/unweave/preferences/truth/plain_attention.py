"""Attention as plain products, where that is the faster way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from unweave.models.target import Target


@contextmanager
def plain_attention(target: Target) -> Iterator[None]:
    """Plain products inside the block, on a CPU.

    For replies of a hundred tokens torch's fused attention takes longer there: twice as long for a single query, and a
    third longer in training steps (measured on two cores, SmolLM2-135M).
    """
    module: Any = target.module
    before = getattr(getattr(module, "config", None), "_attn_implementation", None)
    if target.device.type != "cpu" or before != "sdpa":
        yield
        return
    module.set_attn_implementation("eager")
    try:
        yield
    finally:
        module.set_attn_implementation(before)
