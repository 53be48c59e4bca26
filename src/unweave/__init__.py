"""unweave: take a model apart into readable pieces of weight, edit one with a number, and prove what changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unweave.base.lazy import lazy_exports

__version__ = "0.1.0"

if TYPE_CHECKING:
    from unweave.decompose import Decomposition, SiteLocalConfig, WholeModelConfig, decompose
    from unweave.edit import FactorEdit
    from unweave.lab import Lab
    from unweave.lab.tracking import config, finish, init, log
    from unweave.models import Target, load_target
    from unweave.read import scan
    from unweave.studies.remove_language import RemoveLanguage, remove_language

_HOME = {
    "Decomposition": "decompose",
    "FactorEdit": "edit",
    "Lab": "lab",
    "RemoveLanguage": "studies.remove_language",
    "SiteLocalConfig": "decompose",
    "Target": "models",
    "WholeModelConfig": "decompose",
    "config": "lab.tracking",
    "decompose": "decompose",
    "finish": "lab.tracking",
    "init": "lab.tracking",
    "load_target": "models",
    "log": "lab.tracking",
    "remove_language": "studies.remove_language",
    "run": "lab.tracking",
    "scan": "read",
    "summary": "lab.tracking",
}
__all__ = [
    "Decomposition",
    "FactorEdit",
    "Lab",
    "RemoveLanguage",
    "SiteLocalConfig",
    "Target",
    "WholeModelConfig",
    "__version__",
    "config",
    "decompose",
    "finish",
    "init",
    "load_target",
    "log",
    "remove_language",
    "scan",
]

__getattr__ = lazy_exports(__name__, _HOME)
