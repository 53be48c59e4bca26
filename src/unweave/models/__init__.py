"""Targets: loading, sites, capture of activations, the parity gate."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

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


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"unweave.models.{_HOME[name]}"), name)
    raise AttributeError(f"module 'unweave.models' has no attribute {name!r}")
