"""What the model says more and less often next where a feature fires, against what it says in such text anyway."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import poisson

from unweave.read.labels.evidence import Evidence

SMOOTHING = 2000
"""Draws of all text that a label's own draws are mixed with, so that a rare token has a rate."""
LEVEL = 0.01
MORE, LESS = 3.0, 0.25
"""Promoted: drawn at least so many times as often as expected. Suppressed: at most such a part of it."""
FEWEST = 3
"""Places at which a promoted token must have been drawn."""


@dataclass(frozen=True)
class Outputs:
    """Tokens that a feature promotes and suppresses, the most telling first."""

    promoted: tuple[int, ...]
    suppressed: tuple[int, ...]
    counts: np.ndarray
    """Of the promoted: how often each was drawn."""
    share: float
    """Which part of the draws the promoted tokens are."""


def read_outputs(evidence: Evidence) -> Outputs:
    """Tests every token's draws against their expected number, Poisson, at ``LEVEL`` over all tokens tested.

    Expected is what the model says in text of the same mixture of labels, so that a feature of German is not said to
    promote every German word. Draws at one place are not independent: counts are divided by the draws at a place.
    """
    text, table = evidence.text, evidence.outputs
    # What was drawn of tokens that are not told apart is divided evenly among them.
    lumped = max(text.draws_total - int(text.vocabulary_draws.sum()), 0) / max(int((~text.own_column).sum()), 1)
    overall = np.where(text.own_column, text.vocabulary_draws, lumped) + 0.5
    overall = overall / overall.sum()
    by_label = text.draws_by_label + SMOOTHING * overall
    by_label = by_label / by_label.sum(1, keepdims=True)
    mixture = evidence.firing_by_label / max(evidence.firing_by_label.sum(), 1)
    rate = mixture @ by_label
    total = evidence.firing_shown
    if not total:
        return Outputs((), (), np.empty(0, np.int64), 0.0)
    found = np.zeros(len(rate))
    found[table.tokens] = table.counts / evidence.draws
    # Tokens without a column were not counted: none of them can be said to be rare.
    expected = np.where(text.own_column, rate * total, 0)
    drawn = np.flatnonzero((found >= FEWEST) & (found >= MORE * expected))
    p = poisson.sf(np.floor(found[drawn]) - 1, expected[drawn])
    sure = drawn[p <= LEVEL / len(rate)]
    order = sure[np.argsort(-found[sure] * np.log(found[sure] / expected[sure]), kind="stable")]
    often = np.flatnonzero((expected >= 5) & (found <= LESS * expected))
    p = poisson.cdf(np.ceil(found[often]), expected[often])
    tested = max(int((expected >= 5).sum()), 1)
    rarer = often[p <= LEVEL / tested]
    fewer = rarer[np.argsort(-(expected - found)[rarer], kind="stable")]
    share = float(found[order].sum() / total)
    return Outputs(tuple(order.tolist()), tuple(fewer.tolist()), (found[order] * evidence.draws).round(), share)
