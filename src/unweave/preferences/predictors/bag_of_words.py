"""Bag of words: columns read off word counts by regression, and the mean difference in words through it."""

from __future__ import annotations

import numpy as np

from unweave.preferences.evidence import Evidence
from unweave.preferences.predictors.prompts import Prompts, Resampling, hashed
from unweave.preferences.predictors.reference import no_prompt_twice, own_variation
from unweave.preferences.predictors.registry import Shares, predictor
from unweave.preferences.predictors.ridge import fit_ridge

MOST_REPLIES = 2048
"""Own replies that the regression is fitted on, whole prompts at a time; its cost grows with their cube."""


@predictor("bag-of-words", "ridge from word counts to columns, through the mean difference in words", no_prompt_twice)
def bag_of_words(evidence: Evidence, resampling: Resampling) -> Shares:
    """The ridge is fitted within prompts on hashed counts of the target's own replies, at most ``MOST_REPLIES``.

    The interval draws the pairs' prompts anew, and those of the replies to first order (the jackknife's influences).
    """
    rows = _some_prompts(resampling.replies)
    prompts = Prompts.of(evidence.reference_groups[rows])
    words = prompts.centred(evidence.reference.words[rows].astype(np.float64))
    fitted = fit_ridge(words, own_variation(evidence, resampling.replies)[rows], prompts)
    more = (evidence.chosen.words - evidence.rejected.words).astype(np.float32)
    shares = more @ fitted.weights.astype(np.float32)
    influence = np.zeros((len(evidence.reference), len(evidence.names)))
    influence[rows] = fitted.influence(np.asarray(more.mean(0), np.float64).reshape(-1))
    drawn = resampling.sum_over_replies(influence) - influence.sum(0)
    return Shares(shares, resampling.mean_over_pairs(shares) + drawn)


def _some_prompts(prompts: Prompts) -> np.ndarray:
    """Rows of as many whole prompts, in the order of their hash, as stay within ``MOST_REPLIES``; at least one."""
    order = np.argsort(hashed(prompts.ids), kind="stable")
    fits = np.cumsum(prompts.sizes[order]) <= MOST_REPLIES
    fits[0] = True
    kept = np.zeros(len(prompts), bool)
    kept[order[fits]] = True
    return np.flatnonzero(kept[prompts.index])
