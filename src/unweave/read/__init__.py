"""Reading: which sites carry a label, and what each subcomponent fires on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unweave.base.lazy import lazy_exports

if TYPE_CHECKING:
    from unweave.read.selection import Selection, label_statistics, select
    from unweave.read.site_scan import ScanResult, scan

_HOME = {
    "ScanResult": "site_scan",
    "Selection": "selection",
    "label_statistics": "selection",
    "scan": "site_scan",
    "select": "selection",
}
__all__ = [
    "ScanResult",
    "Selection",
    "label_statistics",
    "scan",
    "select",
]

__getattr__ = lazy_exports(__name__, _HOME)
