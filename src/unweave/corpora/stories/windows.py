"""A window that slides over sentences: how a text longer than a model's context is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from unweave.base.errors import UnweaveError


@dataclass(frozen=True)
class SentenceWindow:
    """Consecutive sentences: those from ``start`` to before ``stop``, counted from 0."""

    start: int
    stop: int
    text: str
    """The sentences joined by spaces."""


def sliding_windows(sentences: Sequence[str], length: int, stride: int) -> tuple[SentenceWindow, ...]:
    """Windows of ``length`` sentences that begin ``stride`` sentences apart, so that every sentence is in one.

    The last one ends with the last sentence and may begin less than a stride after the one before it; a text shorter
    than ``length`` is one window. Raises ``UnweaveError`` for no sentences, for sizes below 1, and for a stride longer
    than a window, which would pass over sentences.
    """
    if not sentences:
        raise UnweaveError("there are no sentences to slide over: give at least one")
    if length < 1:
        raise UnweaveError(f"a window of {length} sentences holds nothing: use 1 or more")
    if not 1 <= stride <= length:
        raise UnweaveError(f"stride {stride} is not from 1 to the window's length, {length}: it would skip sentences")
    last = max(0, len(sentences) - length)
    starts = [*range(0, last, stride), last]
    return tuple(_window(sentences, start, min(start + length, len(sentences))) for start in starts)


def _window(sentences: Sequence[str], start: int, stop: int) -> SentenceWindow:
    return SentenceWindow(start, stop, " ".join(sentences[start:stop]))
