"""SAEs, transcoders and probes as features of a target: made elsewhere, or SAEs trained here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unweave.base.lazy import lazy_exports

if TYPE_CHECKING:
    from unweave.read.dictionaries.compare import compare_dictionaries
    from unweave.read.dictionaries.load import load_dictionary
    from unweave.read.dictionaries.probes import save_probes
    from unweave.read.dictionaries.training import TrainedSAE, train_sae
    from unweave.read.dictionaries.training_config import SAEConfig

_HOME = {
    "SAEConfig": "training_config",
    "TrainedSAE": "training",
    "compare_dictionaries": "compare",
    "load_dictionary": "load",
    "save_probes": "probes",
    "train_sae": "training",
}
__all__ = [
    "SAEConfig",
    "TrainedSAE",
    "compare_dictionaries",
    "load_dictionary",
    "save_probes",
    "train_sae",
]

__getattr__ = lazy_exports(__name__, _HOME)
