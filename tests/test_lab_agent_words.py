from __future__ import annotations

from dataclasses import replace

import pytest
from agents import QUESTION, studies, view

from unweave.base.errors import UnweaveError
from unweave.lab.agent.asked import check_asked
from unweave.lab.agent.builtin.design import arm_name
from unweave.lab.agent.builtin.planner import BuiltinPlanner
from unweave.lab.agent.builtin.words import understand
from unweave.lab.agent.plan import Arm
from unweave.lab.agent.planner import CannotPlan, Earlier, LabView
from unweave.studies.registry import find_study

REAL = (
    "Can one number remove Spanish from polyglot without harming the others, and does LoRA do better at equal tokens?"
)


@pytest.fixture(scope="module")
def lab():
    return view(studies={"remove-language": find_study("remove-language"), **studies()})


def test_the_question_of_two_parts_is_read_as_both(lab):
    found = understand(REAL, lab)
    assert found.study.name == "remove-language"
    assert (found.fixed["language"], found.fixed["target"]) == ("es", "polyglot")
    assert (found.harmless, found.equal, found.which, found.apart) == (True, True, False, True)
    factor, here, everywhere = ({"methods": (name,)} for name in ("factor", "lora-1-here", "lora-1"))
    assert found.contrasts == ((here, factor), (everywhere, factor))


def test_its_plan_has_the_null_the_control_and_both_comparisons(lab):
    plan = BuiltinPlanner().propose(REAL, lab)
    assert [(arm.name, arm.role) for arm in plan.arms] == [
        ("lora-1-here", "baseline"),
        ("factor", "candidate"),
        ("lora-1", "baseline"),
        ("null", "null"),
        ("control", "control"),
    ]
    assert plan.kind == "any"
    assert plan.contrasts == (("lora-1-here", "factor"), ("lora-1", "factor"))
    assert [outcome.name for outcome in plan.criterion.equal] == ["loss tokens"]
    assert {one.name for one in plan.hypotheses} >= {"effect", "null", "control"}
    assert plan.arm("factor").settings["target"] == "polyglot"
    plan.check(lab.study("remove-language"))


def test_seeds_that_an_earlier_run_used_are_not_fresh(lab):
    used = {"remove-language": (range(4, 10),)}
    plan = BuiltinPlanner().propose(REAL, LabView(lab.studies, used=used))
    assert min(seed for stage in plan.stages for seed in stage.seeds) == 10


def test_what_an_earlier_run_of_the_same_thread_read_is_what_these_must_read(lab):
    config = find_study("remove-language").configure({"language": "es", "target": "polyglot", "strict": False})
    from unweave.base.configs import plain_config

    settings = {**plain_config(config), "left_out": []}
    same = Earlier("same", "remove-language", settings, {"target": "a" * 16}, "mine")
    other = Earlier("other", "remove-language", {**settings, "language": "de"}, {"target": "b" * 16}, "mine")
    elsewhere = Earlier("elsewhere", "remove-language", settings, {"target": "c" * 16}, "yours")
    earlier = (other, elsewhere, same)
    plan = BuiltinPlanner().propose(REAL, LabView(lab.studies, earlier=earlier, thread="mine"))
    assert plan.identities == {"target": "a" * 16}
    assert BuiltinPlanner().propose(REAL, LabView(lab.studies, earlier=earlier)).identities == {}


@pytest.mark.parametrize(
    ("question", "kind", "contrasts", "candidates"),
    [
        ("Does LoRA do better than one number at removing German?", "compare", 2, 2),
        ("Is mean difference worse than one number at removing German?", "compare", 1, 1),
        ("Compare mean difference with closed form for removing French", "compare", 1, 1),
        ("Which of closed form, one number and mean difference removes Italian with the least harm?", "which", 0, 3),
        ("What is the best way to remove Italian?", "which", 0, 5),
        ("Can closed form remove Italian?", "any", 0, 1),
        ("Can anything remove Italian without harming the others?", "any", 0, 5),
    ],
)
def test_the_kind_of_a_question_and_who_is_asked_about(lab, question, kind, contrasts, candidates):
    plan = BuiltinPlanner().propose(question, lab)
    assert (plan.kind, len(plan.contrasts), len(plan.of_role("candidate"))) == (kind, contrasts, candidates)
    plan.check(lab.study(plan.study))


def test_who_is_said_to_be_worse_is_the_second(lab):
    plan = BuiltinPlanner().propose("Is mean difference worse than one number at removing German?", lab)
    assert plan.contrasts == (("factor", "mean-difference"),)


def test_harms_count_only_where_the_question_says_so(lab):
    assert not BuiltinPlanner().propose("Can one number remove German?", lab).criterion.harmless
    least = BuiltinPlanner().propose("Which method removes German with the least harm?", lab)
    assert (least.criterion.harmless, least.criterion.prefer) == (True, "harm")


def test_numbers_belong_to_the_field_beside_them(lab):
    for question in ("removing German with tokens 64", "remove German at 64 tokens", "remove German with tokens=64"):
        assert str(understand(question, lab).fixed["tokens"]) == "64"
    with pytest.raises(CannotPlan, match="'64' belongs to none of its fields"):
        understand("remove German 64", lab)


