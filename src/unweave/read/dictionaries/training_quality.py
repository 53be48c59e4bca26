"""How good a trained SAE is on rows it was not trained on, beside directions that were not learnt."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unweave.read.dictionaries.batch_topk import Weights, decoded, keep_largest, products

BLOCK = 2048


class Reconstruction(NamedTuple):
    """Of some rows: the share of variance explained, latents kept on a token, and which latents were kept at all."""

    explained: float
    l0: float
    fired: Tensor


def reconstruction(
    weights: Weights, threshold: float, values: Float[Tensor, "n d"], chosen: Int[Tensor, " m"], device: torch.device
) -> Reconstruction:
    """What the SAE does at inference with the chosen rows."""
    kept, fired = 0, torch.zeros(len(weights.encoder), dtype=torch.bool, device=device)

    def made(rows: Tensor) -> Tensor:
        nonlocal kept
        found = products(weights, rows)
        latents = torch.relu(found) * (found > threshold)
        kept += int((latents > 0).sum())
        fired.logical_or_((latents > 0).any(0))
        return latents @ weights.decoder + weights.bias

    explained = _explained(made, values, chosen, device)
    return Reconstruction(explained, kept / len(chosen), fired.cpu())


def principal_components_explained(
    values: Float[Tensor, "n d"], fitted: Int[Tensor, " m"], chosen: Int[Tensor, " h"], k: int, device: torch.device
) -> float:
    """Variance of the chosen rows that the ``k`` largest principal components of the ``fitted`` rows explain."""
    count, total = 0, torch.zeros(values.shape[1], dtype=torch.float64, device=device)
    second = torch.zeros(values.shape[1], values.shape[1], dtype=torch.float64, device=device)
    for part in fitted.split(BLOCK):
        rows = values[part].to(device).float()
        count, total, second = count + len(rows), total + rows.sum(0), second + (rows.T @ rows).double()
    mean = total / count
    # eigh orders from the smallest.
    largest = torch.linalg.eigh(second / count - torch.outer(mean, mean)).eigenvectors[:, -k:].float()
    centre = mean.float()
    return _explained(lambda rows: (rows - centre) @ largest @ largest.T + centre, values, chosen, device)


def random_directions_explained(
    start: Weights, values: Float[Tensor, "n d"], chosen: Int[Tensor, " h"], k: int, device: torch.device
) -> float:
    """Variance explained by an SAE before its first step, with the one gain of its latents that explains most."""
    above, across = 0.0, 0.0
    for part in chosen.split(BLOCK):
        rows = values[part].to(device).float()
        made, wanted = _written(start, rows, k), rows - start.bias
        across, above = across + float((made * wanted).sum()), above + float(made.square().sum())
    gain = across / above if above else 0.0
    return _explained(lambda rows: gain * _written(start, rows, k) + start.bias, values, chosen, device)


def _written(weights: Weights, rows: Tensor, k: int) -> Tensor:
    return decoded(weights, keep_largest(products(weights, rows), k), len(rows)) - weights.bias


def _explained(made: Callable[[Tensor], Tensor], values: Tensor, chosen: Tensor, device: torch.device) -> float:
    """1 minus the squared error over the variance around the chosen rows' own mean."""
    missed, squares, total = 0.0, 0.0, torch.zeros(values.shape[1], dtype=torch.float64)
    for part in chosen.split(BLOCK):
        rows = values[part].to(device).float()
        missed += float((rows - made(rows)).square().sum(dtype=torch.float64))
        squares += float(rows.square().sum(dtype=torch.float64))
        total += rows.sum(0).double().cpu()
    variance = squares - float(total.square().sum()) / len(chosen)
    return 1 - missed / variance if variance > 0 else float("nan")
