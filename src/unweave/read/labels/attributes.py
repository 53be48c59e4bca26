"""What can be asked of a token in its text: which it is, what stands beside it, its kind, its language, its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING
import unicodedata

import numpy as np

from unweave.read.labels.contexts import OUTSIDE, REACH, Contexts

if TYPE_CHECKING:
    from unweave.read.labels.language import LanguageGuess

PLACES: Mapping[str, int] = {"token": 0, "previous": -1, "next": 1, "second before": -2}
"""Attributes that name a token, and how far it stands from the one in the middle."""
KINDS: Mapping[str, int] = {"kind": 0, "kind before": -1, "kind after": 1}
SPELLING = ("letter", "ending", "length")
POSITION_STEP, LONGEST = 4, 8
EDGE, NO_WORD = "edge of the window", "no word"


def token_kind(text: str, starts_words: bool) -> str:
    """One of a few kinds of token: ``digits``, ``punctuation``, ``space``, or a word or piece with its case and script.

    ``starts_words`` says whether this vocabulary marks the start of a word with a space; only then is a token without
    one called a piece.
    """
    body = text.strip()
    if not body:
        return "space"
    letters = [c for c in body if c.isalpha()]
    if not letters:
        return "digits" if any(c.isdigit() for c in body) else "punctuation"
    case = "capitals" if len(letters) > 1 and body.isupper() else "capitalised" if letters[0].isupper() else "lower"
    what = "word" if text[:1].isspace() or not starts_words else "piece"
    script = script_of(letters[0])
    return f"{what} {case}" if script == "latin" else f"{what} {script}"


def script_of(letter: str) -> str:
    """The script of a letter by its Unicode name: ``latin``, ``greek``, ``cyrillic``, ``cjk``."""
    return unicodedata.name(letter, "unknown").split()[0].lower()


@dataclass(frozen=True)
class Attributes:
    """Codes of attributes: ``of(name, contexts)`` gives one whole number a context; ``names[name][code]`` says it."""

    texts: Sequence[str]
    """The vocabulary's text by token id."""
    language: LanguageGuess

    @cached_property
    def starts_words(self) -> bool:
        """Whether this vocabulary marks the start of a word with a space."""
        return sum(text[:1].isspace() and len(text) > 1 for text in self.texts) > len(self.texts) / 20

    @cached_property
    def _spelled(self) -> Mapping[str, tuple[list[str], np.ndarray]]:
        """For kind, letter, ending and length: their names, and the code of every token; the last is the edge's."""
        bodies = [text.strip().lower() for text in self.texts]
        said = {
            "kind": [token_kind(text, self.starts_words) for text in self.texts],
            "letter": [body[:1] if body[:1].isalpha() else NO_WORD for body in bodies],
            "ending": [body[-2:] if len(body) > 2 and body[-2:].isalpha() else NO_WORD for body in bodies],
            "length": [str(min(len(body), LONGEST)) if body.isalpha() else NO_WORD for body in bodies],
        }
        found = {}
        for name, values in said.items():
            names = [*sorted(set(values)), EDGE]
            number = {value: code for code, value in enumerate(names)}
            found[name] = names, np.array([*(number[value] for value in values), number[EDGE]], np.int64)
        return found

    @cached_property
    def all(self) -> tuple[str, ...]:
        return (*PLACES, *KINDS, *SPELLING, "position", "language")

    def of(self, name: str, contexts: Contexts) -> np.ndarray:
        """The attribute's code in every context, (n,)."""
        if name in PLACES:
            return contexts.tokens[:, REACH + PLACES[name]]
        if name in KINDS:
            return self._spelled["kind"][1][contexts.tokens[:, REACH + KINDS[name]]]
        if name in SPELLING:
            return self._spelled[name][1][contexts.centre]
        if name == "position":
            return contexts.position // POSITION_STEP
        return self.language.guess(contexts.tokens)

    def values(self, name: str, codes: Sequence[int]) -> list[int | str]:
        """Codes as they are written in JSON: token ids and positions as numbers, the rest as words."""
        if name in PLACES or name == "position":
            return [int(code) for code in codes]
        names = self._names(name)
        return [names[code] for code in codes]

    def codes(self, name: str, values: Sequence[int | str]) -> list[int]:
        """The other way; raises ``KeyError`` for an unknown attribute or word."""
        if name in PLACES or name == "position":
            return [int(value) for value in values]
        numbers = {value: code for code, value in enumerate(self._names(name))}
        return [numbers[str(value)] for value in values]

    def _names(self, name: str) -> Sequence[str]:
        return self.language.labels if name == "language" else self._spelled["kind" if name in KINDS else name][0]

    def kind(self, tokens: np.ndarray) -> list[str]:
        """The kinds of some tokens."""
        names, code = self._spelled["kind"]
        return [names[each] for each in code[tokens]]

    def text(self, token: int) -> str:
        """A token's text, ``…`` outside the window."""
        return "…" if token == OUTSIDE else self.texts[token]
