"""Which label's text a context is from, told from its tokens alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np



@dataclass(frozen=True)
class LanguageGuess:
    """Naive Bayes over tokens: ``score`` (labels, vocabulary + 1) are log-probabilities, 0 outside the window."""

    labels: Sequence[str]
    names: Sequence[str]
    """What people call the labels: ``German`` for ``de``."""
    score: np.ndarray

    def guess(self, tokens: np.ndarray) -> np.ndarray:
        """The most probable label of every context, (n,), from ``tokens`` (n, k)."""
        # OUTSIDE is -1, which is the last column, of zeros.
        best = np.zeros(len(tokens), np.int64)
        highest = np.full(len(tokens), -np.inf)
        for label, row in enumerate(self.score):
            found = row[tokens].sum(1)
            better = found > highest
            best[better], highest[better] = label, found[better]
        return best


def fit_language(
    windows: np.ndarray, label: np.ndarray, labels: Sequence[str], names: Sequence[str], vocabulary: int
) -> LanguageGuess:
    """Fits on shown ``windows`` (n, t) with ``label`` (n,); half a count is added to every token."""
    counts = np.stack([np.bincount(windows[label == k].ravel(), minlength=vocabulary) for k in range(len(labels))])
    smooth = np.log((counts + 0.5) / (counts.sum(1, keepdims=True) + 0.5 * vocabulary))
    return LanguageGuess(tuple(labels), tuple(names), np.concatenate([smooth, np.zeros((len(labels), 1))], 1))
