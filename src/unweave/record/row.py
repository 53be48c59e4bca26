"""Rows that a run logs or keeps, as plain JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unweave.record.table import plain


def plain_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """``row`` with NumPy and torch values unwrapped at any depth, and with null for numbers that are not finite."""
    return {str(name): _plain_deep(value) for name, value in row.items()}


def _plain_deep(value: Any) -> Any:
    if isinstance(value, Mapping):
        return plain_row(value)
    if isinstance(value, (list, tuple)):
        return [_plain_deep(item) for item in value]
    if hasattr(value, "tolist") and getattr(value, "ndim", 0):
        return _plain_deep(value.tolist())
    return plain(value)
