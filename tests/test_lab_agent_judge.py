from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from agents import ANY, QUESTION, view

from unweave.lab.agent.answer import answer_sentence
from unweave.lab.agent.builtin.planner import BuiltinPlanner
from unweave.lab.agent.judge import judge
from unweave.lab.agent.looks import looks
from unweave.lab.agent.planner import Measured, Results
from unweave.lab.agent.session import unmet
from unweave.studies.inquiry import Outcome

RISE, HARM = "rise of the first output's error", "rise of the worst other error"
SEEDS = tuple(range(3, 8))


@pytest.fixture(scope="module")
def plan():
    return BuiltinPlanner().propose(ANY, view())


@pytest.fixture(scope="module")
def comparing():
    return BuiltinPlanner().propose("Does way whole do better than also at removing inputs=4?", view())


def run(arm, rises, harms=None, on=None, seeds=SEEDS, stage="confirm", **facts):
    """One run a seed."""
    harms = [0.0] * len(rises) if harms is None else harms
    return [
        Measured(
            f"{arm}-{on}-{stage}-{seed}", arm, stage, (seed,), on, {RISE: {seed: rise}, HARM: {seed: harm}}, **facts
        )
        for seed, rise, harm in zip(seeds, rises, harms, strict=True)
    ]


def checks(arm, null=0.1, control=0.0):
    """A null and a control that behave, on the first three seeds."""
    spread = np.array([-0.02, 0.0, 0.02])
    return [
        *run("null", null + spread, on=arm, seeds=SEEDS[:3]),
        *run("control", control + spread, on=arm, seeds=SEEDS[:3]),
    ]


def judged(plan, *groups):
    return judge(plan, Results(tuple(one for group in groups for one in group)))


GOOD = [1.0, 1.02, 0.98, 1.01, 0.99]


def test_an_arm_past_every_bar_with_null_and_control_holds(plan):
    found = judged(plan, run("inputs=4", GOOD), checks("inputs=4"))
    assert (found.answer, found.best) == ("yes", "inputs=4")
    assert found.standing("inputs=4").verdict == "holds"
    assert [one.verdict for one in found.tested if one.arm == "inputs=4"] == ["reached", "reached"]


@pytest.fixture(scope="module")
def apart():
    """A question of two parts: one candidate, and a baseline of which no null and no control is run."""
    asked = "Can way whole remove inputs=4 without harming the others, and does way also do better?"
    found = BuiltinPlanner().propose(asked, view())
    assert [(arm.name, arm.role) for arm in found.arms][:2] == [("also", "baseline"), ("whole", "candidate")]
    return found


@pytest.mark.parametrize(
    ("whole", "also", "answer", "best"),
    [
        (GOOD, [1.5, 1.52, 1.48, 1.51, 1.49], "yes", "whole"),
        ([0.1, 0.12, 0.08, 0.11, 0.1], GOOD, "no", None),
    ],
)
def test_a_baseline_that_does_better_is_not_the_answer_and_hides_none(apart, whole, also, answer, best):
    found = judged(apart, run("whole", whole), run("also", also), checks("whole"))
    assert found.standing("also").verdict == "holds"
    assert (found.answer, found.best) == (answer, best)
    assert "`also`" not in answer_sentence(replace(apart, contrasts=()), replace(found, contrasts=()))


def test_screening_runs_prove_nothing(plan):
    found = judged(plan, run("inputs=4", [1.0, 1.0, 1.0], seeds=(0, 1, 2), stage="screen"))
    assert (found.answer, found.standings, found.tested) == ("no", (), ())


