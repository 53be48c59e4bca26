"""A helix: a line and a circle run through together."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float64

from unweave.shapes.manifolds.family import Values, family, numbers, ordinals, spanning
from unweave.shapes.manifolds.fitted import Fitted

FEWEST_TURNS = 0.75
"""With fewer a helix cannot be told from any bent curve."""
PER_TURN = 4
"""Centroids a turn needs at least."""
STEP = 0.05
ROUNDS = 4


@family("helix", dimension=1, least=7, least_width=3)
def helix(centroids: Float64[np.ndarray, "w d"], values: Values = None) -> Fitted:
    """The curve ``a + b t + c cos(f t) + e sin(f t)`` nearest to the centroids at their ordinal values t.

    The number of turns is sought from 0.75 to a quarter of the centroids. Without values, t starts as the score on the
    first principal axis and is fitted in turn with the rest. Its turns may be ellipses that lean.
    Source: Kantamneni and Tegmark 2025, "Language models use trigonometry to do addition" (arXiv 2502.00873), with
    one period.
    """
    time = ordinals(values, centroids)
    known = numbers(values)
    found = _fitted(centroids, time)
    for _ in range(0 if known is not None and known.ndim == 1 else ROUNDS):
        time = found.nearest(centroids)
        found = _fitted(centroids, time)
    return found


def _fitted(centroids: Float64[np.ndarray, "w d"], time: Float64[np.ndarray, " w"]) -> Fitted:
    count, first, span = len(time), float(time.min()), float(np.ptp(time)) or 1.0
    unit = (time - first) / span
    low, high = FEWEST_TURNS, max(count / PER_TURN, FEWEST_TURNS + STEP)
    scores = spanning(centroids)[2]
    for finer in (STEP, STEP / 20, STEP / 400):
        tried = np.arange(low, high + finer / 2, finer)
        turns = float(tried[int(_explained(unit, tried, scores).argmax())])
        low, high = max(turns - finer, FEWEST_TURNS), turns + finer
    speed = 2 * math.pi * turns
    weights = np.linalg.lstsq(_basis(unit, speed), centroids, rcond=None)[0]
    low, high = np.array([[first - span / (count - 1)]]), np.array([[first + span * count / (count - 1)]])
    grid = np.linspace(low[0, 0], high[0, 0], max(8 * count, 64))
    return Fitted(
        "helix", 1, 4 * centroids.shape[1] + 1, weights[0], weights[1:],
        lambda theta: _basis((theta[:, 0] - first) / span, speed)[:, 1:],
        np.concatenate([grid, time])[:, None], low, high, (0.0,), time[:, None],
        {"turns": turns, "period": span / turns, "pitch": float(np.linalg.norm(weights[1])) / turns},
    )  # fmt: skip


def _explained(unit: Float64[np.ndarray, " w"], turns: Float64[np.ndarray, " t"], scores: np.ndarray) -> np.ndarray:
    """The variance of the centroids that a helix with each number of turns takes up."""
    bases = np.linalg.qr(np.stack([_basis(unit, 2 * math.pi * each) for each in turns]))[0]
    return ((bases.transpose(0, 2, 1) @ scores) ** 2).sum((1, 2))


def _basis(unit: Float64[np.ndarray, " n"], speed: float) -> Float64[np.ndarray, "n 4"]:
    return np.stack([np.ones_like(unit), unit, np.cos(speed * unit), np.sin(speed * unit)], 1)
