"""One pass over a dataset for what later steps need of its texts: prompts, a sample of pairs, the questions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float64

from unweave.base.errors import UnweaveError
from unweave.base.seeds import numpy_generator
from unweave.corpora.pairs.value import PreferencePair
from unweave.preferences.encoding import last_user_turn
from unweave.preferences.held_out import QuestionDraw, place_of
from unweave.preferences.truth.answers import Question

SAMPLED = 2000
"""Pairs whose texts are kept: features are trained on them, and clusters of features are named by them."""
KEPT = 600
"""Last characters of a prompt that are kept."""


@dataclass(frozen=True)
class Skim:
    """What one pass keeps of a dataset, a row a pair."""

    prompts: tuple[str, ...] = field(repr=False)
    """The end of each row's last user turn."""
    places: Float64[np.ndarray, " n"] = field(repr=False)
    """Of each row's prompt, in [0, 1): see ``held_out.place_of``."""
    sample: dict[int, PreferencePair] = field(repr=False)
    """Some pairs by row, in the order of rows; each row was as likely to be among them."""
    questions: tuple[Question, ...] = field(repr=False)

    def __len__(self) -> int:
        return len(self.prompts)


def skim_pairs(source: Iterable[PreferencePair], questions: int, seed: int = 0, sampled: int = SAMPLED) -> Skim:
    """Goes once through ``source``; of a row that is not sampled a prompt's end is kept, and no reply.

    Raises ``UnweaveError`` where there is no pair. Sampling: Vitter's algorithm R, 1985.
    """
    draw, generator = QuestionDraw(questions), numpy_generator(seed, "skim")
    prompts, places = [], []
    held: list[tuple[int, PreferencePair]] = []
    for row, pair in enumerate(source):
        prompts.append(last_user_turn(pair.prompt)[-KEPT:])
        places.append(place_of(pair))
        draw.offer(pair)
        place = row if row < sampled else int(generator.integers(row + 1))
        if place < sampled:
            held[place : place + 1] = [(row, pair)]
    if not prompts:
        raise UnweaveError("there is no pair to read: give data that has some")
    return Skim(tuple(prompts), np.array(places), dict(sorted(held)), tuple(draw.drawn()))
