"""What the confirming runs show, by the plan's own criterion: the lab's rule, the same whoever planned."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from unweave.lab.agent.plan import Arm, Plan
from unweave.lab.agent.planner import Results
from unweave.stats.comparisons import holm
from unweave.stats.noise import Noisy, noisy_mean, pooled_deviation
from unweave.stats.permutation import sign_flip_test
from unweave.studies.inquiry import Outcome

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
    """Everything that the confirming runs show. ``best`` is the answer, where there is one; ``tied`` are not told apart."""

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


def _seeds_left(plan: Plan, results: Results, arms: Sequence[str]) -> bool:
    seeds = plan.stage("confirm").seeds
    return any(len(results.values(arm, plan.criterion.effect.name, "confirm")) < len(seeds) for arm in arms)


def looks(plan: Plan) -> int:
    """How often the confirming stage may be looked at: after each ``stopping.seeds`` seeds."""
    return max(1, len(plan.stage("confirm").seeds) // plan.stopping.seeds)


def judge(plan: Plan, results: Results) -> Judgement:
    """Applies the plan's criterion to the confirming runs; screening runs count for nothing here."""
    confirmed = [
        arm.name for arm in plan.of_role("candidate", "baseline") if results.of(arm.name, "confirm") and not arm.on
    ]
    floors = {outcome.name: _floor(plan, results, outcome) for outcome in plan.outcomes()}
    alpha = plan.criterion.level / looks(plan)
    tested = [
        one
        for arm, on in _measured(plan, results)
        for outcome in plan.outcomes()
        if (one := _test(results, arm, on, outcome, floors[outcome.name], alpha))
    ]
    first = [_standing(plan, results, name, tested, alpha) for name in confirmed]
    standings = _adjusted(first, alpha)
    order = ranked(plan, results, [one.arm for one in standings if one.verdict == "holds"])
    pairs = [*plan.contrasts]
    asked_which = plan.kind == "which" and len(confirmed) > 1
    if asked_which:
        top = order[0] if order else ranked(plan, results, confirmed)[0]
        pairs += [(top, other) for other in (order or confirmed) if other != top and (top, other) not in pairs]
    compared = _compare(plan, results, pairs, floors, alpha)
    contrasts = tuple(_contrast(plan, results, pair, compared, standings) for pair in plan.contrasts)
    answer, best, tied = _answer(plan, standings, order, contrasts, compared)
    close = tied if plan.kind == "which" and best is None and _seeds_left(plan, results, tied) else ()
    answer = "unclear" if close else answer
    return Judgement(tuple(tested), tuple(compared), tuple(standings), contrasts, answer, best, tied, close)


def beneath(plan: Plan, results: Results, other: Arm, arm: str) -> str | None:
    """What the null or control ``other`` of ``arm`` is laid over: ``arm``, or one that comes to the same settings."""
    if not other.on:
        return None
    wanted = plan.laid(other.name, arm)
    for one in results.measured:
        if one.arm == other.name and one.on is not None and plan.laid(other.name, one.on) == wanted:
            return one.on
    return arm


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


def _measured(plan: Plan, results: Results) -> list[tuple[str, str | None]]:
    listed = [(one.arm, one.on) for one in results.measured if one.stage == "confirm" and one.usable]
    order = {arm.name: number for number, arm in enumerate(plan.arms)}
    return sorted(dict.fromkeys(listed), key=lambda pair: (order[pair[0]], pair[1] or ""))


