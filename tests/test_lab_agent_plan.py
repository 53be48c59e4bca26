from __future__ import annotations

import json
from dataclasses import replace

import pytest
from agents import QUESTION, studies, view

from unweave.base.errors import UnweaveError
from unweave.lab.agent.builtin.planner import BuiltinPlanner
from unweave.lab.agent.launch import launches_of
from unweave.lab.agent.plan import Arm, Hypothesis, Launch, Plan, Prediction, Stage
from unweave.lab.threads.events import Plan as ThreadPlan
from unweave.studies.inquiry import Outcome
from unweave.studies.registry import Study


@pytest.fixture(scope="module")
def plan():
    return BuiltinPlanner().propose(QUESTION, view())


def study():
    return studies()["tiny-removal"]


def test_a_plan_comes_back_from_its_json_with_the_same_hash(plan):
    again = Plan.from_json(json.loads(json.dumps(plan.to_json())))
    assert again == plan
    assert again.sha256 == plan.sha256


def test_the_hash_is_of_the_design_and_not_of_the_step(plan):
    step = plan.next([Launch(plan.arms[0].name, "screen", plan.stage("screen").seeds[:1])], "to begin with")
    assert step.sha256 == plan.sha256


@pytest.mark.parametrize(
    "change",
    [
        lambda plan: replace(plan, budget={"runs": 999.0}),
        lambda plan: replace(plan, criterion=replace(plan.criterion, effect=replace(plan.criterion.effect, bar=0.4))),
        lambda plan: replace(plan, criterion=replace(plan.criterion, level=0.5)),
        lambda plan: replace(plan, stages=(plan.stages[0], replace(plan.stages[1], seeds=(90, 91, 92, 93, 94)))),
        lambda plan: replace(plan, code="f" * 64),
        lambda plan: replace(plan, identities={"held-out": "0" * 64}),
        lambda plan: replace(plan, hypotheses=(replace(plan.hypotheses[0], statement="Something else."),)),
    ],
)
def test_f3_29_whatever_else_changes_makes_another_hash(plan, change):
    assert change(plan).sha256 != plan.sha256


def test_a_thread_gives_the_plan_the_same_hash(plan):
    assert ThreadPlan(plan.design()).sha256 == plan.sha256


def changed(plan, **changes):
    return replace(plan, **changes)


def over(plan):
    return tuple(arm for arm in plan.arms if arm.on)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda p: changed(p, arms=over(p)), "the plan has no candidate"),
        (lambda p: changed(p, arms=(*p.arms, p.arms[0])), "two of arm"),
        (lambda p: changed(p, stages=(Stage("screen", (0, 3)), p.stages[1])), "a seed is in two stages"),
        (lambda p: changed(p, stages=(p.stages[0], Stage("confirm", (50, 51)))), "3 or more are needed"),
        (lambda p: changed(p, stopping=replace(p.stopping, seeds=2)), "2 seeds of"),
        (lambda p: changed(p, stopping=replace(p.stopping, checks=2)), "null and control are run on 2 seeds"),
        (lambda p: changed(p, stages=(p.stages[0],)), "the plan's stages are"),
        (lambda p: changed(p, hypotheses=()), "every plan predicts"),
        (
            lambda p: changed(p, hypotheses=(Hypothesis("h", "s", (Prediction("*", "luck", "reached"),)),)),
            "a prediction is of 'luck', which nothing measures",
        ),
        (
            lambda p: changed(p, hypotheses=(Hypothesis("h", "s", (Prediction("nobody", "x", "reached"),)),)),
            "the plan speaks of arm 'nobody'",
        ),
        (lambda p: changed(p, contrasts=(("inputs=0", "inputs=77"),)), "the plan speaks of arm 'inputs=77'"),
        (lambda p: changed(p, kind="compare"), "names no pair of arms"),
        (lambda p: changed(p, arms=(Arm("x", "candidate", {"colour": "red"}), *over(p))), "has no field 'colour'"),
        (lambda p: changed(p, arms=(*p.arms, Arm("answer", "candidate"))), "in a report: choose another name"),
        (lambda p: changed(p, arms=(*p.arms, Arm("*", "candidate"))), "means something else in a report"),
        (lambda p: changed(p, arms=(*p.arms, Arm("control", "candidate"))), "means something else in a report"),
        (lambda p: changed(p, arms=(*p.arms, Arm("a`\n# b", "candidate"))), "has other marks than a name may have"),
        (lambda p: changed(p, arms=(*p.arms, Arm("a against b", "candidate"))), "reads as a comparison in a report"),
        (
            lambda p: changed(p, arms=(*p.arms, Arm("a|b", "candidate"))),
            r"spaces and _ \. , : = / \+ - ~ @ \( \) ' \* < > only",
        ),
        (lambda p: p.next([Launch("inputs=0", "screen", (99,))]), "is to run on seeds"),
        (lambda p: p.next([Launch("inputs=0", "screen", ())]), "is to run on seeds"),
    ],
)
def test_a_plan_that_contradicts_itself_or_the_study_is_refused(plan, change, told):
    with pytest.raises(UnweaveError, match=told):
        change(plan).check(study())