@pytest.mark.parametrize(
    ("rises", "harms", "verdict", "why"),
    [
        ([0.1, 0.12, 0.08, 0.11, 0.1], None, "fails", "misses the bar of rise"),
        (GOOD, [0.5, 0.55, 0.45, 0.5, 0.5], "fails", "misses the bar of rise of the worst"),
        ([0.2, 1.1, 0.6, 0.3, 0.9], None, "unclear", "lies within the noise"),
        (GOOD, [0.0, 0.5, 0.1, 0.0, 0.3], "unclear", "lies within the noise"),
    ],
)
def test_a_bar_is_missed_reached_or_within_the_noise(plan, rises, harms, verdict, why):
    found = judged(plan, run("inputs=4", rises, harms), checks("inputs=4"))
    assert found.answer != "yes"
    assert found.standing("inputs=4").verdict == verdict
    assert why in found.standing("inputs=4").why


def test_harms_that_the_question_does_not_exclude_are_only_told(plan):
    harmful = replace(plan, criterion=replace(plan.criterion, harmless=False))
    found = judged(harmful, run("inputs=4", GOOD, [0.5] * 5), checks("inputs=4"))
    assert found.answer == "yes"
    assert [one.verdict for one in found.tested if one.outcome == HARM and not one.on] == ["missed"]


@pytest.mark.parametrize(
    ("null", "control", "why"),
    [
        (0.9, 0.0, "null reaches the bar too"),
        (0.1, 0.9, "control reaches the bar too"),
    ],
)
def test_an_effect_that_the_null_or_the_control_shows_too_is_none(plan, null, control, why):
    found = judged(plan, run("inputs=4", GOOD), checks("inputs=4", null, control))
    assert found.answer == "no"
    assert why in found.standing("inputs=4").why


def test_a_null_that_shows_more_is_not_excused_by_its_harm(plan):
    """A null past a harm's bar misses the bars too, and the effect is still compared with it."""
    null = run("null", [1.1, 1.12, 1.08], [0.5, 0.52, 0.48], on="inputs=4", seeds=SEEDS[:3])
    control = run("control", [0.0, 0.01, 0.02], on="inputs=4", seeds=SEEDS[:3])
    found = judged(plan, run("inputs=4", GOOD), null, control)
    assert (found.answer, found.standing("inputs=4").why) == ("no", "it is not told apart from null")


@pytest.mark.parametrize(("seed_of_two", "answer"), [(0.4, "yes"), (1.5, "no")])
def test_a_null_that_found_nothing_on_some_seeds_is_compared_on_the_others(plan, seed_of_two, answer):
    harm = [0.5]
    null = [
        *run("null", [0.0], harm, "inputs=4", SEEDS[:1], nothing=True),
        *run("null", [seed_of_two], harm, "inputs=4", SEEDS[1:2]),
        *run("null", [0.0], harm, "inputs=4", SEEDS[2:3], nothing=True),
    ]
    null = [replace(one, values={}) if one.nothing else one for one in null]
    control = run("control", [0.0, 0.01, 0.02], on="inputs=4", seeds=SEEDS[:3])
    assert judged(plan, run("inputs=4", GOOD), null, control).answer == answer


@pytest.mark.parametrize("short", ["null", "control"])
def test_a_null_or_control_that_shows_nothing_on_one_seed_is_not_enough(plan, short):
    empty = [Measured("n", "null", "confirm", SEEDS[: 1 if short == "null" else 3], "inputs=4", nothing=True)]
    control = run("control", [0.0, 0.01, 0.02], on="inputs=4", seeds=SEEDS[:3])[: 1 if short == "control" else 3]
    found = judged(plan, run("inputs=4", GOOD), empty, control)
    assert (found.answer, found.standing("inputs=4").lacking) == ("unclear", (short,))


def test_a_null_that_found_nothing_on_every_shared_seed_is_as_it_should_be(plan):
    fewer = replace(plan, stopping=replace(plan.stopping, seeds=3, checks=5))
    null = [Measured("n", "null", "confirm", SEEDS[:3], "inputs=4", nothing=True)]
    null += run("null", [0.1], on="inputs=4", seeds=SEEDS[3:4])
    control = run("control", [0.0, 0.01, 0.02], on="inputs=4", seeds=SEEDS[:3])
    assert judged(fewer, run("inputs=4", GOOD[:3], seeds=SEEDS[:3]), null, control).answer == "yes"


