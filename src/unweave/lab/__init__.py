"""The lab: many experiments at once, planned by a person or an agent, with claims that can be checked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unweave.base.lazy import lazy_exports

if TYPE_CHECKING:
    from unweave.lab.lab import Lab

_HOME = {"Lab": "lab"}
__all__ = ["Lab"]

__getattr__ = lazy_exports(__name__, _HOME)