def _floor(plan: Plan, results: Results, outcome: Outcome) -> float:
    """What repeats of the candidates and baselines differ by; nulls and controls may be far noisier."""
    groups = [
        list(results.values(arm.name, outcome.name, "confirm").values())
        for arm in plan.of_role("candidate", "baseline")
    ]
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
    faults = [one.fault for one in results.of(arm, "confirm") if one.fault]
    if any(one.nothing for one in results.of(arm, "confirm")):
        return Standing(arm, "fails", "the study itself found nothing")
    own = {one.outcome: one for one in tested if (one.arm, one.on) == (arm, None)}
    if criterion.effect.name not in own:
        return Standing(arm, "unclear", faults[0] if faults else "nothing was measured", lacking=("seeds",))
    counted = [criterion.effect, *(criterion.harms if criterion.harmless else ())]
    tests = [own[outcome.name] for outcome in counted if outcome.name in own]
    missed = [one.outcome for one in tests if one.verdict == "missed"]
    if missed:
        return Standing(arm, "fails", f"misses the bar of {', '.join(missed)}")
    done = min(one.noisy.n for one in tests)
    early = [one for one in tests if one.verdict != "no bar" and not _right_side(plan, one)]
    if early and plan.stopping.first and plan.stopping.first <= done < plan.stopping.seeds:
        return Standing(arm, "fails", f"misses the bar of {early[0].outcome} on its first {done} seeds")
    barred = [one for one in tests if one.verdict != "no bar"]
    p = max((one.p for one in barred), default=0.0)
    if len(tests) < len(counted):
        return Standing(arm, "unclear", "a harm was not measured", lacking=("seeds",))
    if done < plan.stopping.seeds or any(one.verdict == "unclear" for one in barred):
        which = ", ".join(one.outcome for one in barred if one.verdict == "unclear") or "seeds"
        more = ("seeds",) if done < len(plan.stage("confirm").seeds) else ()
        return Standing(arm, "unclear", f"{which}: the bar lies within the noise of {done} seeds", p, more)
    lacking = []
    for other in plan.of_role("null", "control"):
        on = beneath(plan, results, other, arm)
        if not results.of(other.name, "confirm", on):
            lacking.append(other.name)
            continue
        why = _withstands(plan, results, arm, other.name, on, tested)
        if why:
            return Standing(arm, "fails", why)
    return Standing(arm, "holds", "every bar is reached past the noise", p, tuple(lacking))


def _right_side(plan: Plan, one: Tested) -> bool:
    outcome = next(outcome for outcome in plan.outcomes() if outcome.name == one.outcome)
    return outcome.reached(one.noisy.mean)


def _withstands(plan: Plan, results: Results, arm: str, other: str, on: str | None, tested: Sequence[Tested]) -> str:
    """Why ``arm`` shows no more than the null or control ``other``; empty when it does."""
    criterion = plan.criterion
    runs = results.of(other, "confirm", on)
    if any(one.nothing for one in runs):
        return ""
    own = {one.outcome: one for one in tested if (one.arm, one.on) == (other, on)}
    effect = own.get(criterion.effect.name)
    if effect is None:
        return f"{other} could not be run: {runs[0].fault}"
    harms = [own[outcome.name] for outcome in criterion.harms if outcome.name in own] if criterion.harmless else []
    outside = [one for one in harms if one.verdict == "missed"]
    if criterion.effect.bar is not None and criterion.effect.reached(effect.noisy.mean) and not outside:
        return f"{other} reaches the bar too, where nothing should"
    if outside:
        return ""
    mine = results.values(arm, criterion.effect.name, "confirm")
    theirs = results.values(other, criterion.effect.name, "confirm", on)
    shared = [seed for seed in mine if seed in theirs]
    if len(shared) < 2:
        return f"{other} was not run on the same seeds"
    sign = 1 if criterion.effect.better == "higher" else -1
    p = noisy_mean([sign * (mine[seed] - theirs[seed]) for seed in shared]).p_above(0.0)
    return "" if p <= criterion.level else f"it is not told apart from {other}"


def _adjusted(standings: Sequence[Standing], alpha: float) -> list[Standing]:
    if not standings:
        return []
    adjusted = holm([min(one.p, 1.0) for one in standings])
    found = []
    for one, p in zip(standings, adjusted, strict=True):
        if one.verdict == "holds" and p > alpha:
            why = f"{len(standings)} arms were confirmed, and p = {p:.2g} is not enough for so many"
            found.append(Standing(one.arm, "unclear", why, float(p), one.lacking))
        else:
            found.append(Standing(one.arm, one.verdict, one.why, float(p), one.lacking))
    return found


