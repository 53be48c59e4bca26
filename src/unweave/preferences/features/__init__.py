"""Learned features of pairs: the pass that reads them, their store, their clusters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unweave.base.lazy import lazy_exports

if TYPE_CHECKING:
    from unweave.preferences.features.reading_pass import read_pairs, read_replies
    from unweave.preferences.features.store import FeatureStore, PairFeatures, ReplyFeatures

_HOME = {
    "FeatureStore": "store",
    "PairFeatures": "store",
    "ReplyFeatures": "store",
    "read_pairs": "reading_pass",
    "read_replies": "reading_pass",
}
__all__ = ["FeatureStore", "PairFeatures", "ReplyFeatures", "read_pairs", "read_replies"]

__getattr__ = lazy_exports(__name__, _HOME)
