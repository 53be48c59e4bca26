"""What a way of shaping is given, and what it gives to the training.

The sign of every dose is the same: a positive one says that the pairs are explained by the behaviour already, so that
less of the behaviour's change is learnt; a negative one, where a shaping takes it, amplifies the change. Scores,
shares and directions are turned towards the change that was observed (or predicted) before they are used, so that this
holds for a behaviour that the dataset lowers as for one that it raises.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from jaxtyping import Float64

from unweave.base.errors import UnweaveError
from unweave.corpora.pairs.value import PreferencePair
from unweave.models.target import Target
from unweave.preferences.shaping.direction import Direction
from unweave.preferences.shaping.scores import PairScores
from unweave.preferences.shaping.token_probe import TokenProbe
from unweave.preferences.truth.dpo import DPORow


@dataclass(frozen=True)
class Setting:
    """A dataset, the behaviour whose change is to be shaped, and what is known of it before training.

    Row i is pair i. Raises ``UnweaveError`` where these do not fit together.
    """

    target: Target
    pairs: tuple[PreferencePair, ...]
    rows: tuple[DPORow, ...]
    behaviour: str
    """Name of the behaviour or column."""
    towards: Literal[1, -1]
    """1 where the dataset raises the behaviour, -1 where it lowers it."""
    scores: PairScores
    shares: Float64[np.ndarray, " n"] = field(repr=False)
    """What each row adds to the behaviour's change by the trace, with its sign."""
    beta: float
    """Of the training: a shift of a reward by r is a shift of the reference by r / beta nats."""
    direction: Direction | None = None
    probe: TokenProbe | None = None
    instruction: str | None = None
    """What inoculated prompts ask for; None: the sentence known for the behaviour."""
    fraction: float = 0.1
    """Share of the rows that steering reaches."""

    def __post_init__(self) -> None:
        lengths = {
            "pairs": len(self.pairs),
            "rows": len(self.rows),
            "chosen scores": len(self.scores.chosen),
            "rejected scores": len(self.scores.rejected),
            "shares": len(self.shares),
        }
        if len(set(lengths.values())) > 1:
            counts = ", ".join(f"{count} {name}" for name, count in lengths.items())
            raise UnweaveError(f"{counts}: there must be one of each for every pair")
        for name, values in (("scores", self.gap), ("shares", self.shares)):
            broken = np.flatnonzero(~np.isfinite(values))
            if len(broken):
                raise UnweaveError(f"{name} of row {broken[0]} are not finite: measure the pair again, or leave it out")
        if self.towards not in (1, -1):
            raise UnweaveError(f"towards is {self.towards}: give 1 for a behaviour that rises, -1 for one that falls")
        if not self.beta > 0:
            raise UnweaveError(f"beta is {self.beta}, and it must be greater than 0: give the training's")

    @property
    def gap(self) -> Float64[np.ndarray, " n"]:
        """How much more of the change's direction each chosen reply has than its rejected one, in standard scores."""
        return self.towards * (self.scores.chosen - self.scores.rejected)

    def leading(self, share: float, by: Float64[np.ndarray, " n"] | None = None) -> list[int]:
        """The ``share`` of rows that are highest in ``by`` (the gap by default); none that is not above 0 there.

        Rows that tie keep their order. Raises ``UnweaveError`` for a share outside [0, 1].
        """
        values = self.gap if by is None else by
        order = np.argsort(-values, kind="stable")[: count_of(share, len(values))]
        return [int(row) for row in order if values[row] > 0]


@dataclass(frozen=True)
class Shaped:
    """What is trained on instead: rows, a context for the policy's forwards, and what was left out."""

    rows: list[DPORow]
    policy: Callable[[], AbstractContextManager[Any]] = nullcontext
    removed: tuple[int, ...] = ()
    """Rows of the setting that are not trained on, in their order there."""
    reasons: tuple[str, ...] = ()
    """Why, one for each."""
    note: str = ""
    """What was done, in words. Trainings are told apart by it, so that it names all that ``rows`` does not show."""


def count_of(share: float, total: int) -> int:
    """How many of ``total`` a share is, halves rounded up; raises ``UnweaveError`` outside [0, 1]."""
    if not 0 <= share <= 1:
        raise UnweaveError(f"the share {share} is not between 0 and 1")
    return int(share * total + 0.5 + 1e-9)
