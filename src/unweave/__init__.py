"""unweave: take a model apart into readable pieces of weight, edit one with a number, and prove what changed."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from unweave.decompose import Decomposition, decompose
    from unweave.edit import FactorEdit
    from unweave.models import Target, load_target
    from unweave.read import scan
    from unweave.studies.remove_language import RemoveLanguage, remove_language

_HOME = {
    "Decomposition": "unweave.decompose",
    "FactorEdit": "unweave.edit",
    "RemoveLanguage": "unweave.studies.remove_language",
    "Target": "unweave.models",
    "decompose": "unweave.decompose",
    "load_target": "unweave.models",
    "remove_language": "unweave.studies.remove_language",
    "scan": "unweave.read",
}
__all__ = [
    "Decomposition",
    "FactorEdit",
    "RemoveLanguage",
    "Target",
    "__version__",
    "decompose",
    "load_target",
    "remove_language",
    "scan",
]


def __getattr__(name: str) -> Any:
    # Resolved on first use, so that `import unweave` and `unweave --help` do not wait for torch.
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'unweave' has no attribute {name!r}")