def test_json_that_is_no_plan_is_refused_with_the_place(plan):
    value = plan.to_json()
    with pytest.raises(UnweaveError, match="a plan has no 'luck'"):
        Plan.from_json({**value, "luck": 1})
    with pytest.raises(UnweaveError, match=r"plan: stages\.0\.seeds"):
        Plan.from_json({**value, "stages": [{"name": "screen", "seeds": "many"}, value["stages"][1]]})
    with pytest.raises(UnweaveError, match=r"plan: arms\.0\.role"):
        Plan.from_json({**value, "arms": [{"name": "x", "role": "winner"}]})


def test_every_run_carries_what_was_planned_for_it(plan):
    step = plan.next([Launch("inputs=4", "screen", (0, 1)), Launch("null", "confirm", (3,), "inputs=4")])
    entries = launches_of(step, study(), {"held-out": "a" * 64})
    assert [(one.arm, one.on, one.role, one.stage, one.seeds) for one in entries] == [
        ("inputs=4", None, "candidate", "screen", (0,)),
        ("inputs=4", None, "candidate", "screen", (1,)),
        ("null", "inputs=4", "null", "confirm", (3,)),
    ]
    assert entries[0].config["rows"] == 20
    assert entries[2].config == {**entries[0].config, "rows": 60, "shuffle": True, "first_seed": 3}
    assert {one.sha256 for one in entries} == {plan.sha256}
    assert entries[0].identities == {"held-out": "a" * 64}


def test_neighbouring_seeds_share_a_run_where_the_study_takes_several(plan):
    from unweave.studies.registry import find_study

    removal = find_study("remove-language")
    words = "Can one number remove Spanish from polyglot?"
    made = BuiltinPlanner().propose(words, view(studies={"remove-language": removal}))
    first, *rest = made.stage("confirm").seeds
    step = made.next([Launch(made.arms[0].name, "confirm", (first, *rest[:3], rest[5]))])
    entries = launches_of(step, removal)
    assert [one.seeds for one in entries] == [(first, *rest[:3]), (rest[5],)]
    assert [(one.config["first_seed"], one.config["seeds"]) for one in entries] == [(first, 4), (rest[5], 1)]
    null = launches_of(made.next([Launch("null", "confirm", (first, *rest[:2]), made.arms[0].name)]), removal)
    assert [one.seeds for one in null] == [(first,), (rest[0],), (rest[1],)]  # one deal of the text each


def test_an_arm_over_another_one_needs_it_and_no_other_does(plan):
    for launch, told in (
        (Launch("null", "confirm", (3,)), "is laid over another arm"),
        (Launch("inputs=4", "screen", (0,), "inputs=3"), "is laid over nothing"),
    ):
        with pytest.raises(UnweaveError, match=told):
            launches_of(plan.next([launch]), study())


def test_a_study_that_cannot_be_asked_is_refused():
    with pytest.raises(UnweaveError, match="has no inquiry"):
        Study("dumb", "?", Outcome, print).asked()
