"""A text as a target reads it: its sentences as tokens, in one piece or through a window that slides over them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from unweave.base.errors import UnweaveError
from unweave.corpora.stories import Story, sliding_windows
from unweave.corpora.windows import start_token
from unweave.models.target import Target
from unweave.shapes.stories.protagonist import find_protagonist

MOST_TOKENS = 1024
"""Tokens of a window where nobody says how many sentences it has; less where the target's context is shorter."""
ROOM = 96
"""Tokens of the context that are kept free for a question."""
SHORTEST_ROOM = 0.25
"""Share of a short context that is kept free instead."""


@dataclass(frozen=True)
class Passage:
    """Consecutive sentences in one forward; ``ends`` holds the tokens up to the end of each sentence read off here.

    In the first passage of a text these are all of its sentences, in a later one those that no earlier passage holds.
    """

    tokens: tuple[int, ...]
    ends: tuple[int, ...]


@dataclass(frozen=True)
class Text:
    """A text's passages, every sentence read off in exactly one, and whom questions are about."""

    passages: tuple[Passage, ...]
    protagonist: str
    window: int | None
    """Sentences that the sliding window holds; None for a text read whole."""

    @property
    def sentences(self) -> int:
        return sum(len(passage.ends) for passage in self.passages)

    @property
    def tokens(self) -> int:
        """Tokens of all passages, those of overlapping windows counted each time."""
        return sum(len(passage.tokens) for passage in self.passages)


def read_story(target: Target, story: Story, window: int | None = None) -> Text:
    """``encode_text`` of a story's sentences, about its protagonist."""
    return encode_text(target, [sentence.text for sentence in story.sentences], story.protagonist, window)


def encode_text(target: Target, sentences: Sequence[str], protagonist: str = "", window: int | None = None) -> Text:
    """Sentences as a target's tokens, joined by spaces.

    A text longer than ``window`` sentences is read through windows of so many, each beginning half a window after the
    one before it, so that a sentence is read with at least half a window before it, once there is so much. Without
    ``window`` a text is read whole where it fits, and else its windows are halved until they do. Without
    ``protagonist`` it is the name that the text uses most. Raises ``UnweaveError`` without a tokenizer, for no
    sentences, for a window below 2, and for one that the target's context does not hold.
    """
    if target.tokenizer is None:
        raise UnweaveError(f"{target.name} has no tokenizer, so it reads no text: make the target with one")
    if not sentences:
        raise UnweaveError("the text has no sentences: give at least one")
    if window is not None and window < 2:
        raise UnweaveError(f"a window of {window} sentences has nothing before the one it ends with: use 2 or more")
    pieces = [continued(target.tokenizer, (" " if number else "") + each) for number, each in enumerate(sentences)]
    start = start_token(target.tokenizer)
    context = context_length(target)
    most = context - min(ROOM, int(SHORTEST_ROOM * context))
    most = most if window is not None else min(most, MOST_TOKENS)
    size = len(pieces) if window is None else min(window, len(pieces))
    while True:
        passages = _passages(pieces, [] if start is None else [start], size)
        longest = max(len(passage.tokens) for passage in passages)
        if longest <= most:
            break
        if window is not None or size <= 2:
            raise UnweaveError(
                f"{size} sentences are {longest} tokens, and {target.name} takes {most} beside a question: give a "
                "shorter window, or shorter sentences"
            )
        size = (size + 1) // 2
    return Text(passages, protagonist or find_protagonist(sentences), size if size < len(pieces) else None)


def continued(tokenizer: Any, text: str) -> list[int]:
    """The tokens of text that goes on after other text; a tokenizer may begin a text with a space of its own."""
    before = tokenizer(".", add_special_tokens=False, verbose=False)["input_ids"]
    whole = tokenizer(f".{text}", add_special_tokens=False, verbose=False)["input_ids"]
    if whole[: len(before)] == before:
        return list(whole[len(before) :])
    return list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])


def context_length(target: Target) -> int:
    """Tokens that the target takes; ``MOST_TOKENS`` where its config does not say."""
    stated = getattr(getattr(target.module, "config", None), "max_position_embeddings", None)
    return int(stated) if stated else MOST_TOKENS


def _passages(pieces: Sequence[Sequence[int]], start: list[int], size: int) -> tuple[Passage, ...]:
    found, read = [], 0
    for window in sliding_windows([""] * len(pieces), size, max(size // 2, 1)):
        tokens, ends = list(start), []
        for number in range(window.start, window.stop):
            tokens.extend(pieces[number])
            if number >= read:
                ends.append(len(tokens))
        read = window.stop
        found.append(Passage(tuple(tokens), tuple(ends)))
    return tuple(found)
