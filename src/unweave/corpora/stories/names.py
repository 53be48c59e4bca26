"""The names that stories use: the six emotions, and the kinds of story there are."""

from __future__ import annotations

from typing import Literal, get_args

Emotion = Literal["surprise", "disgust", "anger", "happiness", "sadness", "fear"]
EMOTIONS: tuple[Emotion, ...] = get_args(Emotion)

Kind = Literal["arc", "shuffled", "neutral", "negated", "sarcastic", "plain"]
"""``arc`` is a story of the corpus proper; the others are its controls.

``shuffled``: the sentences of a story in another order. ``neutral``: nothing is felt. ``negated``: words of feeling
stand under a negation, so that a list of words reads the wrong sign. ``sarcastic``: praise that is meant as blame, or
the reverse. ``plain``: a story without any word of feeling and with the gold of its source.
"""
KINDS: tuple[Kind, ...] = get_args(Kind)
