"""How an arm stands against the plan's bars, its null and its control, over fresh seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from unweave.lab.agent.plan import FEWEST, Arm, Plan
from unweave.lab.agent.planner import Results
from unweave.lab.agent.verdicts import BarVerdict, Standing, Tested
from unweave.stats.comparisons import holm
from unweave.stats.noise import noisy_mean, pooled_deviation
from unweave.studies.inquiry import Outcome


def standings(plan: Plan, results: Results, arms: Sequence[str], alpha: float) -> tuple[list[Tested], list[Standing]]:
    """Every outcome of every confirming run against its bar, and how each of ``arms`` stands among so many.

    ``alpha`` is the chance of a false statement that one look may take.
    """
    tested = [
        one
        for arm, on in _measured(plan, results)
        for outcome in plan.outcomes()
        if (one := _test(results, arm, on, outcome, _floor(plan, results, outcome, arm), alpha))
    ]
    barless = plan.criterion.effect.bar is None
    return tested, _adjusted([_standing(plan, results, arm, tested, alpha) for arm in arms], alpha, barless)


def _measured(plan: Plan, results: Results) -> list[tuple[str, str | None]]:
    listed = [(one.arm, one.on) for one in results.measured if one.stage == "confirm" and one.usable]
    order = {arm.name: number for number, arm in enumerate(plan.arms)}
    return sorted(dict.fromkeys(listed), key=lambda pair: (order[pair[0]], pair[1] or ""))


def _floor(plan: Plan, results: Results, outcome: Outcome, arm: str) -> float:
    """What repeats of the arms of its role differ by; of a null or control, those of the candidates.

    Baselines are often made in another way, and may be far noisier: a LoRA's harm says nothing of a factor's spread.
    """
    role = plan.arm(arm).role
    alike = plan.of_role(role if role == "baseline" else "candidate")
    groups = [list(results.values(one.name, outcome.name, "confirm").values()) for one in alike]
    deviation, freedom = pooled_deviation(groups)
    return deviation if freedom >= 4 else 0.0


def _test(results: Results, arm: str, on: str | None, outcome: Outcome, floor: float, alpha: float) -> Tested | None:
    values = list(results.values(arm, outcome.name, "confirm", on).values())
    if not values:
        return None
    noisy = noisy_mean(values, floor=floor)
    if outcome.bar is None:
        return Tested(arm, on, outcome.name, noisy, "no bar", 1.0)
    higher = outcome.better == "higher"
    right = noisy.p_above(outcome.bar) if higher else noisy.p_below(outcome.bar)
    wrong = noisy.p_below(outcome.bar) if higher else noisy.p_above(outcome.bar)
    verdict: BarVerdict = "reached" if right <= alpha else "missed" if wrong <= alpha else "unclear"
    return Tested(arm, on, outcome.name, noisy, verdict, right)


def _standing(plan: Plan, results: Results, arm: str, tested: Sequence[Tested], alpha: float) -> Standing:
    criterion = plan.criterion
    runs = results.of(arm, "confirm")
    faulty = sum(not one.usable for one in runs)
    if faulty:
        # Which seeds fail may hang on what they would have shown, so the others alone say nothing.
        which = f"{faulty} of its {len(runs)}" if faulty < len(runs) else "none of its"
        why = f"{which} runs gave {'no' if faulty < len(runs) else 'a'} result that counts"
        return Standing(arm, "unclear", why, faulty=True)
    empty = [one for one in runs if one.nothing]
    if empty and len(empty) == len(runs):
        return Standing(arm, "fails", "the study itself found nothing")
    if empty:
        return Standing(arm, "unclear", f"the study itself found nothing in {len(empty)} of its {len(runs)} runs")
    own = {one.outcome: one for one in tested if (one.arm, one.on) == (arm, None)}
    if criterion.effect.name not in own:
        return Standing(arm, "unclear", "nothing was measured", lacking=("seeds",))
    counted = [criterion.effect, *(criterion.harms if criterion.harmless else ())]
    tests = [own[outcome.name] for outcome in counted if outcome.name in own]
    missed = [one.outcome for one in tests if one.verdict == "missed"]
    if missed:
        return Standing(arm, "fails", f"misses the bar of {', '.join(missed)}")
    done = min(one.noisy.n for one in tests)
    early = [one for one in tests if one.verdict != "no bar" and not _right_side(plan, one)]
    if early and plan.stopping.first and plan.stopping.first <= done < plan.stopping.seeds:
        return Standing(arm, "fails", f"misses the bar of {early[0].outcome} on its first seeds")
    barred = [one for one in tests if one.verdict != "no bar"]
    p = max((one.p for one in barred), default=0.0)
    if len(tests) < len(counted):
        return Standing(arm, "unclear", "a harm was not measured", lacking=("seeds",))
    if done < plan.stopping.seeds or any(one.verdict == "unclear" for one in barred):
        which = ", ".join(one.outcome for one in barred if one.verdict == "unclear")
        more = ("seeds",) if done < len(plan.stage("confirm").seeds) else ()
        why = f"the bar of {which} lies within the noise" if which else "it has not run on all the seeds that it needs"
        return Standing(arm, "unclear", why, p, more)
    lacking, compared = [], False
    for other in plan.of_role("null", "control"):
        if plan.laid(other.name, arm if other.on else None) == plan.arm(arm).settings:
            if other.role == "null":
                return Standing(arm, "fails", "it is asked where its null is: there is nothing to tell it from")
            continue  # a control that is the candidate itself tells nothing
        on = beneath(plan, results, other, arm)
        if not results.of(other.name, "confirm", on):
            lacking.append(other.name)
            continue
        beside = _withstands(plan, results, arm, other.name, on, tested, alpha)
        if beside.verdict != "holds":
            return beside
        p, compared = max(p, beside.p), True
    if not barred and not compared:
        p = 1.0  # without a bar and before its null has run, nothing says that the arm does anything
    return Standing(arm, "holds", "every bar is reached past the noise", p, tuple(lacking))


def _right_side(plan: Plan, one: Tested) -> bool:
    outcome = next(outcome for outcome in plan.outcomes() if outcome.name == one.outcome)
    return outcome.reached(one.noisy.mean)


def _withstands(
    plan: Plan, results: Results, arm: str, other: str, on: str | None, tested: Sequence[Tested], alpha: float
) -> Standing:
    """Whether ``arm`` shows more than the null or control ``other``, and the one-sided p that it does not."""
    criterion = plan.criterion
    runs = results.of(other, "confirm", on)
    if not all(one.usable for one in runs):
        return Standing(arm, "unclear", f"{other} gave no result that counts")
    empty = {seed for one in runs if one.nothing for seed in one.seeds}
    mine = results.values(arm, criterion.effect.name, "confirm")
    shared = {seed for one in runs for seed in one.seeds} & set(mine)
    short = Standing(arm, "unclear", f"{other} was not run on {FEWEST} of the same seeds", lacking=(other,))
    if all(one.nothing for one in runs):
        return short if len(shared) < FEWEST else Standing(arm, "holds", "", 0.0)
    own = {one.outcome: one for one in tested if (one.arm, one.on) == (other, on)}
    if criterion.effect.name not in own:
        return Standing(arm, "unclear", f"{other} gave no result that counts", lacking=(other,))
    harms = [own[outcome.name] for outcome in criterion.harms if outcome.name in own] if criterion.harmless else []
    outside = any(one.verdict == "missed" for one in harms)
    if criterion.effect.reached(own[criterion.effect.name].noisy.mean) and not outside:
        return Standing(arm, "fails", f"{other} reaches the bar too, where nothing should")
    if len(shared) < FEWEST:
        return short
    if plan.arm(other).role == "control" and criterion.effect.bar is not None:
        # A control fails at what is asked by missing a bar; the null is what an effect must be told apart from.
        return Standing(arm, "holds", "", 0.0)
    theirs = results.values(other, criterion.effect.name, "confirm", on)
    sign = 1 if criterion.effect.better == "higher" else -1
    more = [sign * (mine[seed] - theirs[seed]) for seed in mine if seed in theirs]
    # Where the study found nothing on some of the null's seeds, the arm must be ahead on each of the others.
    p = float(min(more, default=1.0) <= 0) if empty else noisy_mean(more).p_above(0.0)
    if p > alpha:
        return Standing(arm, "fails", f"it is not told apart from {other}", p)
    return Standing(arm, "holds", "", p)


def _adjusted(standings: Sequence[Standing], alpha: float, barless: bool) -> list[Standing]:
    if not standings:
        return []
    adjusted = holm([min(one.p, 1.0) for one in standings])
    found = []
    for one, p in zip(standings, adjusted, strict=True):
        if one.verdict == "holds" and p > alpha and not (one.lacking and one.p == 1.0):
            what = "it is past its null" if barless else "it reaches every bar"
            why = f"{what}, but not past the noise for as many arms as were confirmed"
            # The null has run on all the seeds that count, so without a bar this is as decided as it will be.
            found.append(Standing(one.arm, "fails" if barless else "unclear", why, float(p), one.lacking))
        else:
            found.append(replace(one, p=float(p)))
    return found


def beneath(plan: Plan, results: Results, other: Arm, arm: str) -> str | None:
    """What the null or control ``other`` of ``arm`` is laid over: ``arm``, or one that comes to the same settings."""
    if not other.on:
        return None
    wanted = plan.laid(other.name, arm)
    for one in results.measured:
        if one.arm == other.name and one.on is not None and plan.laid(other.name, one.on) == wanted:
            return one.on
    return arm
