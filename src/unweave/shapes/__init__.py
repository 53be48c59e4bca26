"""Shapes: how stories move through a model's states, and which curves and surfaces concepts lie on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unweave.base.lazy import lazy_exports

if TYPE_CHECKING:
    from unweave.shapes.manifolds.choice import Choice, choose
    from unweave.shapes.manifolds.family import fit
    from unweave.shapes.manifolds.fitted import Fitted

_HOME = {
    "Choice": "manifolds.choice",
    "Fitted": "manifolds.fitted",
    "choose": "manifolds.choice",
    "fit": "manifolds.family",
}
__all__ = ["Choice", "Fitted", "choose", "fit"]

__getattr__ = lazy_exports(__name__, _HOME)
