"""Labels: what every feature fires on and makes the model say, in words, with scores on held-out text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unweave.base.lazy import lazy_exports

if TYPE_CHECKING:
    from unweave.read.labels.evidence import Evidence
    from unweave.read.labels.labeler import LABELERS, Label, Labeler, find_labeler
    from unweave.read.labels.run import label_harvest
    from unweave.read.labels.store import LabelRow, Labels, export_labels

_HOME = {
    "LABELERS": "labeler",
    "Evidence": "evidence",
    "Label": "labeler",
    "LabelRow": "store",
    "Labeler": "labeler",
    "Labels": "store",
    "export_labels": "store",
    "find_labeler": "labeler",
    "label_harvest": "run",
}
__all__ = [
    "LABELERS",
    "Evidence",
    "Label",
    "LabelRow",
    "Labeler",
    "Labels",
    "export_labels",
    "find_labeler",
    "label_harvest",
]

__getattr__ = lazy_exports(__name__, _HOME)
