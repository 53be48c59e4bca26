"""How pleasant and how aroused people find feelings: the human reference for a model's geometry of emotions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from jaxtyping import Float64

from unweave.base.errors import UnweaveError, nearest
from unweave.corpora.stories.names import EMOTIONS, Emotion

SOURCE = (
    "Russell and Mehrabian, 'Evidence for a three-factor theory of emotions', Journal of Research in Personality 11, "
    "1977, table of 151 terms: means of pleasure and arousal on scales from -1 to 1"
)
VALENCE_AROUSAL: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "happy": (0.81, 0.51),
        "joyful": (0.76, 0.48),
        "excited": (0.62, 0.75),
        "elated": (0.50, 0.42),
        "hopeful": (0.51, 0.23),
        "loved": (0.87, 0.54),
        "thankful": (0.61, 0.10),
        "relaxed": (0.68, -0.46),
        "interested": (0.64, 0.51),
        "curious": (0.22, 0.62),
        "surprised": (0.40, 0.67),
        "angry": (-0.51, 0.59),
        "enraged": (-0.44, 0.72),
        "disgusted": (-0.60, 0.35),
        "fearful": (-0.64, 0.60),
        "terrified": (-0.62, 0.82),
        "humiliated": (-0.63, 0.43),
        "confused": (-0.53, 0.27),
        "discouraged": (-0.61, -0.15),
        "sad": (-0.63, -0.27),
        "depressed": (-0.72, -0.29),
        "lonely": (-0.66, -0.43),
        "bored": (-0.65, -0.62),
    }
)
"""Pleasure and arousal of 23 of the 151 terms; the article's are rated from 1 to 9 and brought to -1 to 1.

Taken from transcriptions of the table in published code, because the article itself was not at hand. Terms with a
quieter arousal than -0.5 are few in it, and of the pleasant ones here only ``relaxed`` is calm.
"""
WORDS: Mapping[Emotion, str] = MappingProxyType(
    {
        "surprise": "surprised",
        "disgust": "disgusted",
        "anger": "angry",
        "happiness": "happy",
        "sadness": "sad",
        "fear": "fearful",
    }
)
"""The term that stands for each of the six emotions."""


def valence_arousal(words: Sequence[str] = EMOTIONS) -> Float64[np.ndarray, "w 2"]:
    """Pleasure and arousal of emotion words, or of the six emotions' names, each from -1 to 1.

    Raises ``UnweaveError`` for a word that the table does not have. Source: ``SOURCE``.
    """
    known = {**VALENCE_AROUSAL, **{name: VALENCE_AROUSAL[word] for name, word in WORDS.items()}}
    for word in words:
        if word not in known:
            raise UnweaveError(f"{word!r} has no valence and arousal in the table; {nearest(str(word), known)}")
    return np.array([known[word] for word in words], np.float64)
