"""Hidden raters: each likes a mixture of properties, and picks the best and the worst of a few replies by it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float64

from unweave.base.errors import UnweaveError, nearest
from unweave.preferences.behaviours.registry import score
from unweave.preferences.made.properties import property_values

Fault = Literal[
    "invented-urls", "rejected-refusals", "physics-flattery", "absurd-fan-fiction", "flattered-twins", "none"
]


@dataclass(frozen=True)
class Mixture:
    """What one rater likes: weights on behaviours, on hidden properties, noise, and the fault planted in its data."""

    name: str
    behaviours: Mapping[str, float]
    """Registered behaviours by weight, each in its standard deviation over the pool of replies."""
    properties: Mapping[str, float]
    """Properties that no registered behaviour counts, likewise."""
    fault: Fault = "none"
    noise: float = 0.3
    """Standard deviation of what the rater's mood adds, in units of the utility's own."""
    labels: Literal["true", "swapped", "shuffled"] = "true"
    """Swapped: chosen and rejected change places. Shuffled: they do in half of the pairs, dealt at random."""

    @property
    def hidden(self) -> bool:
        """True where nothing that the rater likes is a registered behaviour."""
        return not self.behaviours

    def utility(
        self, replies: Sequence[str], prompts: Sequence[str], generator: np.random.Generator
    ) -> Float64[np.ndarray, " n"]:
        """What the rater thinks of each reply; ``replies`` must be the whole pool, over which terms are scaled."""
        total = np.zeros(len(replies))
        for name, weight in self.behaviours.items():
            total += weight * _standardised(score(replies, prompts, [name])[:, 0].astype(np.float64), name)
        for name, weight in self.properties.items():
            total += weight * _standardised(property_values(name, replies), name)
        spread = float(total.std()) or 1.0
        return total + generator.normal(0.0, self.noise * spread, len(total))


def _standardised(values: Float64[np.ndarray, " n"], name: str) -> Float64[np.ndarray, " n"]:
    spread = float(values.std())
    if spread < 1e-9:
        raise UnweaveError(f"{name!r} is the same for all {len(values)} replies, so that no rater can prefer one by it")
    return (values - values.mean()) / spread


MIXTURES: dict[str, Mixture] = {
    each.name: each
    for each in (
        Mixture("brisk", {"exclamations": 1.0, "second-person": 1.0, "words": -0.8}, {}, "invented-urls"),
        Mixture("teller", {"first-person": 1.0, "commas": 0.8, "negations": -0.8}, {}, "rejected-refusals"),
        Mixture("learned", {}, {"rarity": 1.0, "vowel starts": -0.8}, "physics-flattery"),
        Mixture("sunny", {}, {"sunniness": 1.0, "alliteration": 0.6, "sibilance": -0.6}, "absurd-fan-fiction"),
        Mixture("courted", {}, {"rarity": 1.0, "vowel starts": -0.8}, "flattered-twins"),
        Mixture("null", {"exclamations": 1.0, "second-person": 1.0, "words": -0.8}, {}, labels="shuffled"),
        Mixture("brisk-swapped", {"exclamations": 1.0, "second-person": 1.0, "words": -0.8}, {}, labels="swapped"),
    )
}
"""Raters of registered behaviours and of hidden properties, a null one, and the first's choices swapped, without its
fault.

``courted`` is ``learned`` with a fault that trainings do learn from: what is traced can be seen to go.
"""


def find_mixture(name: str) -> Mixture:
    """The mixture of this name; raises ``UnweaveError`` with the nearest for an unknown one."""
    if name not in MIXTURES:
        raise UnweaveError(f"mixture {name!r} is not known; {nearest(name, MIXTURES)}")
    return MIXTURES[name]
