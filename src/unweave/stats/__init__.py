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
    from unweave.stats.noise import (
        Noisy,
        PairedTest,
        detectable_difference,
        noise_floor,
        noisy_mean,
        paired_test,
        pooled_deviation,
        student_interval,
    )
    from unweave.stats.permutation import NullTest, exceeds_null, max_null_threshold, sign_flip_test
    from unweave.stats.proportion import mean_of_shares, wilson_interval

_HOME = {
    "Interval": "bootstrap",
    "MedianRange": "bootstrap",
    "Noisy": "noise",
    "NullTest": "permutation",
    "PairedTest": "noise",
    "cluster_interval": "bootstrap",
    "detectable_difference": "noise",
    "exceeds_null": "permutation",
    "holm": "comparisons",
    "max_null_threshold": "permutation",
    "mean_interval": "bootstrap",
    "mean_of_shares": "proportion",
    "median_interval": "bootstrap",
    "median_with_range": "bootstrap",
    "noise_floor": "noise",
    "noisy_mean": "noise",
    "paired_difference": "bootstrap",
    "paired_test": "noise",
    "pooled_deviation": "noise",
    "sign_flip_test": "permutation",
    "student_interval": "noise",
    "wilson_interval": "proportion",
}
__all__ = [
    "Interval",
    "MedianRange",
    "Noisy",
    "NullTest",
    "PairedTest",
    "cluster_interval",
    "detectable_difference",
    "exceeds_null",
    "holm",
    "max_null_threshold",
    "mean_interval",
    "mean_of_shares",
    "median_interval",
    "median_with_range",
    "noise_floor",
    "noisy_mean",
    "paired_difference",
    "paired_test",
    "pooled_deviation",
    "sign_flip_test",
    "student_interval",
    "wilson_interval",
]

__getattr__ = lazy_exports(__name__, _HOME)
