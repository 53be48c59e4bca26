"""How much of a behaviour each reply of a pair has, in standard scores over all replies of the dataset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Float64

from unweave.base.errors import UnweaveError
from unweave.base.progress import Progress
from unweave.corpora.pairs.value import PreferencePair
from unweave.models.target import Target
from unweave.preferences.behaviours.registry import score
from unweave.preferences.encoding import last_user_turn
from unweave.preferences.shaping.direction import Direction
from unweave.preferences.shaping.states import reply_states
from unweave.preferences.truth.dpo import DPORow


@dataclass(frozen=True)
class PairScores:
    """Scores of chosen and rejected replies with mean 0 and standard deviation 1 over both together."""

    of: str
    """What was scored: a behaviour, or a direction at its layer."""
    chosen: Float64[np.ndarray, " n"] = field(repr=False)
    rejected: Float64[np.ndarray, " n"] = field(repr=False)
    unit: float
    """What one standard score is in what was scored."""

    @classmethod
    def standardised(cls, of: str, chosen: Float[np.ndarray, " n"], rejected: Float[np.ndarray, " n"]) -> PairScores:
        """From plain values; raises ``UnweaveError`` where they are all the same, and so say nothing of any pair."""
        values = np.concatenate([chosen, rejected]).astype(np.float64)
        spread = float(values.std()) if len(values) else 0.0
        if not spread > 1e-9:
            raise UnweaveError(
                f"{of!r} is the same for all {len(values)} replies, so that no pair can be shaped by it: choose a "
                "behaviour that varies here"
            )
        values = (values - values.mean()) / spread
        return cls(of, values[: len(chosen)], values[len(chosen) :], spread)

    def shares(self, spread: float) -> Float64[np.ndarray, " n"]:
        """What each pair adds to the mean difference of what was scored, in units of ``spread``: as a trace has it."""
        return (self.chosen - self.rejected) * (self.unit / spread / len(self.chosen))


def behaviour_scores(pairs: Sequence[PreferencePair], behaviour: str) -> PairScores:
    """By the value of a registered behaviour."""
    prompts = [last_user_turn(pair.prompt) for pair in pairs]
    chosen, rejected = (
        score([getattr(pair, side) for pair in pairs], prompts, [behaviour])[:, 0] for side in ("chosen", "rejected")
    )
    return PairScores.standardised(behaviour, chosen, rejected)


def projection_scores(
    target: Target, rows: Sequence[DPORow], direction: Direction, progress: Progress | None = None
) -> PairScores:
    """By the largest projection on a unit direction over a reply's tokens, its end mark too, of the untrained target.

    Source: Bergen et al., "Anatomy of Post-Training", 2026 (the cached score of reward shaping). A reply that is longer
    has more tokens to reach a high one with.
    """
    prompts = [row.prompt for row in rows] * 2
    replies = [row.chosen for row in rows] + [row.rejected for row in rows]
    found = np.full(len(replies), np.nan)
    for index, states in reply_states(target, direction.layer, prompts, replies, progress=progress):
        found[index] = float((states @ direction.vector).max())
    empty = np.flatnonzero(np.isnan(found))
    if len(empty):
        raise UnweaveError(f"a reply of row {empty[0] % len(rows)} has no tokens to project: leave the row out")
    return PairScores.standardised(direction.name, found[: len(rows)], found[len(rows) :])
