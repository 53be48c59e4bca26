"""Many comparisons at once: Holm's step-down adjustment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from unweave.base.errors import UnweaveError
from unweave.stats.bootstrap import finite_vector

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Adjusted p-values (n,) in the given order: rejecting those ``<= a`` keeps the family-wise error at ``a``.

    Needs no independence between the tests. Source: Holm, "A simple sequentially rejective multiple test
    procedure", 1979.
    """
    p = finite_vector(p_values, "p-values")
    if ((p < 0) | (p > 1)).any():
        raise UnweaveError(f"p-values from {p.min():g} to {p.max():g}: they must lie between 0 and 1")
    order = np.argsort(p, kind="stable")
    scaled = p[order] * (len(p) - np.arange(len(p)))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1)
    return adjusted
