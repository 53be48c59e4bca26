"""A reply as behaviours see it: its text, taken apart once for all of them."""

from __future__ import annotations

import re
from collections import Counter
from functools import cached_property

DIGITS = re.compile(r"\d+")
WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
# Starts at the first mark of a run only, so that a megabyte of dots is read once.
SENTENCE_END = re.compile(r"(?<![.!?…])[.!?…]++[\"'”’)\]]*+(?=\s|$)|[。！？؟।]+")


class ReplyText:
    """A reply and the prompt that it answers, with words and sentences found when first asked for."""

    def __init__(self, text: str, prompt: str = "") -> None:
        self.text = text
        self.prompt = prompt
        """The text of the last user turn; empty where it is not known."""

    @cached_property
    def lower(self) -> str:
        return self.text.lower()

    @cached_property
    def words(self) -> list[str]:
        """Runs of letters, in lower case, with inner apostrophes, straight ones.

        A run of Chinese or Japanese, which set no spaces, is one word.
        """
        return _words(self.lower)

    @cached_property
    def counts(self) -> Counter[str]:
        """How often each word occurs."""
        return Counter(self.words)

    @cached_property
    def vocabulary(self) -> frozenset[str]:
        return frozenset(self.words)

    @cached_property
    def spoken(self) -> str:
        """Nothing but the words, each between two spaces of its own: what phrases are looked up in."""
        return f" {'  '.join(self.words)} " if self.words else ""

    @cached_property
    def digit_runs(self) -> list[str]:
        return DIGITS.findall(self.text)

    @cached_property
    def sentences(self) -> list[str]:
        """Pieces that end in a mark of the end, without it; what is left over at the end is one too."""
        return [piece.strip() for piece in SENTENCE_END.split(self.text) if piece.strip()]

    @cached_property
    def openings(self) -> list[str]:
        """The first word of each sentence that has one, in lower case."""
        found = (WORD.search(sentence) for sentence in self.sentences)
        return [each.group().lower().replace("’", "'") for each in found if each]

    @cached_property
    def lines(self) -> list[str]:
        """Lines that hold something."""
        return [line for line in self.text.splitlines() if line.strip()]

    @cached_property
    def prompt_words(self) -> list[str]:
        return _words(self.prompt.lower())


def _words(lower: str) -> list[str]:
    return WORD.findall(lower.replace("’", "'") if "’" in lower else lower)
