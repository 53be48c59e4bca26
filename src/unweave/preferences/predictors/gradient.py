"""Gradient: what one small step of training does to each column, read off the adapter's space."""

from __future__ import annotations

import numpy as np

from unweave.base.errors import UnweaveError
from unweave.preferences.evidence import Evidence
from unweave.preferences.predictors.prompts import Resampling
from unweave.preferences.predictors.registry import Shares, predictor


def _no_gradient(evidence: Evidence) -> str | None:
    if evidence.gradient is not None:
        return None
    return "the pairs' gradients were not computed: give the evidence its gradient (n pairs, m columns)"


@predictor("gradient", "first-order effect of each pair's loss in adapter space", lacks=_no_gradient)
def gradient(evidence: Evidence, resampling: Resampling) -> Shares:
    """The gradient of each pair's loss times that of each column's mean, as the evidence holds it."""
    if evidence.gradient is None or not np.isfinite(evidence.gradient).all():
        raise UnweaveError("the gradient is absent or not finite: compute it again, or leave this predictor out")
    shares = (evidence.gradient / evidence.spread).astype(np.float32)
    return Shares(shares, resampling.mean_over_pairs(shares))
