"""What a target says that a protagonist feels: the ways of asking, in one registry."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Float64

from unweave.base.errors import UnweaveError, nearest
from unweave.models.target import Target
from unweave.shapes.stories.direct import direct_readout
from unweave.shapes.stories.forced_choice import forced_choice_readout
from unweave.shapes.stories.text import Text


class Readout(Protocol):
    """Scores of the six emotions, in the order of ``EMOTIONS``, after every sentence of a text."""

    def emotions(self, target: Target, text: Text) -> tuple[Float64[np.ndarray, "n 6"], dict[str, float]]: ...

    def valence(self, emotions: Float64[np.ndarray, "n 6"]) -> Float64[np.ndarray, " n"]: ...


@dataclass(frozen=True)
class Kind:
    """A way of asking. ``build`` takes the target and texts in which nothing is felt."""

    name: str
    meaning: str
    unit: str
    calibrated: bool
    """Whether its scores become 0 to 1 only by a map fitted to stories with gold."""
    build: Callable[[Target, Sequence[Text]], Readout]


READOUTS: dict[str, Kind] = {}


def register(kind: Kind) -> Kind:
    """Adds a way of asking; raises ``UnweaveError`` for a name that is taken."""
    if kind.name in READOUTS:
        raise UnweaveError(f"a readout named {kind.name!r} is registered already: choose another name")
    READOUTS[kind.name] = kind
    return kind


def find_readout(name: str) -> Kind:
    """The way of asking called ``name``, or ``UnweaveError`` with the nearest."""
    if name not in READOUTS:
        raise UnweaveError(f"no readout is named {name!r}; {nearest(name, READOUTS)}")
    return READOUTS[name]


register(
    Kind(
        "forced-choice",
        "log-probability of the first tokens of words of feeling where the next sentence names one, less that in "
        "neutral texts",
        "nats",
        True,
        forced_choice_readout,
    )
)
register(
    Kind(
        "direct",
        "the rating from 0 to 10 that the target is asked for, as its expected value over all 11 answers",
        "0 to 1",
        False,
        lambda target, _: direct_readout(target),
    )
)
