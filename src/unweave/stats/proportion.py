"""Intervals of shares of yes and no answers, which have a width at 0 and at 1 too."""

from __future__ import annotations

import math
from collections.abc import Sequence

from unweave.base.errors import UnweaveError
from unweave.stats.bootstrap import Interval


def wilson_interval(successes: int, trials: int, level: float = 0.95) -> Interval:
    """The share of ``successes`` among independent ``trials``, with its score interval; it lies within 0 and 1.

    Raises ``UnweaveError`` for no trials and for more successes than trials. A bootstrap of 5 of 5 gives an interval
    of width 0; this gives 0.57 to 1.
    Source: Wilson, "Probable inference, the law of succession, and statistical inference", 1927.
    """
    from scipy.stats import norm

    if trials < 1 or not 0 <= successes <= trials:
        raise UnweaveError(f"{successes} of {trials} is no share: give 1 trial or more, and at most as many successes")
    if not 0 < level < 1:
        raise UnweaveError(f"level is {level}: give a share between 0 and 1")
    z = float(norm.isf((1 - level) / 2))
    share, scale = successes / trials, 1 + z * z / trials
    middle = (share + z * z / (2 * trials)) / scale
    half = z * math.sqrt(share * (1 - share) / trials + (z / (2 * trials)) ** 2) / scale
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    return Interval(share, min(low, share), max(high, share), trials)


def mean_of_shares(shares: Sequence[Interval]) -> Interval:
    """The mean of independent shares, such as a balanced accuracy, with the interval that theirs give; ``n`` is of all.

    Source: Newcombe, "Interval estimation for the difference between independent proportions", 1998, method 10, for
    sums as in Zou and Donner, "Construction of confidence limits about effect measures", 2008.
    """
    if not shares:
        raise UnweaveError("no shares are given: give 1 or more")
    mean = sum(each.mean for each in shares) / len(shares)
    below = math.sqrt(sum((each.mean - each.low) ** 2 for each in shares)) / len(shares)
    above = math.sqrt(sum((each.high - each.mean) ** 2 for each in shares)) / len(shares)
    return Interval(mean, mean - below, mean + above, sum(each.n for each in shares))
