"""Length only: what would change if pairs taught nothing but how long to write. The baseline to beat."""

from __future__ import annotations

import numpy as np

from unweave.preferences.evidence import Evidence
from unweave.preferences.predictors.prompts import Resampling
from unweave.preferences.predictors.reference import no_prompt_twice, own_variation, slopes
from unweave.preferences.predictors.registry import Shares, predictor


@predictor("length-only", "each column's slope on reply length, times the mean difference in length", no_prompt_twice)
def length_only(evidence: Evidence, resampling: Resampling) -> Shares:
    """Slopes are least squares within prompts on the target's own replies, and 0 where lengths do not vary.

    Lengths are in tokens. The interval draws both the pairs' prompts and the replies' prompts anew.
    """
    values = own_variation(evidence, resampling.replies).astype(np.float64)
    length = resampling.replies.centred(evidence.reference.tokens.astype(np.float64)[:, None])
    slope = slopes((length * values).sum(0), (length**2).sum(0))
    longer = (evidence.chosen.tokens - evidence.rejected.tokens).astype(np.float32)[:, None]
    drawn = slopes(resampling.sum_over_replies(length * values), resampling.sum_over_replies(length**2))
    return Shares(longer * slope.astype(np.float32), resampling.mean_over_pairs(longer) * drawn)