def test_a_null_on_two_seeds_is_not_enough(plan):
    short = [one for one in checks("inputs=4") if one.arm == "control" or one.seeds[0] < SEEDS[2]]
    found = judged(plan, run("inputs=4", GOOD), short)
    assert (found.answer, found.standing("inputs=4").lacking) == ("unclear", ("null",))


def test_an_effect_within_the_noise_of_its_null_is_none(plan):
    near = [0.49, 0.45, 0.47]
    found = judged(
        plan,
        run("inputs=4", [0.8, 0.42, 0.6, 0.9, 0.95]),
        run("null", near, on="inputs=4", seeds=SEEDS[:3]),
        run("control", [0.0, 0.0, 0.0], on="inputs=4", seeds=SEEDS[:3]),
    )
    assert found.answer != "yes"


def test_without_null_and_control_nothing_is_stated(plan):
    results = Results(tuple(run("inputs=4", GOOD)))
    found = judge(plan, results)
    assert (found.answer, found.standing("inputs=4").lacking) == ("unclear", ("null", "control"))
    assert unmet(plan, results) == ["inputs=4 lacks null", "inputs=4 lacks control"]


def test_one_seed_of_five_is_not_enough(plan):
    found = judged(plan, run("inputs=4", [3.0], seeds=(3,)), checks("inputs=4"))
    assert found.answer == "unclear"
    assert found.standing("inputs=4").lacking == ("seeds",)


def test_fewer_seeds_than_planned_are_not_enough(plan):
    """Three seeds that agree would pass every test by themselves."""
    found = judged(plan, run("inputs=4", GOOD[:3], seeds=SEEDS[:3]), checks("inputs=4"))
    assert found.answer == "unclear"
    assert found.standing("inputs=4").lacking == ("seeds",)


def test_a_study_that_found_nothing_is_a_result(plan):
    nothing = Measured("r", "inputs=4", "confirm", SEEDS, nothing=True)
    found = judged(plan, [nothing])
    assert (found.answer, found.standing("inputs=4").why) == ("no", "the study itself found nothing")


def test_a_null_in_which_the_study_found_nothing_is_as_it_should_be(plan):
    empty = [Measured("n", "null", "confirm", SEEDS[:3], "inputs=4", nothing=True)]
    control = run("control", [0.0, 0.01, 0.02], on="inputs=4", seeds=SEEDS[:3])
    assert judged(plan, run("inputs=4", GOOD), empty, control).answer == "yes"


def test_a_run_that_failed_or_is_invalid_answers_nothing(plan):
    broken = Measured("r", "inputs=4", "confirm", SEEDS, fault="the auditor calls it invalid: data differ")
    found = judged(plan, [broken])
    assert found.answer == "unclear"
    assert "none of its runs gave a result that counts" in found.standing("inputs=4").why


@pytest.mark.parametrize("changes", [{"fault": "failed: no memory"}, {"nothing": True}])
def test_seeds_that_gave_nothing_are_not_left_out(plan, changes):
    """Five seeds past every bar do not hold where five others failed, or found nothing."""
    rest = [replace(one, values={}, **changes) for one in run("inputs=4", [0.0] * 5, seeds=tuple(range(8, 13)))]
    found = judged(plan, run("inputs=4", GOOD), rest, checks("inputs=4"))
    assert (found.answer, found.standing("inputs=4").verdict) == ("unclear", "unclear")
    assert "5 of its 10 runs" in found.standing("inputs=4").why


def lost(arm, seeds, **facts):
    """Runs of which nothing came."""
    return [Measured(f"{arm}-{seed}", arm, "confirm", (seed,), fault="lost", **facts) for seed in seeds]


