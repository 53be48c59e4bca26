"""unweave: take a model apart into readable pieces of weight, edit one with a number, and prove what changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unweave.base.lazy import lazy_exports

__version__ = "0.1.0"

if TYPE_CHECKING:
    from unweave.decompose import Decomposition, SiteLocalConfig, WholeModelConfig, decompose
    from unweave.edit import FactorEdit
    from unweave.models import Target, load_target
    from unweave.read import scan
    from unweave.studies.remove_language import RemoveLanguage, remove_language

_HOME = {
    "Decomposition": "decompose",
    "FactorEdit": "edit",
    "RemoveLanguage": "studies.remove_language",
    "SiteLocalConfig": "decompose",
    "Target": "models",
    "WholeModelConfig": "decompose",
    "decompose": "decompose",
    "load_target": "models",
    "remove_language": "studies.remove_language",
    "scan": "read",
}
__all__ = [
    "Decomposition",
    "FactorEdit",
    "RemoveLanguage",
    "SiteLocalConfig",
    "Target",
    "WholeModelConfig",
    "__version__",
    "decompose",
    "load_target",
    "remove_language",
    "scan",
]

__getattr__ = lazy_exports(__name__, _HOME)
