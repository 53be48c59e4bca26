"""Models whose decomposition is known, and how close a decomposition comes to it. ``TOYS`` registers them by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unweave.base.lazy import lazy_exports

if TYPE_CHECKING:
    from unweave.decompose.toys.toy import TOYS, Toy, find_toy
    from unweave.decompose.toys.validation import Recovered, Validation, validate

_HOME = {
    "Recovered": "validation",
    "TOYS": "toy",
    "Toy": "toy",
    "Validation": "validation",
    "find_toy": "toy",
    "validate": "validation",
}
__all__ = ["TOYS", "Recovered", "Toy", "Validation", "find_toy", "validate"]

__getattr__ = lazy_exports(__name__, _HOME)
