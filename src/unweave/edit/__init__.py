"""Edits of weights: factors, adapters, the shared objective, what an edit changes elsewhere, and export."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

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


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"unweave.edit.{_HOME[name]}"), name)
    raise AttributeError(f"module 'unweave.edit' has no attribute {name!r}")
