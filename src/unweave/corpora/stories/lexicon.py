"""Valence by word lists: the baselines that need no model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Float64

from unweave.base.errors import UnweaveError

if TYPE_CHECKING:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer  # type: ignore[import-untyped]

_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_LARGEST = 4.0  # VADER's raters scored words from -4 to 4


def vader_valence(sentences: Sequence[str]) -> Float64[np.ndarray, " sentences"]:
    """VADER's compound score of each sentence, -1 to 1, 0 where it knows no word (Hutto and Gilbert 2014).

    It applies VADER's rules for negations, degree words, capitals and exclamation marks.
    """
    analyser = _analyser()
    return np.array([analyser.polarity_scores(sentence)["compound"] for sentence in sentences], np.float64)


def word_valence(sentences: Sequence[str]) -> Float64[np.ndarray, " sentences"]:
    """The mean score of those of a sentence's words that VADER's lexicon has, -1 to 1, 0 where it has none.

    The bare list of words, as the arcs of Reagan et al. (2016) are read: no word changes another's sign.
    """
    return np.array([_word_mean(sentence) for sentence in sentences], np.float64)


def scored_words(sentence: str) -> tuple[tuple[str, float], ...]:
    """The words of a sentence, in lower case, that VADER's lexicon scores, with their scores from -1 to 1."""
    lexicon = _analyser().lexicon
    words = (word.lower().replace("’", "'") for word in _WORD.findall(sentence))
    return tuple((word, float(lexicon[word]) / _LARGEST) for word in words if word in lexicon)


def sliding_mean(values: Float[np.ndarray, " n"], width: int) -> Float64[np.ndarray, " n"]:
    """The mean over ``width`` values centred on each, over fewer at the ends; ``width`` is odd.

    Raises ``UnweaveError`` for an even width, which has no middle, and one below 1.
    """
    if width < 1 or width % 2 == 0:
        raise UnweaveError(f"a sliding mean over {width} values has no middle: use an odd number from 1 up")
    kernel = np.ones(width)
    values = np.asarray(values, np.float64)
    reach = width // 2
    total = np.convolve(values, kernel)[reach : reach + len(values)]
    return total / np.convolve(np.ones_like(values), kernel)[reach : reach + len(values)]


def _word_mean(sentence: str) -> float:
    scores = [score for _, score in scored_words(sentence)]
    return sum(scores) / len(scores) if scores else 0.0


@cache
def _analyser() -> SentimentIntensityAnalyzer:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    return SentimentIntensityAnalyzer()
