"""Predictors: from a dataset, before training, to what will change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unweave.base.lazy import lazy_exports

if TYPE_CHECKING:
    from unweave.preferences.predictors.registry import Predictor, Shares, all_predictors, left_out, predict, predictor
    from unweave.preferences.predictors.standing import Standing, standing_of

_HOME = {
    "Predictor": "registry",
    "Shares": "registry",
    "Standing": "standing",
    "all_predictors": "registry",
    "left_out": "registry",
    "predict": "registry",
    "predictor": "registry",
    "standing_of": "standing",
}
__all__ = [
    "Predictor",
    "Shares",
    "Standing",
    "all_predictors",
    "left_out",
    "predict",
    "predictor",
    "standing_of",
]

__getattr__ = lazy_exports(__name__, _HOME)