@pytest.mark.parametrize("answer_of", [ANY, QUESTION])
def test_a_run_lost_in_an_unfinished_block_takes_nothing_from_the_block_before(answer_of):
    asked = BuiltinPlanner().propose(answer_of, view())
    two = [run("inputs=4", GOOD), run("inputs=5", GOOD[::-1]), checks("inputs=4"), checks("inputs=5")]
    whole = judged(asked, *two)
    assert (whole.answer, whole.best) == ("yes", "inputs=4")
    assert judged(asked, *two, lost("inputs=4", (8,))) == whole


def test_a_block_that_the_lab_did_not_run_to_its_end_is_not_whole(plan):
    """A stop or a spent budget ends all runs of a block, and says nothing of what they would have shown."""
    second = [*run("inputs=4", GOOD[:2], seeds=(8, 9)), *lost("inputs=4", (10, 11, 12), withheld=True)]
    found = judged(plan, run("inputs=4", GOOD), checks("inputs=4"), second)
    assert (found.answer, found.tested[0].noisy.n) == ("yes", 5)
    first = [*run("inputs=4", GOOD[:4], seeds=SEEDS[:4]), *lost("inputs=4", SEEDS[4:], withheld=True)]
    assert judged(plan, first, checks("inputs=4")).answer == "unclear"


def test_a_rival_whose_runs_failed_is_not_beaten_by_that():
    asked = BuiltinPlanner().propose(QUESTION, view())
    rival = [*run("inputs=4", GOOD[:4], seeds=SEEDS[:4]), *lost("inputs=4", SEEDS[4:])]
    found = judged(asked, rival, run("inputs=5", GOOD), checks("inputs=4"), checks("inputs=5"))
    assert (found.answer, found.best, found.tied) == ("yes", "inputs=5", ("inputs=4",))
    assert "It is not told apart from `inputs=4`." in answer_sentence(asked, found)


def test_seeds_count_by_whole_blocks(plan):
    """Who may look after every seed and stop when it suits finds what is not there."""
    beyond = run("inputs=4", [-9.0, -9.0], seeds=(8, 9))
    assert judged(plan, run("inputs=4", GOOD), beyond, checks("inputs=4")).answer == "yes"
    last = run("inputs=4", GOOD, seeds=tuple(range(8, 13)))
    assert judged(plan, last, checks("inputs=4")).standing("inputs=4").why == "nothing was measured"
    assert judged(plan, run("inputs=4", GOOD), last, checks("inputs=4")).tested[0].noisy.n == 10
    odd = replace(plan, stopping=replace(plan.stopping, seeds=4))
    assert (looks(odd), looks(plan)) == (3, 2)


def test_what_is_asked_where_its_null_is_cannot_be_told_from_it(plan):
    arms = tuple(replace(arm, settings={**arm.settings, "shuffle": True}) for arm in plan.arms)
    found = judged(replace(plan, arms=arms), run("inputs=4", GOOD), checks("inputs=4"))
    assert found.answer == "no"


def test_more_confirmed_arms_make_each_harder_to_hold(plan):
    """Holm over the arms: what is enough for one is not for four."""
    weak = [0.62, 0.54, 0.66, 0.56, 0.7]
    alone = judged(plan, run("inputs=4", weak), checks("inputs=4"))
    others = [run(f"inputs={n}", [0.55, 0.5, 0.6, 0.45, 0.5]) for n in (5, 6, 7)]
    together = judged(plan, run("inputs=4", weak), checks("inputs=4"), *others)
    assert alone.standing("inputs=4").verdict == "holds"
    assert together.standing("inputs=4").verdict == "unclear"
    assert "as many arms" in together.standing("inputs=4").why


def test_the_looks_share_the_level(plan):
    assert looks(plan) == 2
    assert looks(replace(plan, stopping=replace(plan.stopping, seeds=10))) == 1


PAIR = ("whole", "also")


def pair(plan, first, second, harms=(None, None), seeds=SEEDS):
    return judged(plan, run("whole", first, harms[0], seeds=seeds), run("also", second, harms[1], seeds=seeds))


