"""Ridge regression of columns on what replies hold, with the penalty chosen by leaving out a prompt at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Float64

from unweave.preferences.predictors.prompts import Prompts

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

PENALTIES = 10.0 ** np.arange(-3.0, 4.0)
"""Tried, in units of the mean eigenvalue of the Gram matrix."""


@dataclass(frozen=True)
class RidgeMap:
    """A linear map from features to columns, and what each row that it was fitted on contributed."""

    weights: Float64[np.ndarray, "d m"]
    penalty: float
    """In the units of ``PENALTIES``; infinite where the features do not vary."""
    explained: Float64[np.ndarray, " m"]
    """Share of each column's variance within prompts that is explained on prompts left out; below 0 is possible."""
    _left_out_errors: Float64[np.ndarray, "s m"]
    _features: Float[np.ndarray, "s d"] | csr_matrix
    _left: Float64[np.ndarray, "s r"]
    _inverse: Float64[np.ndarray, " r"]

    def influence(self, direction: Float[np.ndarray, " d"]) -> Float64[np.ndarray, "s m"]:
        """What each row added to ``direction @ weights``: summed over a prompt, by how much it is less without that.

        Source: the jackknife of ridge regression, ``A^-1 X_g^T (I - H_g)^-1 r_g`` for a group g of rows.
        """
        leverage = self._left @ (self._inverse * (self._left.T @ (self._features @ direction)))
        return leverage[:, None] * self._left_out_errors


def fit_ridge(
    features: Float[np.ndarray, "s d"] | csr_matrix, columns: Float[np.ndarray, "s m"], prompts: Prompts
) -> RidgeMap:
    """Least squares with one squared penalty for all columns; both sides are taken as less the mean of their prompt.

    The penalty is the one of ``PENALTIES`` with the least squared error on prompts left out, summed over columns in
    units of their own variance. The error of a left-out prompt is exact, from its block of the hat matrix.
    """
    target = columns.astype(np.float64)
    total = (target**2).sum(0)
    roots, left = _spectrum(features)
    turned = left.T @ target
    # What the weakest map there is, none, leaves; it stays where the features do not vary.
    score, penalty, errors, inverse = np.inf, np.inf, target, np.zeros_like(roots)
    for tried in PENALTIES[::-1] if len(roots) else ():
        shrunk = roots / (roots + tried * roots.mean())
        found = target - left @ (shrunk[:, None] * turned)
        for rows in prompts.members:
            block = left[rows]
            found[rows] = np.linalg.solve(np.eye(len(rows)) - (block * shrunk) @ block.T, found[rows])
        lost = float(((found**2).sum(0)[total > 0] / total[total > 0]).sum())
        if lost < score:
            score, penalty, errors, inverse = lost, float(tried), found, 1 / (roots + tried * roots.mean())
    weights = np.asarray(features.T @ (left @ (inverse[:, None] * turned)))
    left_over = np.divide((errors**2).sum(0), total, out=np.ones_like(total), where=total > 0)
    return RidgeMap(weights, penalty, 1 - left_over, errors, features, left, inverse)


def _spectrum(features: Any) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues of ``X X^T`` above rounding, and their vectors (s, r), by the smaller of the two Gram matrices."""
    from scipy.linalg import eigh
    from scipy.sparse import issparse

    rows, width = features.shape
    gram: Any = features @ features.T if width > rows else features.T @ features
    gram = (gram.toarray() if issparse(gram) else gram).astype(np.float64)
    roots, vectors = eigh(gram, driver="evd", overwrite_a=True)
    kept = roots > 1e-7 * max(float(roots[-1]), 1e-12)
    roots, vectors = roots[kept], vectors[:, kept]
    return roots, vectors if width > rows else (features @ vectors) / np.sqrt(roots)
