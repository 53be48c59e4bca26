"""Which confirming seeds count: whole blocks only, so that nobody may look after each seed and stop when it suits."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from unweave.lab.agent.planner import Results

if TYPE_CHECKING:
    from unweave.lab.agent.plan import Plan
    from unweave.lab.agent.planner import Measured


def blocks(plan: Plan) -> list[tuple[int, ...]]:
    """The confirming seeds as they are looked at: ``stopping.seeds`` at a time, and what is left at last."""
    seeds, size = plan.stage("confirm").seeds, plan.stopping.seeds
    return [seeds[start : start + size] for start in range(0, len(seeds), size)]


def looks(plan: Plan) -> int:
    """How often the confirming stage may be looked at."""
    return len(blocks(plan))


def looked_at(plan: Plan, results: Results) -> Results:
    """The results without confirming seeds beyond the last block that is whole, whatever became of their runs.

    Of an arm that has not finished its first block, what there is of it is kept: it may be dropped by that, and cannot
    hold. A null and a control count on the first ``stopping.checks`` seeds alone.
    """
    counted = {(one.arm, one.on): _counted(plan, results, one) for one in results.measured if one.stage == "confirm"}
    measured = tuple(_cut(one, counted[one.arm, one.on]) if one.stage == "confirm" else one for one in results.measured)
    return replace(results, measured=tuple(one for one in measured if one.seeds))


def _counted(plan: Plan, results: Results, one: Measured) -> frozenset[int]:
    if plan.arm(one.arm).role in ("null", "control"):
        return frozenset(plan.stage("confirm").seeds[: plan.stopping.checks])
    # A seed whose run failed was run, and what the others of its block show may not stand alone.
    ran = {seed for each in results.of(one.arm, "confirm", one.on) if not each.withheld for seed in each.seeds}
    first, *rest = blocks(plan)
    found = set(first)
    for block in rest:
        if not found <= ran or not set(block) <= ran:
            break
        found |= set(block)
    return frozenset(found)


def _cut(one: Measured, counted: frozenset[int]) -> Measured:
    return replace(
        one,
        seeds=tuple(seed for seed in one.seeds if seed in counted),
        values={
            name: {seed: value for seed, value in values.items() if seed in counted}
            for name, values in one.values.items()
        },
    )
