"""Weights to subcomponents: the decomposition value, the site-local method, and the check at the model's logits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unweave.base.lazy import lazy_exports

if TYPE_CHECKING:
    from unweave.decompose.config import SiteLocalConfig, WholeModelConfig
    from unweave.decompose.decomposition import Decomposition, SiteSubcomponents, Subcomponent, bundled
    from unweave.decompose.ladder import Ladder, evaluate
    from unweave.decompose.quality import Quality
    from unweave.decompose.run import decompose

_HOME = {
    "Decomposition": "decomposition",
    "Ladder": "ladder",
    "Quality": "quality",
    "SiteLocalConfig": "config",
    "SiteSubcomponents": "decomposition",
    "Subcomponent": "decomposition",
    "WholeModelConfig": "config",
    "bundled": "decomposition",
    "decompose": "run",
    "evaluate": "ladder",
}
__all__ = [
    "Decomposition",
    "Ladder",
    "Quality",
    "SiteLocalConfig",
    "SiteSubcomponents",
    "Subcomponent",
    "WholeModelConfig",
    "bundled",
    "decompose",
    "evaluate",
]

__getattr__ = lazy_exports(__name__, _HOME)
