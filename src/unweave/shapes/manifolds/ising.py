"""Pairwise Ising models of which units fire together, sparse by an L1 penalty."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64

from unweave.base.errors import UnweaveError
from unweave.base.progress import Progress, Silent

PENALTIES = 14
LEAST_PENALTY = 0.01
"""Of the largest, at which no coupling is left."""
STEPS = 300
CONVERGED = 3e-4
PATIENCE = 3


@dataclass(frozen=True)
class Ising:
    """Fields and couplings of spins of -1 and 1: log-odds of unit i are 2 (fields[i] + couplings[i] @ spins)."""

    couplings: Float64[np.ndarray, "p p"]
    """Symmetric, 0 on the diagonal; above 0 for units that fire together."""
    fields: Float64[np.ndarray, " p"]
    penalty: float
    criteria: tuple[tuple[float, float], ...]
    """Penalty and extended BIC of each fit that was compared."""

    @property
    def edges(self) -> int:
        return int((np.triu(self.couplings, 1) != 0).sum())


def fit_ising(
    spins: Float32[np.ndarray, "n p"],
    gamma: float = 0.5,
    penalties: int = PENALTIES,
    progress: Progress | None = None,
) -> Ising:
    """The symmetric pseudo-likelihood fit whose penalty has the least extended BIC.

    The sum over units of the log-likelihood of each given all others, one coupling a pair, is maximised under an L1
    penalty by accelerated proximal gradient, from the penalty that leaves no coupling downwards; the search ends once
    the criterion has risen three times. The criterion takes the pseudo-likelihood for the likelihood:
    ``2 n loss + E log n + 4 gamma E log p`` for E couplings. Raises ``UnweaveError`` for values other than -1 and 1
    and for a unit that never changes.

    Source: Hoefling and Tibshirani 2009, "Estimation of sparse binary pairwise Markov networks using
    pseudo-likelihoods"; Beck and Teboulle 2009 (FISTA), restarted as O'Donoghue and Candes 2015; Foygel and Drton 2010
    and Barber and Drton 2015 (extended BIC).
    """
    progress = progress or Silent()
    given = np.asarray(spins, np.float32)
    if given.ndim != 2 or len(given) < 2 or given.shape[1] < 2 or not (np.abs(given) == 1).all():
        raise UnweaveError(f"spins have shape {given.shape}: give -1 and 1 of two units or more, [n, p]")
    means = given.mean(0, dtype=np.float64)
    if (np.abs(means) == 1).any():
        raise UnweaveError(f"unit {int(np.argmax(np.abs(means) == 1))} never changes: leave it out")
    if gamma < 0 or penalties < 1:
        raise UnweaveError(f"gamma {gamma} and {penalties} penalties: give 0 or more, and 1 or more")
    problem = _Pseudo(given, means)
    couplings, fields = np.zeros((given.shape[1],) * 2, np.float32), np.arctanh(means).astype(np.float32)
    largest = float(np.abs(problem.gradient(couplings, fields)[1]).max())
    path = largest * np.geomspace(1, LEAST_PENALTY, penalties)
    criteria: list[tuple[float, float]] = []
    best, best_couplings, best_fields = np.inf, couplings, fields
    for index, penalty in enumerate(path):
        couplings, fields = problem.solved(couplings, fields, float(penalty))
        edges = int((np.triu(couplings, 1) != 0).sum())
        loss = problem.gradient(couplings, fields)[0]
        count, units = given.shape
        criterion = 2 * count * loss + edges * np.log(count) + 4 * gamma * edges * np.log(units)
        criteria.append((float(penalty), float(criterion)))
        progress.update(index + 1, penalties, f"{edges} couplings")
        if criterion < best:
            best, best_couplings, best_fields = criterion, couplings, fields
        elif len(criteria) > PATIENCE and min(each for _, each in criteria[-PATIENCE:]) > best:
            break
    penalty = min(criteria, key=lambda each: each[1])[0]
    final = best_couplings.astype(np.float64)
    # Inside, spins are counted from their means.
    return Ising(final, best_fields - final @ means, penalty, tuple(criteria))


class _Pseudo:
    """The loss over spins counted from their means, which leaves the steps as long as their covariance allows."""

    def __init__(self, spins: Float32[np.ndarray, "n p"], means: Float64[np.ndarray, " p"]) -> None:
        self.spins, self.centred = spins, (spins - means).astype(np.float32)
        covariance = self.centred.T @ self.centred / len(spins)
        self.step = 1 / max(2 * float(np.linalg.eigvalsh(covariance.astype(np.float64))[-1]), 1.0)

    def gradient(self, couplings: np.ndarray, fields: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """The mean loss of a row, and its slopes by couplings (of a pair, at both its places) and fields."""
        margin = self.spins * (self.centred @ couplings + fields)
        margin *= -2
        tail = np.exp(-np.abs(margin))
        loss = float((np.maximum(margin, 0) + np.log1p(tail)).sum(dtype=np.float64)) / len(margin)
        chance = np.where(margin >= 0, 1, tail) / (1 + tail)
        slope = (-2 * self.spins * chance).astype(np.float32) / np.float32(len(margin))
        product = self.centred.T @ slope
        both = product + product.T
        np.fill_diagonal(both, 0)
        return loss, both, slope.sum(0)

    def solved(self, couplings: np.ndarray, fields: np.ndarray, penalty: float) -> tuple[np.ndarray, np.ndarray]:
        ahead, ahead_fields, momentum = couplings, fields, 1.0
        for _ in range(STEPS):
            _, slope, field_slope = self.gradient(ahead, ahead_fields)
            moved = ahead - np.float32(self.step) * slope
            after = np.sign(moved) * np.maximum(np.abs(moved) - np.float32(self.step * penalty), 0)
            after_fields = ahead_fields - np.float32(self.step) * field_slope
            change, field_change = after - couplings, after_fields - fields
            if float(((ahead - after) * change).sum() + ((ahead_fields - after_fields) * field_change).sum()) > 0:
                momentum = 1.0
            following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
            weight = np.float32((momentum - 1) / following)
            ahead, ahead_fields = after + weight * change, after_fields + weight * field_change
            couplings, fields, momentum = after, after_fields, following
            size = max(float(np.abs(couplings).max()), float(np.abs(fields).max()), 1e-3)
            if max(float(np.abs(change).max()), float(np.abs(field_change).max())) < CONVERGED * size:
                break
        return couplings, fields
