"""How compared arms stand to each other, seed by seed, past the noise, corrected for how many were compared."""

from __future__ import annotations

from collections.abc import Sequence

from unweave.lab.agent.merit import preferred
from unweave.lab.agent.plan import Plan
from unweave.lab.agent.planner import Results
from unweave.lab.agent.verdicts import Compared, Contrast, Standing
from unweave.stats.comparisons import holm
from unweave.stats.noise import noisy_mean
from unweave.stats.permutation import sign_flip_test


def compare(plan: Plan, results: Results, pairs: Sequence[tuple[str, str]], alpha: float) -> list[Compared]:
    """The paired differences of every pair on ``stopping.seeds`` shared seeds or more, p adjusted over all of them.

    A pair of the plan's contrasts is compared in every outcome, any other in what the question prefers.
    """
    found = []
    for first, second in pairs:
        outcomes = (
            (plan.criterion.effect, *plan.criterion.harms) if (first, second) in plan.contrasts else preferred(plan)
        )
        for outcome in outcomes:
            one = results.values(first, outcome.name, "confirm")
            two = results.values(second, outcome.name, "confirm")
            shared = [seed for seed in one if seed in two]
            if len(shared) < plan.stopping.seeds:
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


def contrast(
    plan: Plan,
    results: Results,
    pair: tuple[str, str],
    compared: Sequence[Compared],
    standings: Sequence[Standing],
) -> Contrast:
    """All outcomes of a pair taken together: who reaches the bars, and where both do, who is better in the rest."""
    first, second = pair
    rows = {one.outcome: one for one in compared if (one.first, one.second) == pair}
    stand = {one.arm: one for one in standings}
    faulty = [arm for arm in pair if not all(one.usable for one in results.of(arm, "confirm"))]
    if faulty:
        which = " and ".join(f"`{arm}`" for arm in faulty)
        return Contrast(first, second, "not comparable", f"some runs of {which} gave no result that counts")
    if any(one.nothing for arm in pair for one in results.of(arm, "confirm")):
        return _without(plan, results, first, second)
    if not rows:
        why = f"they were not run on {plan.stopping.seeds} of the same seeds"
        return Contrast(first, second, "not comparable", why, ("seeds",))
    for outcome in plan.criterion.equal:
        one, two = (results.values(arm, outcome.name, "confirm") for arm in pair)
        shared = [seed for seed in one if seed in two]
        if not shared or any(one[seed] != two[seed] for seed in shared):
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
                first,
                second,
                "better" if reach[0] else "worse",
                f"`{loser}` {stand[loser].why}; they differ in {names}",
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
    return Contrast(first, second, "no difference", "every difference lies within the noise", more)


def _without(plan: Plan, results: Results, first: str, second: str) -> Contrast:
    """A pair of which the study found nothing for some seed: decided where that is so of all seeds of an arm."""
    found, empty = [], []
    for arm in (first, second):
        runs = results.of(arm, "confirm")
        found.append({seed for one in runs if not one.nothing for seed in one.seeds})
        empty.append({seed for one in runs if one.nothing for seed in one.seeds})
    shared = (found[0] | empty[0]) & (found[1] | empty[1])
    if len(shared) < plan.stopping.seeds:
        why = f"they were not run on {plan.stopping.seeds} of the same seeds"
        return Contrast(first, second, "not comparable", why, ("seeds",))
    never = [arm for arm, seeds in zip((first, second), empty, strict=True) if shared <= seeds]
    always = [arm for arm, seeds in zip((first, second), found, strict=True) if shared <= seeds]
    if len(never) + len(always) < 2:
        seldom = ", ".join(
            f"`{arm}` on {len(seeds & shared)}" for arm, seeds in zip((first, second), empty, strict=True)
        )
        return Contrast(first, second, "not comparable", f"of {len(shared)} seeds the study found nothing for {seldom}")
    relation = "no difference" if len(never) == 2 else "worse" if never == [first] else "better"
    return Contrast(first, second, relation, f"{' and '.join(f'`{arm}`' for arm in never)} found nothing")
