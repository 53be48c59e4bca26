"""The next step of a plan: screen what could win, confirm what looks best on fresh seeds, then null and control."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from unweave.base.seeds import numpy_generator
from unweave.lab.agent.builtin.halving import Descent, trees
from unweave.lab.agent.builtin.screening import Screening, spread_first
from unweave.lab.agent.judge import judge
from unweave.lab.agent.merit import ranked
from unweave.lab.agent.plan import Launch, Plan
from unweave.lab.agent.planner import Results, Stop
from unweave.lab.agent.verdicts import Judgement, Standing

Order = Literal["adaptive", "listed", "random"]
HOPELESS = 0.01
"""An untried candidate that is less probable than this to win is left untried."""
CONTENDER = 0.1
"""In a search for the best, a candidate less probable than this to reach the bars is no rival."""
HALVED = 3
"""More contenders than so many are halved before they are run again."""
RIVAL = 2.0
"""Standard errors of a difference within which two candidates are not told apart by screening."""


def next_step(
    plan: Plan, results: Results, order: Order = "adaptive", seed: int = 0
) -> tuple[list[Launch], str] | Stop:
    """What to launch next and why, or the end. It reads nothing but the plan and the results."""
    judgement = judge(plan, results)
    candidates = plan.of_role("candidate")
    if plan.kind == "compare" or len(candidates) == 1:
        return _confirm_all(plan, results, judgement)
    going = _going_on(plan, results, judgement)
    if going:
        return going
    held = [one for one in judgement.standings if one.verdict == "holds" and not one.lacking]
    if held and plan.kind == "any":
        return Stop(f"{held[0].arm} is confirmed")
    screening = Screening(plan, results)
    if order == "adaptive":
        step = _adaptive(plan, results, screening, judgement)
    else:
        step = _in_order(plan, results, screening, judgement, _ordered(plan, order, seed))
    return step


def _confirm_all(plan: Plan, results: Results, judgement: Judgement) -> tuple[list[Launch], str] | Stop:
    """Nothing is to be searched: every arm at once, then more seeds where the noise decides."""
    block = plan.stage("confirm").seeds[: plan.stopping.seeds]
    arms = [arm for arm in plan.arms if not arm.on]
    chosen = plan.of_role("candidate")[0].name
    fresh = [arm.name for arm in arms if not results.of(arm.name, "confirm")]
    if fresh:
        launches = [Launch(name, "confirm", block) for name in fresh]
        launches += [
            Launch(arm.name, "confirm", block[: plan.stopping.checks], chosen)
            for arm in plan.arms
            if arm.on and not results.of(arm.name, "confirm", chosen)
        ]
        return launches, "there is nothing to search, so everything is confirmed at once"
    going = _going_on(plan, results, judgement)
    if going:
        return going
    undecided = [one for one in judgement.contrasts if "seeds" in one.lacking]
    names = list(dict.fromkeys(name for one in undecided for name in (one.first, one.second)))
    launches = [launch for name in names if (launch := _more(plan, results, name))]
    if launches:
        return launches, f"the noise decides between {' and '.join(names)}: more seeds"
    return Stop("every comparison and bar is decided, or its seeds are used")


def _going_on(plan: Plan, results: Results, judgement: Judgement) -> tuple[list[Launch], str] | None:
    """Finishes what is being confirmed: more seeds where the noise decides, null and control for what holds."""
    if plan.kind == "compare":
        return None
    stood = [one for one in judgement.standings if plan.arm(one.arm).role == "candidate"]
    noisy = [one for one in stood if one.verdict == "unclear" and "seeds" in one.lacking]
    launches = _confirm(plan, results, [one.arm for one in noisy])
    if launches:
        return launches, "; ".join(f"{one.arm}: {one.why}" for one in noisy)
    if judgement.close:
        return _confirm(
            plan, results, judgement.close
        ), f"{' and '.join(judgement.close)} are not told apart: more seeds"
    holding = ranked(plan, results, [one.arm for one in stood if one.verdict == "holds"])
    best = next((one for one in stood if holding and one.arm == holding[0]), None)
    if best is None or not best.lacking:
        return None
    block = plan.stage("confirm").seeds[: plan.stopping.checks]
    wanted = [arm for arm in plan.arms if arm.name in best.lacking]
    launches = [Launch(arm.name, "confirm", block, best.arm if arm.on else None) for arm in wanted]
    return launches, f"{best.arm} reaches every bar: now what must not"


def _more(plan: Plan, results: Results, arm: str) -> Launch | None:
    """The next block of confirming seeds."""
    used = {seed for one in results.of(arm, "confirm") for seed in one.seeds}
    rest = [seed for seed in plan.stage("confirm").seeds if seed not in used]
    block = plan.stopping.seeds
    if plan.stopping.first and len(used) < block:
        block = plan.stopping.first if not used else block - len(used)
    return Launch(arm, "confirm", tuple(rest[:block])) if rest else None


def _confirm(plan: Plan, results: Results, arms: Sequence[str]) -> list[Launch]:
    return [launch for arm in arms if (launch := _more(plan, results, arm))]


def _adaptive(
    plan: Plan, results: Results, screening: Screening, judgement: Judgement
) -> tuple[list[Launch], str] | Stop:
    width = max(1, results.at_once)
    seeds = plan.stage("screen").seeds
    descent = Descent(plan, screening, every=plan.kind == "which")
    confirmed = {one.arm: one for one in judgement.standings}
    names = [arm.name for arm in screening.candidates]
    if not any(one.stage == "screen" for one in results.measured):
        return _first(plan, screening, width)

    tried = [name for name in names if screening.tried(name) and name not in confirmed]
    best = max((name for name in tried if screening.passes(name)), key=screening.merit, default=None)
    open_ = [name for name in names if not screening.tried(name)]
    if plan.kind == "any":
        found = _try_to_confirm(plan, results, screening, tried, confirmed)
        if found:
            return found
    if len(confirmed) >= plan.stopping.finalists:
        return Stop(f"{len(confirmed)} candidates were confirmed, as many as the plan allows")

    if descent.tests:
        launches = [Launch(name, "screen", seeds[count - 1 : count]) for name, count in descent.tests[:width]]
        return launches, "halves of what is left, to rule out many candidates with one run"
    grouped = {name for tree in trees(plan) for name in tree.members}
    open_ = [name for name in open_ if name not in grouped]
    rival = best if plan.kind == "which" else None
    chances = {name: screening.better_probability(name, rival) for name in open_}
    hopeful = sorted((name for name in open_ if chances[name] > HOPELESS), key=lambda name: -chances[name])
    if hopeful and not _barless(plan):
        return [Launch(name, "screen", seeds[:1]) for name in hopeful[:width]], (
            f"{len(hopeful)} untried candidates could still win"
        )
    if open_ and _barless(plan):
        return [Launch(name, "screen", seeds[:1]) for name in hopeful or open_], "every candidate once"
    if plan.kind == "any":
        return Stop("no candidate is left that could reach every bar")
    return _race(plan, results, screening, names, confirmed)


def _first(plan: Plan, screening: Screening, width: int) -> tuple[list[Launch], str]:
    """The first step: spread out, and one of them twice, because the noise is not known yet."""
    seeds = plan.stage("screen").seeds
    roots = [tree.name for tree in trees(plan)]
    start = roots or spread_first(plan, screening.candidates)
    if _barless(plan) and not any(axis.ordered for axis in plan.axes):
        # What is run again is the best of them, later: the noise of a bad one says little about theirs.
        return [Launch(arm.name, "screen", seeds[:1]) for arm in screening.candidates], "every candidate once"
    repeated = start[: max(1, 3 - len(start))] if len(start) < 3 else start[:2]
    launches = [Launch(name, "screen", seeds[: 2 if name in repeated else 1]) for name in start]
    return launches, "spread over what may vary, some of it twice to see the noise"


def _try_to_confirm(
    plan: Plan, results: Results, screening: Screening, tried: Sequence[str], confirmed: dict[str, Standing]
) -> tuple[list[Launch], str] | None:
    """For a search of any one: the likeliest candidate of those that reach every bar so far."""
    likely = sorted((name for name in tried if screening.passes(name)), key=screening.probability, reverse=True)
    if not likely or len(confirmed) >= plan.stopping.finalists:
        return None
    return _confirm(plan, results, likely[:1]), f"{likely[0]} is the likeliest to reach every bar: fresh seeds"


def _race(
    plan: Plan, results: Results, screening: Screening, names: Sequence[str], confirmed: dict[str, Standing]
) -> tuple[list[Launch], str] | Stop:
    """For a search of the best: contenders are run again, fewer each time, until few are left to confirm."""
    seeds = plan.stage("screen").seeds
    left = [name for name in names if screening.tried(name) and name not in confirmed]
    left = [name for name in left if name not in screening.nothing and name not in screening.faulty]
    if not _barless(plan):
        left = [name for name in left if screening.probability(name) > CONTENDER]
    left.sort(key=screening.merit, reverse=True)
    holding = [one.arm for one in confirmed.values() if one.verdict == "holds"]
    if holding or (confirmed and _barless(plan)):
        return Stop("the best of screening is confirmed")
    if not left:
        return Stop("no candidate is left that could reach every bar")
    # "The best" without a bar needs somebody to be better than.
    wanted = 2 if _barless(plan) else 1
    seen = sum(screening.count(name) > 1 for name in left[: wanted + 1])
    contenders = [
        name
        for number, name in enumerate(left)
        if number < wanted or seen < wanted or screening.near(name, left[0], RIVAL)
    ]
    half = contenders[: max(wanted, math.ceil(len(contenders) / 2))] if len(contenders) > HALVED else contenders
    again = [name for name in half if screening.count(name) < len(seeds)]
    if len(half) > wanted and again:
        launches = [Launch(name, "screen", (seeds[screening.count(name)],)) for name in again]
        return launches, f"{len(half)} contenders once more, all on the same text"
    # What screening cannot tell apart, fresh seeds may.
    chosen = half[: max(wanted, min(2, len(half)))][: plan.stopping.finalists - len(confirmed)]
    return _confirm(plan, results, chosen), f"{' and '.join(chosen)}: the best of screening, on fresh seeds"


def _barless(plan: Plan) -> bool:
    return plan.criterion.effect.bar is None


def _ordered(plan: Plan, order: Order, seed: int) -> list[str]:
    names = [arm.name for arm in plan.of_role("candidate")]
    if order == "random":
        names = [
            names[index] for index in numpy_generator(seed, "random search", plan.question).permutation(len(names))
        ]
    return names


def _in_order(
    plan: Plan, results: Results, screening: Screening, judgement: Judgement, names: Sequence[str]
) -> tuple[list[Launch], str] | Stop:
    """The plain ways that a search is compared with: every candidate once, in an order that learns nothing."""
    seeds = plan.stage("screen").seeds
    confirmed = {one.arm for one in judgement.standings}
    passing = [name for name in names if screening.tried(name) and screening.passes(name) and name not in confirmed]
    full = len(confirmed) >= plan.stopping.finalists
    if plan.kind == "any" and passing and not full:
        return _confirm(plan, results, passing[:1]), f"{passing[0]} reaches every bar: fresh seeds"
    if plan.kind == "any" and full:
        return Stop("as many candidates were confirmed as the plan allows")
    rest = [name for name in names if not screening.tried(name)]
    if rest:
        return [Launch(name, "screen", seeds[:1]) for name in rest[: max(1, results.at_once)]], "the next in order"
    passing.sort(key=screening.merit, reverse=True)
    holding = [one for one in judgement.standings if one.verdict == "holds"]
    if full or not passing or (_barless(plan) and confirmed) or holding:
        return Stop("every candidate was tried")
    chosen = passing[: 2 if _barless(plan) else 1]
    return _confirm(plan, results, chosen), f"{' and '.join(chosen)}: the best of all, on fresh seeds"
