"""Reading: which sites carry a label, and what each subcomponent fires on."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unweave.read.selection import Selection, harvest, select
    from unweave.read.site_scan import ScanResult, scan

_HOME = {
    "ScanResult": "site_scan",
    "Selection": "selection",
    "harvest": "selection",
    "scan": "site_scan",
    "select": "selection",
}
__all__ = [
    "ScanResult",
    "Selection",
    "harvest",
    "scan",
    "select",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"unweave.read.{_HOME[name]}"), name)
    raise AttributeError(f"module 'unweave.read' has no attribute {name!r}")
