"""Sparse matrices of how features fire, a row a text and a column a feature."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float64
from scipy import sparse

from unweave.base.errors import UnweaveError

Csr = Any
"""scipy.sparse's csr_matrix: what its source says of the types of products and sums is not true."""


def csr(held: Any, shape: tuple[int, ...] | None = None, dtype: Any = None) -> Csr:
    """A matrix by rows, of whatever scipy makes one of."""
    return sparse.csr_matrix(held, shape=shape, dtype=dtype)


def binary(values: Csr) -> Csr:
    """1 where a value is not 0."""
    found = sparse.csr_matrix(values, copy=True)
    found.eliminate_zeros()
    found.data = np.ones(found.nnz, np.float32)
    return found


def fires_above(values: Csr, above: float) -> Csr:
    """1 where a value is above a bound of 0 or more."""
    return csr(values > above, dtype=np.float32)


def column_sums(values: Csr) -> Float64[np.ndarray, " c"]:
    return np.asarray(values.sum(0), np.float64).ravel()


def deviation(values: Csr) -> Float64[np.ndarray, " c"]:
    """Each column's standard deviation over all rows."""
    mean = column_sums(values) / values.shape[0]
    return np.sqrt(np.maximum(column_sums(values.multiply(values)) / values.shape[0] - mean**2, 0.0))


def check_replies(chosen: Csr, rejected: Csr, features: int) -> None:
    """Raises ``UnweaveError`` for matrices of different rows, or of other features."""
    if chosen.shape != rejected.shape or chosen.shape[1] != features:
        raise UnweaveError(
            f"chosen is {chosen.shape}, rejected {rejected.shape} and {features} features are known: give the same "
            "rows, and the features of the same dictionary"
        )
