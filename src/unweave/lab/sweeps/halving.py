"""Successive halving: many configs at a low fidelity, the better part of them at the next, each time on fresh seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from unweave.base.configs import parse_settings
from unweave.base.errors import UnweaveError
from unweave.lab.sweeps.space import Choices, parse_axis

if TYPE_CHECKING:
    from unweave.lab.sweeps.measure import Better

FINAL_SEEDS = 3


@dataclass(frozen=True)
class Rung:
    """``arms`` configs with ``settings`` on top, each at every one of ``seeds``."""

    number: int
    settings: Mapping[str, Any]
    arms: int
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class Halving:
    """Races configs over ``values`` of ``field``, from the cheapest to the full one; one in ``keep`` goes on.

    No seed is used on two rungs: a config that was lucky on one is measured again where luck does not carry over. The
    last rung has at least three seeds and at least two configs, so that the winner is compared with another.
    Source: Jamieson and Talwalkar, "Non-stochastic best arm identification and hyperparameter optimization", 2016.
    """

    field: str
    values: tuple[Any, ...]
    keep: float = 3.0
    screen: int = 1
    """Seeds on each rung before the last."""
    final: int = FINAL_SEEDS
    """Seeds on the last rung."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", tuple(self.values))
        if len(self.values) < 2:
            raise UnweaveError(
                f"halving over {self.field}={list(self.values)}: give two values or more, cheapest first"
            )
        if len({str(value) for value in self.values}) < len(self.values):
            raise UnweaveError(f"halving over {self.field}={list(self.values)}: a value comes twice")
        if not self.keep > 1 or not math.isfinite(self.keep):
            raise UnweaveError(f"one config in {self.keep:g} goes on: give a number above 1, such as 3")
        if self.screen < 1:
            raise UnweaveError(f"{self.screen} seeds on a rung: give 1 or more")
        if self.final < FINAL_SEEDS:
            raise UnweaveError(
                f"{self.final} seeds on the last rung: give {FINAL_SEEDS} or more, to tell luck from gain"
            )

    @classmethod
    def from_text(cls, text: str, **more: Any) -> Halving:
        """A race over ``field=values``, as on a command line: ``windows=4,8,16``."""
        ((field, values),) = parse_settings([text]).items()
        axis = parse_axis(values)
        if not isinstance(axis, Choices):
            raise UnweaveError(f"halving over {text!r}: give values, the cheapest first, and no range")
        return cls(field, axis.values, **more)

    def rungs(self, arms: int, first_seed: int = 0) -> list[Rung]:
        """The rungs for so many configs, if none of them fails."""
        if arms < 2:
            raise UnweaveError(f"halving needs two configs or more to choose from, and the space has {arms}")
        found = []
        seed, left = first_seed, arms
        for number, value in enumerate(self.values):
            count = self.final if number == len(self.values) - 1 else self.screen
            found.append(Rung(number, {self.field: value}, left, tuple(range(seed, seed + count))))
            seed += count
            left = max(2, math.ceil(left / self.keep))
        return found

    def to_json(self) -> dict[str, Any]:
        """The plan as plain JSON."""
        return {
            "field": self.field,
            "values": list(self.values),
            "keep": self.keep,
            "screen": self.screen,
            "final": self.final,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Halving:
        """The plan back from ``to_json``."""
        return cls(**value)


def ranked(scores: Mapping[int, Sequence[float]], better: Better) -> list[int]:
    """Arms by the mean of their values, the best first; equal ones in the order of the space."""
    sign = -1.0 if better == "higher" else 1.0
    means = {arm: sum(values) / len(values) for arm, values in scores.items() if values}
    return sorted(means, key=lambda arm: (sign * means[arm], arm))
