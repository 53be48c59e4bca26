"""How the process keeps freed memory: large tensors come and go, and fresh pages cost more than the arithmetic."""

from __future__ import annotations

import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # malloc.h
_LARGEST_BLOCK = 1 << 30
_KEPT = (1 << 31) - 1


def keep_freed_memory() -> bool:
    """Lets glibc reuse freed blocks of up to a gigabyte instead of returning them; True where that was possible.

    By default every block above 32 MB is a new mapping whose pages the kernel clears on first touch. Without that,
    forward passes of a small model on two cores went from 539 to 620 tokens a second. Elsewhere than on Linux with
    glibc nothing happens.
    """
    if not sys.platform.startswith("linux"):
        return False
    import ctypes

    try:
        libc = ctypes.CDLL(None)
        libc.gnu_get_libc_version  # noqa: B018  another C library's mallopt may read these numbers differently
        return bool(libc.mallopt(_MMAP_THRESHOLD, _LARGEST_BLOCK)) and bool(libc.mallopt(_TRIM_THRESHOLD, _KEPT))
    except (OSError, AttributeError):
        return False
