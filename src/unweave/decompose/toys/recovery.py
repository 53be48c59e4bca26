"""How close a decomposition came to a known answer. Definitions are SPD's (arXiv 2506.20790) unless said otherwise."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

PRESENT, STRONG = 0.1, 0.9
"""An importance above the first counts as there, one above the second as fully there."""


def matched_columns(importance: Float[Tensor, "features c"]) -> Int[Tensor, " features"]:
    """The subcomponent of each feature in the assignment with the largest sum of importances (Hungarian method)."""
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(-importance.numpy())
    found = torch.full((len(importance),), -1)
    found[torch.as_tensor(rows)] = torch.as_tensor(columns)
    return found


def identity_error(importance: Float[Tensor, "probes c"], feature: Int[Tensor, " probes"] | None = None) -> int:
    """IdentityCIError: matched importances below 0.9 plus all others above 0.1; 0 is one subcomponent a feature.

    ``importance`` has one row for each feature alone; with ``feature``, a row for each probe and the number of the
    feature that it has. A row that no subcomponent is left for counts as one error.
    """
    if feature is None:
        feature = torch.arange(len(importance))
    sums = importance.new_zeros(int(feature.max()) + 1, importance.shape[1]).index_add_(0, feature, importance)
    matched = matched_columns(sums)[feature]
    assigned = torch.zeros_like(importance, dtype=torch.bool)
    rows = torch.arange(len(importance))[matched >= 0]
    assigned[rows, matched[matched >= 0]] = True
    missing = len(importance) - int((importance[assigned] >= STRONG).sum())
    return missing + int((importance[~assigned] > PRESENT).sum())


def dense_error(importance: Float[Tensor, "features c"], count: int, least: int = 2) -> int:
    """DenseCIError: how far from exactly ``count`` subcomponents that are each needed for ``least`` features or more.

    Strong importances missing from the ``count`` most used columns, plus importances above 0.1 in the others.
    """
    order = importance.sum(0).argsort(descending=True)
    dense, others = importance[:, order[:count]], importance[:, order[count:]]
    strong = (dense >= STRONG).sum(0)
    missing = int((least - strong).clamp_min(0).sum()) + least * max(0, count - dense.shape[1])
    return missing + int((others > PRESENT).sum())


def feature_recovery(
    V: Float[Tensor, "d_in c"], U: Float[Tensor, "c d_out"], weight: Float[Tensor, "d_out d_in"], side: str
) -> tuple[float, float]:
    """MMCS and ML2R for features that are the columns (``side="in"``) or the rows (``"out"``) of a matrix.

    MMCS: for each feature j the largest cosine, over subcomponents c, between column j of ``u_c v_c^T`` and column j of
    the matrix, averaged over features. ML2R: the ratio of the two columns' norms for that subcomponent, averaged.
    """
    if side == "out":
        V, U, weight = U.T, V.T, weight.T
    column = weight / weight.norm(dim=0)
    written = U / U.norm(dim=1, keepdim=True).clamp_min(1e-12)
    cosine = (written @ column) * V.T.sign()
    best = cosine.max(0)
    features = torch.arange(weight.shape[1])
    norms = U.norm(dim=1)[best.indices] * V[features, best.indices].abs()
    return float(best.values.mean()), float((norms / weight.norm(dim=0)).mean())


def planted_cosine(
    V: Float[Tensor, "d_in c"],
    U: Float[Tensor, "c d_out"],
    planted: Float[Tensor, "pieces d_out d_in"],
) -> tuple[float, float]:
    """MMCS and ML2R against planted rank-one pieces, compared as whole matrices."""
    sizes = planted.flatten(1).norm(dim=1)
    norms = U.norm(dim=1) * V.norm(dim=0)
    cosine = torch.einsum("co,poi,ic->pc", U, planted, V) / (sizes[:, None] * norms.clamp_min(1e-12))
    best = cosine.max(1)
    return float(best.values.mean()), float((norms[best.indices] / sizes).mean())
