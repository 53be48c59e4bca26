"""Dictionaries that were made elsewhere: SAEs, transcoders and probes, read as features of a target."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unweave.base.lazy import lazy_exports

if TYPE_CHECKING:
    from unweave.read.dictionaries.compare import compare_dictionaries
    from unweave.read.dictionaries.load import load_dictionary
    from unweave.read.dictionaries.probes import save_probes

_HOME = {
    "compare_dictionaries": "compare",
    "load_dictionary": "load",
    "save_probes": "probes",
}
__all__ = [
    "compare_dictionaries",
    "load_dictionary",
    "save_probes",
]

__getattr__ = lazy_exports(__name__, _HOME)
