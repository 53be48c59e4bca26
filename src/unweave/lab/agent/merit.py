"""Which arm the question prefers, by its effect or by its harm."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from unweave.lab.agent.plan import Plan
    from unweave.lab.agent.planner import Results
    from unweave.studies.inquiry import Outcome


def merit(plan: Plan, values: Mapping[str, float]) -> float:
    """How good an arm is by what the question prefers; higher is better. Missing values are worst."""
    criterion = plan.criterion
    if criterion.prefer == "harm" and criterion.harms:
        if any(outcome.name not in values for outcome in criterion.harms):
            return -np.inf
        return -max(_harm(outcome, values[outcome.name]) for outcome in criterion.harms)
    effect = values.get(criterion.effect.name)
    if effect is None:
        return -np.inf
    return effect if criterion.effect.better == "higher" else -effect


def ranked(plan: Plan, results: Results, arms: Iterable[str]) -> list[str]:
    """Arms by falling merit over their confirming seeds."""

    def value(arm: str) -> float:
        found = {outcome.name: results.values(arm, outcome.name, "confirm") for outcome in plan.outcomes()}
        return merit(plan, {name: float(np.mean(list(seeds.values()))) for name, seeds in found.items() if seeds})

    return sorted(arms, key=value, reverse=True)


def preferred(plan: Plan) -> tuple[Outcome, ...]:
    """The outcomes by which the question prefers one arm to another."""
    criterion = plan.criterion
    return criterion.harms if criterion.prefer == "harm" and criterion.harms else (criterion.effect,)


def _harm(outcome: Outcome, value: float) -> float:
    signed = value if outcome.better == "lower" else -value
    return signed / abs(outcome.bar) if outcome.bar else signed
