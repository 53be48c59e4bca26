"""A story with its gold: how it feels to its protagonist after each of its sentences."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float64

from unweave.base.errors import UnweaveError, nearest
from unweave.corpora.stories.arcs import ARCS, Arc
from unweave.corpora.stories.names import EMOTIONS, KINDS, Kind


@dataclass(frozen=True)
class Sentence:
    """One sentence and the state that it leaves the protagonist in.

    The state is carried over where a sentence itself is neutral: a sentence about the weather between two of grief is
    one of grief. Raises ``UnweaveError`` for a sentence without text and for values out of range.
    """

    text: str
    valence: float
    """From -1, as bad as it gets, to 1."""
    emotions: Mapping[str, float] = field(default_factory=dict)
    """Surprise, disgust, anger, happiness, sadness and fear, each from 0 to 1; one that is not given is 0."""

    def __post_init__(self) -> None:
        if not self.text.strip():
            raise UnweaveError("a sentence has no text: write it, or take its line out")
        _within("valence", self.valence, -1)
        for name, level in self.emotions.items():
            if name not in EMOTIONS:
                raise UnweaveError(f"emotion {name!r} is not one of the six; {nearest(name, EMOTIONS)}")
            _within(name, level, 0)
        levels = {name: float(self.emotions.get(name, 0.0)) for name in EMOTIONS}
        object.__setattr__(self, "valence", float(self.valence))
        object.__setattr__(self, "emotions", levels)


@dataclass(frozen=True)
class Story:
    """Sentences in order, and what the story is. Raises ``UnweaveError`` for an unknown arc or kind, or no sentence."""

    id: str
    title: str
    arc: Arc | None
    """One of Reagan's six shapes; None where there is none: a neutral text, sentences in another order."""
    topic: str
    kind: Kind
    source_id: str | None
    """The id of the story that this one was made from; None for one of its own."""
    sentences: tuple[Sentence, ...]
    protagonist: str = ""
    """The name by which the text calls the person whose state is the gold."""

    def __post_init__(self) -> None:
        if self.arc is not None and self.arc not in ARCS:
            raise UnweaveError(f"arc {self.arc!r} is not one of the six; {nearest(str(self.arc), ARCS)}")
        if self.kind not in KINDS:
            raise UnweaveError(f"kind {self.kind!r} is not a kind of story; {nearest(str(self.kind), KINDS)}")
        if not self.sentences:
            raise UnweaveError(f"story {self.id!r} has no sentences: write some, or take it out")

    @property
    def text(self) -> str:
        """The sentences joined by spaces."""
        return " ".join(sentence.text for sentence in self.sentences)

    @property
    def valence(self) -> Float64[np.ndarray, " sentences"]:
        """Gold valence after each sentence, -1 to 1."""
        return np.array([sentence.valence for sentence in self.sentences], np.float64)

    @property
    def emotions(self) -> Float64[np.ndarray, "sentences 6"]:
        """Gold emotions after each sentence, 0 to 1, with columns as in ``EMOTIONS``."""
        return np.array([[sentence.emotions[name] for name in EMOTIONS] for sentence in self.sentences], np.float64)


def _within(name: str, value: float, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= 1 or math.isnan(value):
        raise UnweaveError(f"{name} is {value!r}: give a number from {least} to 1")
