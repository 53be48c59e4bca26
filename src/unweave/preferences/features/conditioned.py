"""The feature-conditioned view: which clusters of features the pairs of a topic prefer.

Source: Bergen et al. 2026 (arXiv 2606.12360), feature-conditioned view.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32

from unweave.base.errors import UnweaveError
from unweave.preferences.features.clusters import FeatureClusters
from unweave.preferences.features.firings import Csr, check_replies, fires_above
from unweave.preferences.features.leans import LeanConfig, LeanTable, measure_leans
from unweave.preferences.features.topics import Topics

FIRES_ABOVE = 0.01
"""Share of a reply's tokens above which a feature counts as firing in it; of a short reply that is one token."""


def signed_use(
    chosen: Csr,
    rejected: Csr,
    clusters: FeatureClusters,
    above: float = FIRES_ABOVE,
) -> Float32[np.ndarray, "n m"]:
    """Share of a cluster's features that fire in the chosen reply minus that in the rejected one, in [-1, 1].

    ``chosen`` and ``rejected`` (n x c) hold how frequently a feature fires in a reply, in [0, 1].
    """
    check_replies(chosen, rejected, clusters.features)
    uses = [
        (each @ clusters.indicator()).toarray() for each in (fires_above(chosen, above), fires_above(rejected, above))
    ]
    sizes = np.array([len(members) for members in clusters.members], np.float32)
    return np.asarray((uses[0] - uses[1]) / sizes, np.float32)


def feature_conditioned(
    signed: Float32[np.ndarray, "n m"],
    topics: Topics,
    clusters: FeatureClusters,
    units: Sequence[str],
    config: LeanConfig | None = None,
) -> LeanTable:
    """Which clusters of features (columns) the pairs of a topic (groups) prefer, beyond the other topics' pairs.

    ``signed`` is ``signed_use``; silent rows are neither inside nor outside. ``units`` as in ``measure_leans``.
    """
    if len(topics.labels) != len(signed) or len(units) != len(signed):
        raise UnweaveError(f"{len(signed)} rows, {len(topics.labels)} labels and {len(units)} units: give one a row")
    active = np.flatnonzero(topics.labels >= 0)
    sizes = np.array([len(members) for members in clusters.members], np.int64)
    return measure_leans(signed[active], topics.members()[active], [units[int(row)] for row in active], sizes, config)
