"""What the confirming runs show, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from unweave.stats.noise import Noisy

BarVerdict = Literal["reached", "missed", "unclear", "no bar"]
ArmVerdict = Literal["holds", "fails", "unclear"]
Relation = Literal["better", "worse", "no difference", "mixed", "not comparable"]


@dataclass(frozen=True)
class Tested:
    """One outcome of one arm against its bar, over the confirming seeds."""

    arm: str
    on: str | None
    outcome: str
    noisy: Noisy
    verdict: BarVerdict
    p: float
    """One-sided p of being on the right side of the bar."""


@dataclass(frozen=True)
class Compared:
    """One outcome of two arms, seed by seed: ``first`` minus ``second``. ``p`` is adjusted by Holm's method."""

    first: str
    second: str
    outcome: str
    noisy: Noisy
    p: float
    flips: float
    """The exact two-sided p by flipping the signs of the differences, not adjusted."""
    verdict: Literal["better", "worse", "no difference"]


@dataclass(frozen=True)
class Standing:
    """How an arm stands: every bar, the null and the control taken together. ``lacking`` is what has not been run."""

    arm: str
    verdict: ArmVerdict
    why: str
    p: float = 1.0
    lacking: tuple[str, ...] = ()
    faulty: bool = False
    """Whether nothing is stated of it because runs of it gave no result that counts."""


@dataclass(frozen=True)
class Contrast:
    """Whether ``first`` does better than ``second``, all outcomes taken together."""

    first: str
    second: str
    relation: Relation
    why: str
    lacking: tuple[str, ...] = ()


@dataclass(frozen=True)
class Judgement:
    """Everything that the confirming runs show. ``best`` is the answer, where there is one, ``tied`` what equals it."""

    tested: tuple[Tested, ...]
    compared: tuple[Compared, ...]
    standings: tuple[Standing, ...]
    contrasts: tuple[Contrast, ...]
    answer: Literal["yes", "no", "unclear"]
    best: str | None = None
    tied: tuple[str, ...] = ()
    close: tuple[str, ...] = ()
    """Arms that more seeds may tell apart, where the answer is which one is best and no bar decides."""

    def standing(self, arm: str) -> Standing | None:
        """How an arm stands, if it was confirmed."""
        return next((one for one in self.standings if one.arm == arm), None)
