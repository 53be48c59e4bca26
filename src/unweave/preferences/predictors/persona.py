"""Persona projection: a direction for each column, and how far chosen replies lie along it."""

from __future__ import annotations

import numpy as np

from unweave.preferences.evidence import Evidence
from unweave.preferences.predictors.prompts import Resampling
from unweave.preferences.predictors.reference import no_prompt_twice, own_variation, slopes
from unweave.preferences.predictors.registry import Shares, predictor


@predictor("persona", "projection of chosen less rejected states on each column's direction", no_prompt_twice)
def persona(evidence: Evidence, resampling: Resampling) -> Shares:
    """The direction is the mean state of the target's own replies above their prompt's mean less that of those below.

    A projection is brought to the column's units by its own regression within prompts. A column that never varies
    within a prompt has no direction and predicts no change. The interval draws the pairs' prompts anew and those of the
    regression, with the directions held.
    Source: Chen et al., "Persona vectors", arXiv 2507.21509: the projection difference.
    """
    values = own_variation(evidence, resampling.replies)
    states = resampling.replies.centred(evidence.reference.embedding)
    sides = [(side / np.maximum(side.sum(0), 1)).astype(np.float32) for side in (values > 1e-6, values < -1e-6)]
    directions = states.T @ (sides[0] - sides[1])
    directions /= np.maximum(np.linalg.norm(directions, axis=0), 1e-12)
    projected = (states @ directions).astype(np.float64)
    slope = slopes((projected * values).sum(0), (projected**2).sum(0))
    along = (evidence.chosen.embedding - evidence.rejected.embedding) @ directions
    drawn = slopes(resampling.sum_over_replies(projected * values), resampling.sum_over_replies(projected**2))
    resampled = resampling.mean_over_pairs(along) * drawn
    along *= slope.astype(np.float32)
    return Shares(along, resampled)
