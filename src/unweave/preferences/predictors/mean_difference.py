"""Mean difference: chosen less rejected, as published."""

from __future__ import annotations

from unweave.preferences.evidence import Evidence
from unweave.preferences.predictors.prompts import Resampling
from unweave.preferences.predictors.reference import differences
from unweave.preferences.predictors.registry import Shares, predictor


@predictor("mean-difference", "mean of chosen less rejected in each column")
def mean_difference(evidence: Evidence, resampling: Resampling) -> Shares:
    """Source: "Anatomy of Post-Training", arXiv 2606.12360: the mean signed difference of features."""
    shares = differences(evidence)
    return Shares(shares, resampling.mean_over_pairs(shares))
