"""What the confirming runs show, by the plan's own criterion: the lab's rule, the same whoever planned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from unweave.lab.agent.contrasts import compare, contrast
from unweave.lab.agent.looks import looked_at, looks
from unweave.lab.agent.merit import ranked
from unweave.lab.agent.plan import Plan
from unweave.lab.agent.planner import Results
from unweave.lab.agent.standing import standings
from unweave.lab.agent.verdicts import Compared, Contrast, Judgement, Standing


def judge(plan: Plan, results: Results) -> Judgement:
    """Applies the plan's criterion to the confirming runs; screening runs count for nothing here."""
    begun, results = results, looked_at(plan, results)
    confirmed = [
        arm.name for arm in plan.of_role("candidate", "baseline") if begun.of(arm.name, "confirm") and not arm.on
    ]
    alpha = plan.criterion.level / looks(plan)
    tested, stood = standings(plan, results, confirmed, alpha)
    # A baseline is compared with, and is not what is asked about: no null and no control is run of it.
    asked = [one for one in stood if plan.arm(one.arm).role == "candidate"]
    names = [one.arm for one in asked]
    order = ranked(plan, results, [one.arm for one in asked if one.verdict == "holds"])
    pairs = [*plan.contrasts]
    if plan.kind == "which" and len(names) > 1:
        # Where a bar decides, what misses it is no rival; without one, everything that was confirmed is.
        rivals = order if order and plan.criterion.effect.bar is not None else names
        top = order[0] if order else ranked(plan, results, names)[0]
        pairs += [(top, other) for other in rivals if other != top and (top, other) not in pairs]
    compared = compare(plan, results, pairs, alpha)
    contrasts = tuple(contrast(plan, results, pair, compared, stood) for pair in plan.contrasts)
    answer, best, tied = _answer(plan, asked, order, contrasts, compared)
    close = tied if plan.kind == "which" and best is None and _seeds_left(plan, results, tied) else ()
    answer = "unclear" if close else answer
    return Judgement(tuple(tested), tuple(compared), tuple(stood), contrasts, answer, best, tied, close)


def _seeds_left(plan: Plan, results: Results, arms: Sequence[str]) -> bool:
    seeds = plan.stage("confirm").seeds
    return any(len(results.values(arm, plan.criterion.effect.name, "confirm")) < len(seeds) for arm in arms)


def _answer(
    plan: Plan,
    standings: Sequence[Standing],
    order: Sequence[str],
    contrasts: Sequence[Contrast],
    compared: Sequence[Compared],
) -> tuple[Literal["yes", "no", "unclear"], str | None, tuple[str, ...]]:
    if plan.kind == "compare":
        found = [one for one in contrasts if one.relation == "better"]
        if found:
            return "yes", found[0].first, ()
        undecided = not contrasts or any(one.relation == "not comparable" for one in contrasts)
        return ("unclear" if undecided else "no"), None, ()
    best = next(iter(order), None)
    if best is None or next(one for one in standings if one.arm == best).lacking:
        waiting = any(one.verdict != "fails" for one in standings)
        return ("unclear" if waiting else "no"), None, ()
    if plan.kind == "any" or len(standings) == 1:
        return "yes", best, ()
    beaten = {one.second for one in compared if one.first == best and one.verdict == "better"}
    barless = plan.criterion.effect.bar is None
    # What was lost of a rival cannot speak against it.
    rivals = [one.arm for one in standings if barless or one.faulty or one.arm in order]
    tied = tuple(name for name in rivals if name != best and name not in beaten)
    if barless and tied:
        # Without a bar "the best" means nothing but better than the others.
        return "no", None, (best, *tied)
    return "yes", best, tied
