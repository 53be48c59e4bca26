"""Weights to subcomponents: the decomposition value, the site-local method, and the check at the model's logits."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unweave.decompose.config import SiteLocalConfig
    from unweave.decompose.decomposition import Decomposition, SiteSubcomponents, Subcomponent, bundled
    from unweave.decompose.quality import Quality
    from unweave.decompose.run import decompose

_HOME = {
    "Decomposition": "decomposition",
    "Quality": "quality",
    "SiteLocalConfig": "config",
    "SiteSubcomponents": "decomposition",
    "Subcomponent": "decomposition",
    "bundled": "decomposition",
    "decompose": "run",
}
__all__ = [
    "Decomposition",
    "Quality",
    "SiteLocalConfig",
    "SiteSubcomponents",
    "Subcomponent",
    "bundled",
    "decompose",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"unweave.decompose.{_HOME[name]}"), name)
    raise AttributeError(f"module 'unweave.decompose' has no attribute {name!r}")
