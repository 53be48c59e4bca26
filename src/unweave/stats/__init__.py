"""Uncertainty and tests: bootstrap intervals, permutation nulls, multiple comparisons."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unweave.base.lazy import lazy_exports

if TYPE_CHECKING:
    from unweave.stats.bootstrap import (
        Interval,
        MedianRange,
        cluster_interval,
        mean_interval,
        median_interval,
        median_with_range,
        paired_difference,
    )
    from unweave.stats.comparisons import holm
    from unweave.stats.noise import Noisy, noisy_mean, pooled_deviation
    from unweave.stats.permutation import NullTest, exceeds_null, max_null_threshold, sign_flip_test
    from unweave.stats.proportion import mean_of_shares, wilson_interval

_HOME = {
    "Interval": "bootstrap",
    "MedianRange": "bootstrap",
    "Noisy": "noise",
    "NullTest": "permutation",
    "cluster_interval": "bootstrap",
    "exceeds_null": "permutation",
    "holm": "comparisons",
    "max_null_threshold": "permutation",
    "mean_interval": "bootstrap",
    "mean_of_shares": "proportion",
    "median_interval": "bootstrap",
    "median_with_range": "bootstrap",
    "noisy_mean": "noise",
    "paired_difference": "bootstrap",
    "pooled_deviation": "noise",
    "sign_flip_test": "permutation",
    "wilson_interval": "proportion",
}
__all__ = [
    "Interval",
    "MedianRange",
    "Noisy",
    "NullTest",
    "cluster_interval",
    "exceeds_null",
    "holm",
    "max_null_threshold",
    "mean_interval",
    "mean_of_shares",
    "median_interval",
    "median_with_range",
    "noisy_mean",
    "paired_difference",
    "pooled_deviation",
    "sign_flip_test",
    "wilson_interval",
]

__getattr__ = lazy_exports(__name__, _HOME)
