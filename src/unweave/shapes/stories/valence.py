"""Valence from emotions."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float64

from unweave.corpora.stories import EMOTIONS

NEGATIVE = ("disgust", "anger", "sadness", "fear")
_NEGATIVE = [EMOTIONS.index(name) for name in NEGATIVE]  # type: ignore[arg-type]


def valence_of(emotions: Float[np.ndarray, "n 6"]) -> Float64[np.ndarray, " n"]:
    """Happiness less the mean of disgust, anger, sadness and fear; surprise counts for neither side."""
    given = np.asarray(emotions, np.float64)
    return given[:, EMOTIONS.index("happiness")] - given[:, _NEGATIVE].mean(1)
