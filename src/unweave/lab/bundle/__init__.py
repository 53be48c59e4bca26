"""A run or a thread as one file, out of a lab and into another, with every hash checked before anything is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unweave.base.lazy import lazy_exports

if TYPE_CHECKING:
    from unweave.lab.bundle.exporting import Exported, export_bundle
    from unweave.lab.bundle.importing import Imported, import_bundle
    from unweave.lab.bundle.manifest import Manifest

_HOME = {
    "Exported": "exporting",
    "Imported": "importing",
    "Manifest": "manifest",
    "export_bundle": "exporting",
    "import_bundle": "importing",
}
__all__ = ["Exported", "Imported", "Manifest", "export_bundle", "import_bundle"]

__getattr__ = lazy_exports(__name__, _HOME)
