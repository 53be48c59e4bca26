"""What a hidden rater may like that no registered behaviour counts: properties of a reply with scorers of their own."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Float64

from unweave.base.errors import UnweaveError, nearest

WORDS = re.compile(r"[a-z]+(?:'[a-z]+)?")
SENSES = """
    bright dark loud quiet sweet bitter sour warm cold hot soft rough smooth wet dry sharp red blue green yellow black
    white golden silver grey brown pink purple smell taste sound light shadow touch glow shine fragrant salty crisp
    noisy silent heavy cool fresh ripe dusty muddy velvet icy
"""


def _words(text: str) -> list[str]:
    return WORDS.findall(text.lower())


def sibilance(text: str) -> float:
    """Share of letters that hiss: s, z and x."""
    letters = [each for each in text.lower() if each.isalpha()]
    return sum(each in "szx" for each in letters) / max(1, len(letters))


def alliteration(text: str) -> float:
    """Share of neighbouring words that begin with the same letter."""
    words = _words(text)
    return sum(a[0] == b[0] for a, b in pairwise(words)) / max(1, len(words) - 1)


def vowel_starts(text: str) -> float:
    """Share of words that begin with a vowel."""
    words = _words(text)
    return sum(word[0] in "aeiou" for word in words) / max(1, len(words))


def senses(text: str) -> float:
    """Share of words for what is seen, heard, smelt, tasted or felt."""
    words = _words(text)
    return sum(word in _senses() for word in words) / max(1, len(words))


@cache
def _senses() -> frozenset[str]:
    return frozenset(SENSES.split())


def rarity(text: str) -> float:
    """Mean surprise of the words under their frequencies in the bundled English text, in nats."""
    surprise, unknown = _surprises()
    words = _words(text)
    return sum(surprise.get(word, unknown) for word in words) / max(1, len(words))


@cache
def _surprises() -> tuple[dict[str, float], float]:
    from collections import Counter

    from unweave.corpora.files import load_corpus

    corpus = load_corpus("parallel")
    counts = Counter(word for text in corpus.documents("decomposition", "en") for word in _words(text))
    total = sum(counts.values()) + len(counts)
    return {word: math.log(total / (count + 1)) for word, count in counts.items()}, math.log(total)


def sunniness(text: str) -> float:
    """VADER's compound score (Hutto and Gilbert 2014), in [-1, 1]: another scorer of what valence words count."""
    return float(_vader().polarity_scores(text)["compound"])


@cache
def _vader() -> Any:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer  # type: ignore[import-untyped]

    return SentimentIntensityAnalyzer()


PROPERTIES: dict[str, Callable[[str], float]] = {
    "sibilance": sibilance,
    "alliteration": alliteration,
    "vowel starts": vowel_starts,
    "senses": senses,
    "rarity": rarity,
    "sunniness": sunniness,
}


def property_values(name: str, replies: Sequence[str]) -> Float64[np.ndarray, " n"]:
    """One hidden property of each reply; raises ``UnweaveError`` for an unknown one."""
    if name not in PROPERTIES:
        raise UnweaveError(f"property {name!r} is not known; {nearest(name, PROPERTIES)}")
    return np.array([PROPERTIES[name](text) for text in replies], np.float64)
