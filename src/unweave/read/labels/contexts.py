"""Text around the tokens where a feature fires: a token in the middle and up to twenty on either side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

REACH = 20
WIDTH = 2 * REACH + 1
OUTSIDE = -1
"""Stands where a context reaches over the end of its window."""


class ShownExample(Protocol):
    """What an example of a harvest says of its place and its text."""

    @property
    def position(self) -> int: ...

    @property
    def offset(self) -> int: ...

    @property
    def tokens(self) -> np.ndarray: ...


@dataclass(frozen=True)
class Contexts:
    """Contexts of n tokens: ``tokens`` (n, 41) with the token itself in column 20, ``position`` (n,) in its window."""

    tokens: np.ndarray
    position: np.ndarray

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, rows: np.ndarray | slice | Sequence[int]) -> Contexts:
        return Contexts(self.tokens[rows], self.position[rows])

    @property
    def centre(self) -> np.ndarray:
        return self.tokens[:, REACH]

    def moved(self, rows: np.ndarray, by: np.ndarray) -> Contexts:
        """The same texts seen from another of their tokens: ``rows`` (m,) of these, ``by`` (m,) tokens further on."""
        columns = np.arange(WIDTH) + np.asarray(by)[:, None]
        inside = (columns >= 0) & (columns < WIDTH)
        tokens = np.take_along_axis(self.tokens[rows], columns.clip(0, WIDTH - 1), 1)
        return Contexts(np.where(inside, tokens, OUTSIDE), self.position[rows] + by)


def join(parts: Iterable[Contexts]) -> Contexts:
    """Several lots of contexts as one, in order."""
    found = list(parts)
    if not found:
        return Contexts(np.empty((0, WIDTH), np.int64), np.empty(0, np.int64))
    return Contexts(np.concatenate([p.tokens for p in found]), np.concatenate([p.position for p in found]))


def contexts_at(windows: np.ndarray, flat: np.ndarray, reach: int = REACH) -> Contexts:
    """Contexts of places in ``windows`` (n, t), each numbered ``window * t + position``, ``reach`` tokens a side."""
    length = windows.shape[1]
    window, position = np.divmod(np.asarray(flat, np.int64), length)
    steps = np.arange(-REACH, REACH + 1)
    columns = position[:, None] + steps
    inside = (columns >= 0) & (columns < length) & (abs(steps) <= reach)
    tokens = windows[window[:, None], columns.clip(0, length - 1)]
    return Contexts(np.where(inside, tokens, OUTSIDE), position)


def contexts_of(examples: Sequence[ShownExample]) -> Contexts:
    """Contexts of a harvest's examples."""
    tokens = np.full((len(examples), WIDTH), OUTSIDE, np.int64)
    for row, example in enumerate(examples):
        first = max(0, example.offset - REACH)
        kept = example.tokens[first : example.offset + REACH + 1]
        start = REACH - (example.offset - first)
        tokens[row, start : start + len(kept)] = kept
    return Contexts(tokens, np.array([example.position for example in examples], np.int64))


def highlights(values: Sequence[np.ndarray], examples: Sequence[ShownExample]) -> np.ndarray:
    """Numbers by token of each example, (n, 41), as its context stands in ``contexts_of``; 0 outside."""
    found = np.zeros((len(examples), WIDTH), np.float32)
    for row, (example, value) in enumerate(zip(examples, values, strict=True)):
        first = max(0, example.offset - REACH)
        kept = value[first : example.offset + REACH + 1]
        start = REACH - (example.offset - first)
        found[row, start : start + len(kept)] = kept
    return found