def test_a_difference_past_the_noise_is_better_or_worse_and_within_it_is_none(comparing):
    assert comparing.contrasts == (PAIR,)
    base = np.array([0.1, 0.4, 0.2, 0.3, 0.25])
    steps = np.array([0.05, 0.06, 0.04, 0.05, 0.055])
    assert pair(comparing, base + steps, base).contrasts[0].relation == "better"
    assert pair(comparing, base - steps, base).contrasts[0].relation == "worse"
    noise = np.array([0.05, -0.06, 0.04, -0.05, 0.01])
    found = pair(comparing, base + noise, base)
    assert (found.contrasts[0].relation, found.answer) == ("no difference", "no")
    assert found.contrasts[0].lacking == ("seeds",)


def test_pairs_are_compared_seed_by_seed(comparing):
    """Seeds differ far more than the arms, and the arms differ on each seed by the same."""
    base = np.array([0.0, 3.0, 1.0, 5.0, 2.0])
    found = pair(comparing, base + np.array([0.1, 0.11, 0.09, 0.1, 0.1]), base)
    assert found.contrasts[0].relation == "better"


def test_arms_of_different_seeds_are_not_compared(comparing):
    found = judged(comparing, run("whole", GOOD), run("also", GOOD, seeds=range(10, 15)))
    assert (found.contrasts[0].relation, found.answer) == ("not comparable", "unclear")


def test_fewer_shared_seeds_than_confirm_an_arm_compare_none(comparing):
    found = judged(comparing, run("whole", [3.0, 3.1], seeds=SEEDS[:2]), run("also", GOOD))
    assert (found.contrasts[0].relation, found.compared) == ("not comparable", ())


def test_nothing_found_is_counted_by_seed(comparing):
    def without(arm, seeds):
        return [Measured(f"{arm}-{seed}", arm, "confirm", (seed,), nothing=True) for seed in seeds]

    once = judged(comparing, run("whole", GOOD), run("also", GOOD[1:], seeds=SEEDS[1:]), without("also", SEEDS[:1]))
    assert (once.contrasts[0].relation, once.answer) == ("not comparable", "unclear")
    never = judged(comparing, run("whole", GOOD), without("also", SEEDS))
    assert (never.contrasts[0].relation, never.contrasts[0].why) == ("better", "`also` found nothing")
    both = judged(comparing, without("whole", SEEDS), without("also", SEEDS))
    assert both.contrasts[0].relation == "no difference"
    broken = [Measured("r", "also", "confirm", SEEDS[-1:], fault="failed")]
    lost = judged(comparing, run("whole", GOOD), run("also", np.array(GOOD[:4]) - 1, seeds=SEEDS[:4]), broken)
    assert lost.contrasts[0].relation == "not comparable"


def test_unequal_cost_is_not_compared_where_equal_cost_is_asked(comparing):
    cost = Outcome("tokens", "outcome", "tokens", better="lower")
    equal = replace(comparing, criterion=replace(comparing.criterion, equal=(cost,)))

    def costing(runs, tokens):
        return [replace(one, values={**one.values, "tokens": dict.fromkeys(one.seeds, tokens)}) for one in runs]

    for other, relation in ((4.0, "better"), (64.0, "not comparable")):
        whole, also = costing(run("whole", GOOD), 4.0), costing(run("also", [0.1, 0.12, 0.08, 0.11, 0.1]), other)
        assert judged(equal, whole, also).contrasts[0].relation == relation


def test_equal_cost_is_of_the_seeds_that_both_ran(comparing):
    cost = Outcome("tokens", "outcome", "tokens", better="lower")
    equal = replace(comparing, criterion=replace(comparing.criterion, equal=(cost,)))
    runs = run("whole", GOOD * 2, seeds=range(3, 13)) + run("also", [0.1, 0.12, 0.08, 0.11, 0.1])
    costing = [replace(one, values={**one.values, "tokens": dict.fromkeys(one.seeds, 4.0)}) for one in runs]
    assert judged(equal, costing).contrasts[0].relation == "better"


