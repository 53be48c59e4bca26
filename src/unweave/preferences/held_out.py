"""Which prompts of a person's own data are held out of training, and which of them are asked.

A prompt's place is a hash of what it asks, so that every pair of a prompt falls on one side, in any file and order.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heappush, heapreplace

from unweave.base.errors import UnweaveError
from unweave.corpora.pairs.repeats import marks
from unweave.corpora.pairs.value import PreferencePair, Turn
from unweave.preferences.truth.answers import Question

SHARE = 0.2
"""Of prompts, that are held out where something is trained."""
EVERY = "all"
"""The topic of a question that was drawn without one."""


def place_of(pair: PreferencePair) -> float:
    """The place of a pair's prompt in [0, 1): the same for prompts that differ in case, white space or system turns."""
    # The top 53 bits, which a float holds exactly: rounded, the last place would be 1.
    return (marks(pair).prompt >> 11) / 2**53


def is_held_out(pair: PreferencePair, share: float = SHARE) -> bool:
    """Whether a pair's prompt is among the held-out ``share`` of all possible prompts."""
    if not 0 < share < 1:
        raise UnweaveError(f"a share of {share} is not between 0 and 1: use {SHARE}")
    return place_of(pair) < share


class QuestionDraw:
    """The ``count`` different prompts of lowest place among all pairs that are offered; no more are held.

    Those of a smaller count come first in those of a larger one, and as long as there are as many held-out prompts,
    all of them are held-out ones.
    """

    def __init__(self, count: int) -> None:
        if count < 1:
            raise UnweaveError(f"{count} questions: ask at least 1, and 100 for a change to be relied on")
        self.count = count
        self._held: list[float] = []
        self._turns: dict[float, tuple[Turn, ...]] = {}

    def offer(self, pair: PreferencePair) -> None:
        """Takes a pair's prompt into account; of prompts with one place the first spelling counts."""
        place = place_of(pair)
        if place in self._turns:
            return
        if len(self._held) < self.count:
            heappush(self._held, -place)
        elif place < -self._held[0]:
            del self._turns[-heapreplace(self._held, -place)]
        else:
            return
        self._turns[place] = pair.prompt

    def drawn(self, below: float = 1.0) -> list[Question]:
        """The prompts with a place under ``below``, the lowest first."""
        return [Question(EVERY, turns) for place, turns in sorted(self._turns.items()) if place < below]


def draw_questions(pairs: Iterable[PreferencePair], count: int, below: float = 1.0) -> list[Question]:
    """``count`` different prompts of a dataset at most, those of lowest place, as questions."""
    draw = QuestionDraw(count)
    for pair in pairs:
        draw.offer(pair)
    return draw.drawn(below)
