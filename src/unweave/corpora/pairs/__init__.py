"""Preference pairs: reading them as others write them, checking and writing them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unweave.base.lazy import lazy_exports

if TYPE_CHECKING:
    from unweave.corpora.pairs.check import check_pairs
    from unweave.corpora.pairs.folder import split_names
    from unweave.corpora.pairs.report import PairReport, Problem
    from unweave.corpora.pairs.source import PairSource, SourceDescription, open_pairs
    from unweave.corpora.pairs.value import PreferencePair, Turn
    from unweave.corpora.pairs.writing import write_pairs

_HOME = {
    "PairReport": "report",
    "PairSource": "source",
    "PreferencePair": "value",
    "Problem": "report",
    "SourceDescription": "source",
    "Turn": "value",
    "check_pairs": "check",
    "open_pairs": "source",
    "split_names": "folder",
    "write_pairs": "writing",
}
__all__ = [
    "PairReport",
    "PairSource",
    "PreferencePair",
    "Problem",
    "SourceDescription",
    "Turn",
    "check_pairs",
    "open_pairs",
    "split_names",
    "write_pairs",
]

__getattr__ = lazy_exports(__name__, _HOME)