@pytest.mark.parametrize(
    ("question", "told"),
    [
        ("How tall is the Eiffel tower?", "no study is about .*what can be asked: .*Can one number remove Spanish"),
        ("Can one number remove Klingon?", "'Klingon' is no language that it knows: it knows .*spanish"),
        ("Can one number remove Spanish from gpt9?", "'gpt9' is no target that it knows: it knows polyglot"),
        ("Can one number remove a language?", "names no language"),
        ("Does ablation do better than one number at removing Spanish?", "'ablation' cannot be planned for: it draws"),
        ("Can methods=ablation remove Spanish?", "'ablation' cannot be planned for"),
        ("remove the Spanish inquisition troops marching beyond Seville quickly", "too little of"),
        ("", "no study is about ''"),
        ("Is LoRA not better than one number at removing German?", "'not' turns the question round"),
        ("Doesn't one number remove German?", "turns the question round"),
        (
            "Does removing German harm French more than Spanish in polyglot?",
            "whether 'german' is compared with 'french' is not clear",
        ),
    ],
)
def test_what_is_not_understood_is_said_and_not_guessed(lab, question, told):
    with pytest.raises(CannotPlan, match=told):
        BuiltinPlanner().propose(question, lab)


def test_two_languages_are_compared_where_the_question_says_so(lab):
    for asked in ("Does removing German do better than Spanish?", "Is German or Spanish better to remove?"):
        (pair,) = understand(asked, lab).contrasts
        assert pair == ({"language": "de"}, {"language": "es"})


def test_a_path_is_taken_where_a_target_stands(lab):
    assert understand("remove Spanish from ./mine/model", lab).fixed["target"] == "./mine/model"


def test_values_of_a_joint_field_become_candidates_and_their_groups():
    plan = BuiltinPlanner().propose(QUESTION, view())
    candidates, groups = plan.of_role("candidate"), plan.of_role("group")
    assert [list(arm.settings["inputs"]) for arm in candidates] == [[index] for index in range(32)]
    assert list(groups[0].settings["inputs"]) == list(range(32))
    assert [len(group.covers) for group in groups[:6]] == [32, 16, 8, 4, 2, 2]
    assert len(groups) == 31
    assert {name for group in groups for name in group.covers} == {arm.name for arm in candidates}


def test_without_a_study_to_ask_that_is_said():
    with pytest.raises(CannotPlan, match="no registered study can be asked"):
        BuiltinPlanner().propose("remove Spanish", LabView({}))


def test_any_field_may_be_set_by_name_but_not_the_seeds(lab):
    found = understand("remove Spanish with windows=4 retain=fr seeds=1 first_seed=7", lab)
    assert (found.fixed["windows"], found.fixed["retain"]) == ("4", "fr")
    assert not {"seeds", "first_seed"} & set(found.fixed)


ONE_NUMBER = "Can one number remove Spanish from polyglot without harming the others?"


@pytest.mark.parametrize(
    ("role", "changes", "told"),
    [
        ("baseline", {"methods": ("lora-1",)}, None),
        ("candidate", {"methods": ("lora-1",)}, "the question is about methods"),
        ("baseline", {"methods": ("lora-1",), "language": "de"}, "the question is about language 'es'"),
        ("baseline", {"methods": ("lora-1",), "target": "smollm2"}, "the question is about target 'polyglot'"),
        ("candidate", {"strict": True}, None),
    ],
)
def test_what_an_arm_may_have_other_than_the_question_names(lab, role, changes, told):
    """A baseline is another way to do the same, and what only the inquiry sets is not the question's."""
    plan = BuiltinPlanner().propose(ONE_NUMBER, lab)
    other = Arm("other", role, {**plan.arm("factor").settings, **changes})
    changed = replace(plan, arms=(*plan.arms, other))
    if told is None:
        check_asked(changed, lab)
    else:
        with pytest.raises(UnweaveError, match=told):
            check_asked(changed, lab)


def test_what_the_question_names_binds_where_the_inquiry_sets_it_too(lab):
    plan = BuiltinPlanner().propose("remove Spanish from polyglot with strict=true", lab)
    lax = tuple(replace(arm, settings={**arm.settings, "strict": False}) for arm in plan.arms)
    with pytest.raises(UnweaveError, match="the question is about strict True"):
        check_asked(replace(plan, arms=lax), lab)


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"way": "null"}, "way=null"),
        ({"way": "answer"}, "way=answer"),
        ({"way": "*"}, "way=*"),
        ({"site": "model.layers[3]"}, "model.layers~5b3~5d"),
        ({"share": "50%", "way": "a|b"}, "share=50~25 way=a~7cb"),
        ({"prompt": "why?"}, "why~3f"),
        ({"pair": "a against b"}, "a against~20b"),
        ({"way": "whole"}, "whole"),
    ],
)
def test_the_planner_names_arms_as_a_plan_may(settings, name):
    assert arm_name(settings) == name
    plan = BuiltinPlanner().propose(QUESTION, view())
    replace(plan, arms=(*plan.arms, Arm(name, "candidate"))).check(studies()["tiny-removal"])
