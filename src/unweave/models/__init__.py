"""Targets: loading, sites, capture of activations, the parity gate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unweave.base.lazy import lazy_exports

if TYPE_CHECKING:
    from unweave.models.load import load_target
    from unweave.models.sites import Site
    from unweave.models.target import Target, TargetIdentity, make_target

_HOME = {
    "Site": "sites",
    "Target": "target",
    "TargetIdentity": "target",
    "load_target": "load",
    "make_target": "target",
}
__all__ = [
    "Site",
    "Target",
    "TargetIdentity",
    "load_target",
    "make_target",
]

__getattr__ = lazy_exports(__name__, _HOME)