def test_a_noisy_baseline_does_not_make_the_candidate_unclear(apart):
    whole = run("whole", GOOD, [0.02, 0.03, 0.01, 0.02, 0.02])
    bar = apart.criterion.harms[0].bar
    also = run("also", [0.1, 0.12, 0.08, 0.11, 0.1], bar + np.array([0.1, 0.9, 2.0, 0.2, 3.0]))
    found = judged(apart, whole, also, checks("whole"))
    assert (found.answer, found.best) == ("yes", "whole")
    # Candidates are made alike: among few seeds one of them may agree by luck.
    (harm,) = (one for one in found.tested if (one.arm, one.outcome) == ("also", HARM))
    assert harm.verdict != "reached"


def test_who_reaches_the_bars_is_better_than_who_does_not(comparing):
    found = pair(comparing, GOOD, [0.3, 0.32, 0.28, 0.31, 0.29])
    assert found.contrasts[0].relation == "better"
    assert "`also` misses the bar" in found.contrasts[0].why


def test_past_the_bar_more_effect_is_no_better(comparing):
    harmless = replace(comparing, criterion=replace(comparing.criterion, harmless=True))
    found = pair(harmless, np.array(GOOD) + 1.0, GOOD, ([0.01] * 5, [0.01] * 5))
    assert found.contrasts[0].relation == "no difference"
    less = pair(harmless, np.array(GOOD) + 1.0, GOOD, ([0.05, 0.06, 0.05, 0.06, 0.055], [0.01] * 5))
    assert less.contrasts[0].relation == "worse"


def test_the_best_of_several_needs_no_rival_within_the_noise():
    asked = BuiltinPlanner().propose(QUESTION, view())
    two = [run("inputs=4", GOOD), run("inputs=5", GOOD[::-1]), checks("inputs=4"), checks("inputs=5")]
    found = judged(asked, *two)
    assert (found.answer, found.best, found.tied) == ("yes", "inputs=4", ("inputs=5",))


def test_without_a_bar_the_best_must_beat_what_else_was_confirmed():
    asked = BuiltinPlanner().propose(QUESTION, view())
    effect = replace(asked.criterion.effect, bar=None)
    barless = replace(asked, criterion=replace(asked.criterion, effect=effect, harms=()))
    seeds = tuple(range(3, 13))
    noise = np.random.default_rng(0).normal(0, 0.1, (2, 10))
    near = judged(
        barless,
        run("inputs=4", 1.0 + noise[0], seeds=seeds),
        run("inputs=5", 1.0 + noise[1], seeds=seeds),
        checks("inputs=4"),
        checks("inputs=5"),
    )
    assert (near.answer, near.best, set(near.tied)) == ("no", None, {"inputs=4", "inputs=5"})
    far = judged(
        barless,
        run("inputs=4", 2.0 + noise[0], seeds=seeds),
        run("inputs=5", 1.0 + noise[1], seeds=seeds),
        checks("inputs=4"),
        checks("inputs=5"),
    )
    assert (far.answer, far.best, far.tied) == ("yes", "inputs=4", ())


def test_without_a_bar_a_rival_that_fails_its_null_still_has_to_be_beaten():
    asked = BuiltinPlanner().propose(QUESTION, view())
    effect = replace(asked.criterion.effect, bar=None)
    barless = replace(asked, criterion=replace(asked.criterion, effect=effect, harms=()))
    null_of_five = run("null", [1.2, 0.8, 1.1], on="inputs=5", seeds=SEEDS[:3])
    found = judged(
        barless,
        run("inputs=4", GOOD),
        run("inputs=5", [1.0, 1.01, 0.99, 1.02, 0.97]),
        checks("inputs=4"),
        null_of_five,
        run("control", [0.0, 0.0, 0.01], on="inputs=5", seeds=SEEDS[:3]),
    )
    assert found.best is None


