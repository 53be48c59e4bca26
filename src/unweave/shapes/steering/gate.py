"""Whether a target can do a task at all: without that, what steering changes is not the task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from unweave.base.errors import UnweaveError
from unweave.stats.bootstrap import Interval
from unweave.stats.proportion import wilson_interval

LEAST_ACCURACY = 0.5
LEAST_MASS = 0.5


@dataclass(frozen=True)
class Capability:
    """How a target answers a task's questions: share right among the values, and what it gives the values at all."""

    task: str
    accuracy: Interval
    chance: float
    mass: float

    @property
    def passed(self) -> bool:
        """At least half right, the interval above chance, and at least half of the probability on the values."""
        return self.accuracy.mean >= LEAST_ACCURACY and self.accuracy.low > self.chance and self.mass >= LEAST_MASS

    @property
    def reason(self) -> str:
        """One sentence with the numbers."""
        found = (
            f"{self.task}: {self.accuracy.mean:.3f} right of {self.accuracy.n} [{self.accuracy.low:.3f}, "
            f"{self.accuracy.high:.3f}], chance {self.chance:.3f}, {self.mass:.3f} of the probability on the values"
        )
        bar = f"the bar is {LEAST_ACCURACY} right, an interval above chance and {LEAST_MASS} on the values"
        return f"{found}; {bar}"

    def check(self) -> None:
        """Raises ``UnweaveError`` with the numbers for a task that the target cannot do."""
        if not self.passed:
            raise UnweaveError(f"the target cannot do {self.reason}: take another task or a larger target")


def capability(task: str, probabilities: Float64[np.ndarray, "n v"], right: Sequence[int]) -> Capability:
    """From the answers to some questions and the numbers of the right ones; an answer is the likeliest value.

    The Wilson interval takes questions as independent, which those of one context are not quite. Chance is the share
    of the commonest right answer: always saying that is no skill.
    """
    expected = np.asarray(right)
    if probabilities.ndim != 2 or len(probabilities) != len(expected) or not len(expected):
        raise UnweaveError(f"answers of shape {probabilities.shape} to {len(expected)} questions: give a row for each")
    hits = int((probabilities[:, :-1].argmax(1) == expected).sum())
    chance = float(np.bincount(expected).max() / len(expected))
    mass = float(1 - probabilities[:, -1].mean())
    return Capability(task, wilson_interval(hits, len(expected)), chance, mass)
