"""Closed-form rank-one edits in the same place: what a decomposition has to beat."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from unweave.base.errors import UnweaveError
from unweave.decompose.decomposition import Subcomponent

SHRINKAGE = 0.05


def mean_difference(
    site: str, weight: Float[Tensor, "d_out d_in"], inputs: Mapping[str, Float[Tensor, "n d_in"]], label: str
) -> Subcomponent:
    """Reads along the label's mean input minus the others', with response 1 to it, and writes its image."""
    difference = _mean(inputs, label) - _others_mean(inputs, label)
    return Subcomponent(site, -1, weight.float().cpu() @ difference, difference / difference.square().sum())


def least_variance(
    site: str, weight: Float[Tensor, "d_out d_in"], inputs: Mapping[str, Float[Tensor, "n d_in"]], label: str
) -> Subcomponent:
    """Responds 1 to the label's mean input, 0 to every other label's mean, and least to whatever else they vary by.

    The read direction is ``S^-1 M (M^T S^-1 M)^-1 e1`` with M the means (the label's first) and S the shrunk pooled
    covariance of the *other* labels' inputs (minimum-variance beamforming under linear constraints).
    """
    others = [other for other in inputs if other != label]
    means = torch.stack([_mean(inputs, label), *(_mean(inputs, other) for other in others)], dim=1).double()
    if means.shape[1] >= means.shape[0]:
        raise UnweaveError(f"{means.shape[1]} labels leave no free direction among {means.shape[0]} inputs of {site}")
    centred = torch.cat([inputs[other].float() - _mean(inputs, other) for other in others]).double()
    covariance = centred.T @ centred / len(centred)
    scale = covariance.diagonal().mean()
    covariance = (1 - SHRINKAGE) * covariance + SHRINKAGE * scale * torch.eye(len(covariance), dtype=torch.float64)
    solved = torch.linalg.solve(covariance, means)
    read = solved @ torch.linalg.solve(means.T @ solved, torch.eye(means.shape[1], dtype=torch.float64)[:, 0])
    write = weight.cpu().double() @ (means[:, 0] - means[:, 1:].mean(1))
    return Subcomponent(site, -1, write.float(), read.float())


def _mean(inputs: Mapping[str, Tensor], label: str) -> Tensor:
    return inputs[label].float().mean(0)


def _others_mean(inputs: Mapping[str, Tensor], label: str) -> Tensor:
    return torch.stack([_mean(inputs, other) for other in inputs if other != label]).mean(0)
