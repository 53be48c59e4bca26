"""Reading: which sites carry a label, and what each subcomponent fires on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unweave.base.lazy import lazy_exports

if TYPE_CHECKING:
    from unweave.read.attribution import prompt_graph
    from unweave.read.graph import PromptGraph
    from unweave.read.selection import Selection, label_statistics, select
    from unweave.read.site_scan import ScanResult, scan
    from unweave.read.subject import Subject, open_subject

_HOME = {
    "PromptGraph": "graph",
    "ScanResult": "site_scan",
    "Selection": "selection",
    "Subject": "subject",
    "label_statistics": "selection",
    "open_subject": "subject",
    "prompt_graph": "attribution",
    "scan": "site_scan",
    "select": "selection",
}
__all__ = [
    "PromptGraph",
    "ScanResult",
    "Selection",
    "Subject",
    "label_statistics",
    "open_subject",
    "prompt_graph",
    "scan",
    "select",
]

__getattr__ = lazy_exports(__name__, _HOME)