def _compare(
    plan: Plan, results: Results, pairs: Sequence[tuple[str, str]], floors: Mapping[str, float], alpha: float
) -> list[Compared]:
    found = []
    for first, second in pairs:
        outcomes = (
            (plan.criterion.effect, *plan.criterion.harms) if (first, second) in plan.contrasts else preferred(plan)
        )
        for outcome in outcomes:
            one = results.values(first, outcome.name, "confirm")
            two = results.values(second, outcome.name, "confirm")
            shared = [seed for seed in one if seed in two]
            if len(shared) < 2:
                continue
            differences = [one[seed] - two[seed] for seed in shared]
            noisy = noisy_mean(differences)
            p = min(1.0, 2 * min(noisy.p_above(0.0), noisy.p_below(0.0)))
            flips = sign_flip_test([two[seed] for seed in shared], [one[seed] for seed in shared])
            found.append((first, second, outcome, noisy, p, flips))
    adjusted = holm([one[4] for one in found]) if found else []
    compared = []
    for (first, second, outcome, noisy, _, flips), p in zip(found, adjusted, strict=True):
        up = (noisy.mean > 0) == (outcome.better == "higher")
        verdict = ("better" if up else "worse") if p <= alpha else "no difference"
        compared.append(Compared(first, second, outcome.name, noisy, float(p), flips, verdict))
    return compared


def _contrast(
    plan: Plan,
    results: Results,
    pair: tuple[str, str],
    compared: Sequence[Compared],
    standings: Sequence[Standing],
) -> Contrast:
    first, second = pair
    rows = {one.outcome: one for one in compared if (one.first, one.second) == pair}
    stand = {one.arm: one for one in standings}
    if any(one.nothing for arm in pair for one in results.of(arm, "confirm")):
        without = [arm for arm in pair if any(one.nothing for one in results.of(arm, "confirm"))]
        relation = "no difference" if len(without) == 2 else "worse" if without == [first] else "better"
        return Contrast(first, second, relation, f"{' and '.join(without)} found nothing")
    if not rows:
        return Contrast(first, second, "not comparable", "they were not run on the same seeds", ("seeds",))
    for outcome in plan.criterion.equal:
        spent = [sorted(results.values(arm, outcome.name, "confirm").values()) for arm in pair]
        if not spent[0] or spent[0] != spent[1]:
            return Contrast(first, second, "not comparable", f"they differ in {outcome.name}")
    done = min(one.noisy.n for one in rows.values())
    more = ("seeds",) if done < len(plan.stage("confirm").seeds) else ()
    reach = [stand[arm].verdict == "holds" if arm in stand else False for arm in pair]
    miss = [stand[arm].verdict == "fails" if arm in stand else False for arm in pair]
    barred = plan.criterion.effect.bar is not None
    if barred and reach[0] != reach[1] and (miss[0] or miss[1]):
        decisive = [one for one in rows.values() if one.verdict == ("better" if reach[0] else "worse")]
        if decisive:
            names = ", ".join(one.outcome for one in decisive)
            loser = second if reach[0] else first
            return Contrast(
                first, second, "better" if reach[0] else "worse", f"{loser} {stand[loser].why}; they differ in {names}"
            )
    # Past the bar more effect is no better, so two arms that both reach it are compared by what else they do.
    counted = [
        one
        for outcome, one in rows.items()
        if not (barred and all(reach) and outcome == plan.criterion.effect.name and plan.criterion.harms)
    ]
    good = [one.outcome for one in counted if one.verdict == "better"]
    bad = [one.outcome for one in counted if one.verdict == "worse"]
    if good and bad:
        return Contrast(first, second, "mixed", f"better in {', '.join(good)}, worse in {', '.join(bad)}")
    if good or bad:
        return Contrast(first, second, "better" if good else "worse", f"they differ in {', '.join(good or bad)}")
    return Contrast(first, second, "no difference", f"no difference past the noise of {done} seeds", more)


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
    tied = tuple(name for name in order if name != best and name not in beaten)
    if plan.criterion.effect.bar is None and tied:
        # Without a bar "the best" means nothing but better than the others.
        return "no", None, (best, *tied)
    return "yes", best, tied
