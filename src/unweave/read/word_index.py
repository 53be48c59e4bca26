"""Which features' labels have the words of a query, from an index made once."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

_WORD = re.compile(r"\w+")
_SHORTEST_PREFIX = 3
_PREFIX_WEIGHT = 0.8


def words_of(text: str) -> list[str]:
    """A text's words, case folded, plurals as singulars."""
    return [_stem(word) for word in _WORD.findall(text.casefold())]


def _stem(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


class WordIndex:
    """Rows by word. Each row has texts of falling importance: a word counts by the first of its texts that has it."""

    def __init__(self, texts: Sequence[Sequence[str]], weights: Sequence[float]) -> None:
        self._rows = len(texts)
        found: dict[str, dict[int, float]] = defaultdict(dict)
        for row, fields in enumerate(texts):
            for weight, text in zip(weights, fields, strict=True):
                for word in words_of(text):
                    found[word].setdefault(row, weight)
        self._postings = {
            word: (np.fromiter(rows, np.int64, len(rows)), np.fromiter(rows.values(), float, len(rows)))
            for word, rows in found.items()
        }

    def weight(self, word: str) -> float:
        """Inverse document frequency, as in BM25 (Robertson and Zaragoza, 2009), always above 0."""
        holding = len(self._postings[word][0]) if word in self._postings else 0
        return math.log1p((self._rows - holding + 0.5) / (holding + 0.5))

    def holds(self, word: str) -> np.ndarray:
        """[rows] how much a row is about a word, in [0, 1]; a word nobody has is taken as the beginning of others."""
        found = np.zeros(self._rows)
        if word in self._postings:
            rows, weights = self._postings[word]
            found[rows] = weights
        elif len(word) >= _SHORTEST_PREFIX:
            for longer, (rows, weights) in self._postings.items():
                if longer.startswith(word):
                    found[rows] = np.maximum(found[rows], _PREFIX_WEIGHT * weights)
        return found
