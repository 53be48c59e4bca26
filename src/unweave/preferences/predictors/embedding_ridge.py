"""Embedding ridge: columns read off mean states by regression, and the mean difference in states through it."""

from __future__ import annotations

import numpy as np

from unweave.preferences.evidence import Evidence
from unweave.preferences.predictors.prompts import Resampling
from unweave.preferences.predictors.reference import no_prompt_twice, own_variation
from unweave.preferences.predictors.registry import Shares, predictor
from unweave.preferences.predictors.ridge import fit_ridge


@predictor(
    "embedding-ridge", "ridge from mean states to columns, through the mean difference in states", no_prompt_twice
)
def embedding_ridge(evidence: Evidence, resampling: Resampling) -> Shares:
    """The ridge is fitted within prompts on the target's own replies, on states brought to unit variance.

    The interval draws the pairs' prompts anew, and those of the replies to first order (the jackknife's influences).
    """
    states = resampling.replies.centred(evidence.reference.embedding.astype(np.float64))
    scale = states.std(0)
    scale[scale < 1e-9] = np.inf
    fitted = fit_ridge(states / scale, own_variation(evidence, resampling.replies), resampling.replies)
    weights = (fitted.weights / scale[:, None]).astype(np.float32)
    moved = evidence.chosen.embedding - evidence.rejected.embedding
    shares = moved @ weights
    influence = fitted.influence(moved.mean(0, dtype=np.float64) / scale)
    drawn = resampling.sum_over_replies(influence) - influence.sum(0)
    return Shares(shares, resampling.mean_over_pairs(shares) + drawn)
