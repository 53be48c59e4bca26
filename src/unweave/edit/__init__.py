"""Edits of weights: factors, adapters, the shared objective, what an edit changes elsewhere, and export."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unweave.base.lazy import lazy_exports

if TYPE_CHECKING:
    from unweave.edit.edits import AdapterEdit, Edit, EditStack, FactorEdit, applied
    from unweave.edit.export import export_merged, export_peft

_HOME = {
    "AdapterEdit": "edits",
    "Edit": "edits",
    "EditStack": "edits",
    "FactorEdit": "edits",
    "applied": "edits",
    "export_merged": "export",
    "export_peft": "export",
}
__all__ = [
    "AdapterEdit",
    "Edit",
    "EditStack",
    "FactorEdit",
    "applied",
    "export_merged",
    "export_peft",
]

__getattr__ = lazy_exports(__name__, _HOME)
