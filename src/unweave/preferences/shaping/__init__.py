"""Ways to stop or strengthen what a dataset teaches: rows, tokens, rewards, steering, inoculation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unweave.base.lazy import lazy_exports

if TYPE_CHECKING:
    from unweave.preferences.shaping.direction import Direction, DirectionWithControl, find_direction
    from unweave.preferences.shaping.registry import Shaping, all_shapings, find_shaping, shape, shaping
    from unweave.preferences.shaping.row_filter import drop_matching, matching
    from unweave.preferences.shaping.scores import PairScores, behaviour_scores, projection_scores
    from unweave.preferences.shaping.setting import Setting, Shaped
    from unweave.preferences.shaping.sweep import DoseOutcome, Sweep, SweepRow, assemble_sweep
    from unweave.preferences.shaping.token_probe import TokenProbe, fit_token_probe

_HOME = {
    "Direction": "direction",
    "DirectionWithControl": "direction",
    "DoseOutcome": "sweep",
    "PairScores": "scores",
    "Setting": "setting",
    "Shaped": "setting",
    "Shaping": "registry",
    "Sweep": "sweep",
    "SweepRow": "sweep",
    "TokenProbe": "token_probe",
    "all_shapings": "registry",
    "assemble_sweep": "sweep",
    "behaviour_scores": "scores",
    "drop_matching": "row_filter",
    "find_direction": "direction",
    "find_shaping": "registry",
    "fit_token_probe": "token_probe",
    "matching": "row_filter",
    "projection_scores": "scores",
    "shape": "registry",
    "shaping": "registry",
}
__all__ = [
    "Direction",
    "DirectionWithControl",
    "DoseOutcome",
    "PairScores",
    "Setting",
    "Shaped",
    "Shaping",
    "Sweep",
    "SweepRow",
    "TokenProbe",
    "all_shapings",
    "assemble_sweep",
    "behaviour_scores",
    "drop_matching",
    "find_direction",
    "find_shaping",
    "fit_token_probe",
    "matching",
    "projection_scores",
    "shape",
    "shaping",
]

__getattr__ = lazy_exports(__name__, _HOME)
