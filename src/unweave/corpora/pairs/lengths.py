"""How long the replies of one side are, and whether a limit has cut the longest of them off."""

from __future__ import annotations

import heapq
import re
import unicodedata
from array import array
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

_END = re.compile(r"(?:[.!?…。．！？؟।۔|)\]}>]|```)[\"'”’»)\]}*_`~]*\Z")
NEAR = 0.9
"""Replies of this share of the largest length or more are at the maximum: one of tokens leaves words and letters some
play."""
FEWEST = 3
_UNENDED, _TIMES = 0.8, 2.0
_EXAMPLES = 5


@dataclass(frozen=True)
class LengthSummary:
    """Lengths of one side's replies: mean, median, 95th percentile and largest, in characters and in words.

    ``unended`` is the share of replies that end without a mark of the end.
    """

    characters: tuple[float, float, float, int]
    words: tuple[float, float, float, int]
    unended: float


@dataclass(frozen=True)
class CutOff:
    """Replies that a limit has cut off: how many, at which largest length, and the ids of some."""

    count: int
    limit: str
    examples: tuple[str, ...]


class Lengths:
    """What is kept of each reply of a side: nine bytes, and the ids of a few of the longest without an end."""

    def __init__(self) -> None:
        self._measures = {"characters": array("I"), "words": array("I")}
        self._unended = bytearray()
        self._longest: dict[str, list[tuple[int, str]]] = {name: [] for name in self._measures}

    def add(self, id: str, text: str) -> None:
        unended = not ends(text)
        self._unended.append(unended)
        for name, length in (("characters", len(text)), ("words", len(text.split()))):
            self._measures[name].append(length)
            if unended:
                longest = self._longest[name]
                (heapq.heappush if len(longest) < _EXAMPLES else heapq.heappushpop)(longest, (length, id))

    def summary(self) -> LengthSummary:
        characters, words = (_summary(self._values(name)) for name in self._measures)
        return LengthSummary(characters, words, float(np.mean(self._no_end())))

    def cut_off(self) -> CutOff | None:
        """Replies without an end whose length is at a maximum that several share, in characters or in words.

        It takes ``FEWEST`` at the maximum, most of them without an end and at least twice the share of that among
        shorter ones: text that never has end marks, code say, is no sign. A limit in tokens shows only in part.
        """
        no_end, found, limits = self._no_end(), np.zeros(len(self._unended), bool), {}
        for name in self._measures:
            values = self._values(name)
            near = values >= max(1.0, NEAR * values.max())
            usual = float(no_end[~near].mean()) if not near.all() else 1.0
            share = float(no_end[near].mean()) if near.any() else 0.0
            if (near & no_end).sum() >= FEWEST and share >= max(_UNENDED, _TIMES * usual):
                found |= near & no_end
                limits[name] = int(values.max())
        if not limits:
            return None
        examples = [
            id for name, most in limits.items() for length, id in sorted(self._longest[name], reverse=True)
            if length >= NEAR * most
        ]  # fmt: skip
        shown = " and ".join(f"{most} {name}" for name, most in limits.items())
        return CutOff(int(found.sum()), shown, tuple(dict.fromkeys(examples))[:_EXAMPLES])

    def _values(self, name: str) -> np.ndarray:
        return np.array(self._measures[name], np.int64)

    def _no_end(self) -> Bool[np.ndarray, " n"]:
        return np.array(self._unended, bool)


def ends(text: str) -> bool:
    """Whether a text ends as sentences, code blocks, tables or emoji do; an empty one has nothing to end."""
    text = text.rstrip()
    return not text or _END.search(text[-12:]) is not None or unicodedata.category(text[-1]) in ("So", "Sk", "Mn")


def _summary(values: np.ndarray) -> tuple[float, float, float, int]:
    median, high = np.quantile(values, [0.5, 0.95])
    return float(values.mean()), float(median), float(high), int(values.max())