def rate(plan, first, second, rounds, seed):
    """How often two arms are called different, or one past its bar."""
    generator = np.random.default_rng(seed)
    found = 0
    for _ in range(rounds):
        one, two = generator.normal(first, 0.1, 10), generator.normal(second, 0.1, 10)
        early = pair(plan, one[:5], two[:5])
        late = pair(plan, one, two, seeds=tuple(range(3, 13)))
        found += any(each.contrasts[0].relation in ("better", "worse", "mixed") for each in (early, late))
    return found / rounds


def test_f3_32_equal_arms_are_told_apart_no_more_often_than_the_level_allows(comparing):
    assert rate(comparing, 0.3, 0.3, 300, seed=1) <= 0.05 + 3 * (0.05 * 0.95 / 300) ** 0.5
    assert rate(comparing, 0.5, 0.3, 100, seed=2) >= 0.8


def test_f3_32_an_effect_that_is_not_there_is_found_no_more_often_than_the_level_allows(plan):
    """Four arms with nothing past the bar, each confirmed: how often any of them is said to hold."""
    generator = np.random.default_rng(3)
    rounds, found = 200, 0
    for _ in range(rounds):
        groups = [run(f"inputs={n}", generator.normal(0.5, 0.1, 5)) for n in range(4)]
        groups += [checks(f"inputs={n}") for n in range(4)]
        found += judged(plan, *groups).answer == "yes"
    assert found / rounds <= 0.025 + 3 * (0.025 * 0.975 / rounds) ** 0.5


def test_without_a_bar_an_arm_whose_null_has_not_run_makes_no_other_likelier(plan):
    effect = replace(plan.criterion.effect, bar=None)
    barless = replace(plan, criterion=replace(plan.criterion, effect=effect, harms=()))
    tested = [*run("inputs=4", GOOD), *checks("inputs=4")]
    waiting = run("inputs=5", GOOD)
    alone, both = judged(barless, tested), judged(barless, tested, waiting)
    assert both.standing("inputs=5").lacking == ("null", "control")
    assert both.standing("inputs=4").p == pytest.approx(2 * alone.standing("inputs=4").p)


def test_without_a_bar_what_is_not_past_its_null_for_so_many_arms_is_decided(plan):
    effect = replace(plan.criterion.effect, bar=None)
    barless = replace(plan, criterion=replace(plan.criterion, effect=effect, harms=()))
    weak = [0.2, 0.35, 0.28, 0.3, 0.4]
    found = judged(
        barless, *(part for n in range(4) for part in (run(f"inputs={n}", weak), checks(f"inputs={n}", 0.0)))
    )
    assert judged(barless, run("inputs=0", weak), checks("inputs=0", 0.0)).answer == "yes"
    assert (found.answer, {one.verdict for one in found.standings}) == ("no", {"fails"})
    assert "as many arms" in found.standings[0].why


def test_f3_32_without_a_bar_noise_is_found_no_more_often_than_the_level_allows(plan):
    """Four finalists that equal their nulls: that any of them holds is a false statement, at both looks together."""
    effect = replace(plan.criterion.effect, bar=None)
    stopping = replace(plan.stopping, checks=5)
    barless = replace(plan, criterion=replace(plan.criterion, effect=effect, harms=()), stopping=stopping)
    generator = np.random.default_rng(4)
    rounds, found = 200, 0
    for _ in range(rounds):
        groups = []
        for n in range(4):
            groups.append(run(f"inputs={n}", generator.normal(0.5, 0.1, 5)))
            groups.append(run("null", generator.normal(0.5, 0.1, 5), on=f"inputs={n}"))
            groups.append(run("control", generator.normal(-9.0, 0.1, 5), on=f"inputs={n}"))
        found += judged(barless, *groups).answer == "yes"
    assert found / rounds <= 0.025 + 3 * (0.025 * 0.975 / rounds) ** 0.5
