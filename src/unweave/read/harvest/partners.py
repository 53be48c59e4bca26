"""Which features fire together, counted on the windows of which every firing is kept."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array

AT_ONCE = 512
LEAST = 3
"""Features that fire together less often than this are no partners: two rare ones meet by chance."""


class Partners(NamedTuple):
    """Pairs of features by row, for each row by falling Jaccard index; arrays of one length."""

    row: np.ndarray
    partner: np.ndarray
    together: np.ndarray
    """Positions on which both fire."""
    jaccard: np.ndarray
    """Positions on which both fire over positions on which either does."""
    pmi: np.ndarray
    """ln of how many times more often than independent features."""


def find_partners(feature: np.ndarray, position: np.ndarray, features: int, positions: int, kept: int) -> Partners:
    """The ``kept`` features that fire together with each one most, from every firing (feature, position) of a pool."""
    where = csr_array((np.ones(len(feature), np.float32), (feature, position)), shape=(features, positions))
    fired = np.asarray(where.sum(1)).reshape(-1)
    columns = where.T.tocsr()
    found: list[tuple[np.ndarray, ...]] = []
    for start in range(0, features, AT_ONCE):
        block = where[start : start + AT_ONCE]
        together = (block @ columns).toarray()
        own = np.arange(len(together))
        together[own, own + start] = 0
        either = fired[start : start + AT_ONCE, None] + fired[None, :] - together
        jaccard = np.where(together >= LEAST, together / np.maximum(either, 1), 0)
        best = np.argpartition(-jaccard, min(kept, features - 1), axis=1)[:, :kept]
        order = np.argsort(-np.take_along_axis(jaccard, best, 1), axis=1, kind="stable")
        best = np.take_along_axis(best, order, 1)
        row, place = np.nonzero(np.take_along_axis(jaccard, best, 1) > 0)
        partner = best[row, place]
        count = together[row, partner]
        expected = fired[row + start] * fired[partner] / positions
        found.append((row + start, partner, count, jaccard[row, partner], np.log(count / expected)))
    kinds = (np.int32, np.int32, np.int64, np.float32, np.float32)
    return Partners(
        *(np.concatenate(part).astype(kind) for part, kind in zip(zip(*found, strict=True), kinds, strict=True))
    )
