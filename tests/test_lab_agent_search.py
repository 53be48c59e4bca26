from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np
import pytest
from agents import ANY, QUESTION, answered, carrier, session, view

from unweave.lab.agent.builtin.halving import trees
from unweave.lab.agent.builtin.planner import BuiltinPlanner
from unweave.lab.agent.builtin.screening import Screening, place, spread_first
from unweave.lab.agent.builtin.surrogate import Place, predict
from unweave.lab.agent.hands import OwnHands
from unweave.lab.agent.journal import Memory
from unweave.lab.agent.judge import judge
from unweave.lab.agent.planner import LabView, Results, Stop
from unweave.lab.agent.session import Session
from unweave.record.table import Table
from unweave.studies.inquiry import Inquiry, Knob, Outcome
from unweave.studies.registry import Study

MODELS = (0, 2, 4, 6)


@pytest.mark.parametrize("model", MODELS)
def test_the_one_input_that_does_it_is_found_and_confirmed(model):
    made, found = answered(ANY.replace("model 2", f"model {model}"))
    assert (found.answer, found.best) == ("yes", f"inputs={carrier(model)}")
    assert made.state().ended == f"inputs={carrier(model)} is confirmed"


@pytest.mark.parametrize("model", [1, 3, 5])
def test_where_the_only_one_does_harm_nothing_is_found(model):
    _, found = answered(ANY.replace("model 2", f"model {model}"))
    assert (found.answer, found.best) == ("no", None)


@pytest.mark.parametrize("order", ["listed", "random"])
def test_halving_needs_fewer_runs_than_trying_all(order):
    used = {}
    for name in ("adaptive", order):
        used[name] = []
        for model in (*MODELS, 1, 3):
            made, found = answered(ANY.replace("model 2", f"model {model}"), BuiltinPlanner(order=name))
            assert found.answer == ("no" if model % 2 else "yes")
            used[name].append(len(made.state().runs))
    assert sum(used["adaptive"]) < sum(used[order])


def test_nothing_is_confirmed_on_a_seed_that_was_screened():
    made, _ = answered(QUESTION)
    seeds = {"screen": set(), "confirm": set()}
    for entry in made.state().runs.values():
        seeds[entry["stage"]] |= set(entry["seeds"])
    assert seeds["screen"]
    assert seeds["confirm"]
    assert not seeds["screen"] & seeds["confirm"]


def test_the_same_question_twice_is_the_same_runs():
    first, second = answered(QUESTION)[0], answered(QUESTION)[0]
    assert first.journal.events() == second.journal.events()


def test_the_trees_split_down_to_single_candidates():
    plan = BuiltinPlanner().propose(QUESTION, view())
    (root,) = trees(plan)
    leaves = []

    def walk(node):
        if not node.parts:
            leaves.append(node.name)
        assert node.members == frozenset({node.name}) or node.members == frozenset().union(
            *(part.members for part in node.parts)
        )
        for part in node.parts:
            walk(part)

    walk(root)
    assert leaves == [arm.name for arm in plan.of_role("candidate")]


def test_a_group_is_not_searched_where_no_bar_says_what_it_reaches():
    plan = BuiltinPlanner().propose(QUESTION, view())
    effect = replace(plan.criterion.effect, bar=None)
    assert trees(replace(plan, criterion=replace(plan.criterion, effect=effect))) == []


def test_a_process_gives_back_what_it_saw_and_is_unsure_far_away():
    seen = [Place((0.0,), ("a",)), Place((0.1,), ("a",)), Place((1.0,), ("a",))]
    asked = [Place((0.05,), ("a",)), Place((0.5,), ("a",)), Place((0.5,), ("b",))]
    found = predict(seen, [1.0, 1.1, 0.0], [0.01, 0.01, 0.01], asked, 0.5)
    near, between, elsewhere = found.weights @ found.spreads
    assert near < between < elsewhere
    assert found.weights.sum() == pytest.approx(1.0)
    assert (found.weights @ found.means)[0] == pytest.approx(1.05, abs=0.05)
    assert found.above(0.5)[0] > 0.99


def test_probability_above_a_bar_is_what_drawing_gives():
    places = [Place((x,), ()) for x in (0.0, 0.3, 0.9)]
    found = predict(places, [0.0, 0.4, 0.2], [0.05] * 3, [Place((0.6,), ())], 0.3)
    generator = np.random.default_rng(0)
    which = generator.choice(len(found.weights), 200_000, p=found.weights)
    drawn = generator.normal(found.means[which, 0], found.spreads[which, 0])
    assert found.above(0.35)[0] == pytest.approx((drawn > 0.35).mean(), abs=0.005)


@dataclass(frozen=True)
class Dial:
    """A number on an ordered field of two places, with one window in which it does well."""

    place: str = "left"
    turn: int = 0
    null: bool = False
    first_seed: int = 0


def dial(config, run=None):
    generator = np.random.default_rng((config.turn, config.first_seed, config.place == "left"))
    effect = 0.0 if config.null or config.place == "left" else 1 / (1 + np.exp(-(config.turn - 12) / 1.5))
    harm = 0.0 if config.place == "left" else max(0.0, 0.04 * (config.turn - 15))
    row = {
        "seed": config.first_seed,
        "effect": effect + generator.normal(0, 0.03),
        "harm": harm + generator.normal(0, 0.01),
    }
    run.save_table(Table.from_records("outcome", [row]))


DIAL = Study(
    "dial",
    "Where does it work?",
    Dial,
    dial,
    inquiry=Inquiry(
        topics=("dial", "turn"),
        effect=Outcome("effect", "outcome", "effect", bar=0.8),
        harms=(Outcome("harm", "outcome", "harm", better="lower", bar=0.1),),
        knobs=(
            Knob("place", values=("left", "right"), searched=True),
            Knob("turn", values=tuple(range(21)), searched=True, ordered=True),
        ),
        null={"null": True},
        seeds=None,
    ),
)


def dialled(question, **options):
    hands = OwnHands({"dial": DIAL}, {"runs": 80.0})
    made = Session(BuiltinPlanner(**options), hands, Memory(), LabView({"dial": DIAL}, left={"runs": 80.0}, at_once=2))
    made.conduct(question)
    state = made.state()
    return len(state.runs), judge(state.plan, made.results(state, state.plan)), state


def test_the_window_on_an_ordered_field_is_found_in_few_runs():
    runs, found, state = dialled("Which turn of the dial works without harm?")
    turn = dict(state.plan.arm(found.best).settings)
    assert (found.answer, turn["place"]) == ("yes", "right")
    assert 14 <= turn["turn"] <= 17
    assert runs <= 45 < dialled("Which turn of the dial works without harm?", order="listed")[0]


def test_a_place_where_nothing_happens_is_given_up_without_trying_all_of_it():
    runs, found, state = dialled("Can any turn of the dial with place=left do it?")
    assert found.answer == "no"
    assert runs < 12
    assert all(entry["config"]["place"] == "left" for entry in state.runs.values())


def test_starting_points_are_spread_over_the_ordered_field():
    plan = BuiltinPlanner().propose("Which turn of the dial works?", LabView({"dial": DIAL}))
    first = spread_first(plan, plan.of_role("candidate"))
    places = [place(plan, plan.arm(name)) for name in first]
    assert [one.kind for one in places] == [("left",), ("right",)]
    assert places[0].ranks != places[1].ranks


def test_an_untried_candidate_without_neighbours_is_neither_hopeful_nor_ruled_out():
    plan = BuiltinPlanner().propose("Which turn of the dial works?", LabView({"dial": DIAL}))
    screening = Screening(plan, Results())
    assert {screening.probability(arm.name) for arm in plan.of_role("candidate")} == {0.2}


def test_with_nothing_to_search_everything_is_confirmed_at_once():
    made = session()
    made.conduct("Does way whole do better than half at removing inputs=4 from model 2?")
    first = next(event for event in made.journal.events() if event["kind"] == "step")
    assert {entry["arm"] for entry in first["runs"].values()} == {"whole", "half"}
    assert {entry["stage"] for entry in first["runs"].values()} == {"confirm"}


def test_a_candidate_that_cannot_be_run_is_not_confirmed():
    asked = BuiltinPlanner().propose(ANY, view())
    faulty = [
        replace(one, fault="it broke", values={})
        for one in _screened(asked, [arm.name for arm in asked.of_role("candidate", "group")])
    ]
    step = BuiltinPlanner().revise(asked, Results(tuple(faulty), at_once=2))
    assert isinstance(step, Stop)


def _screened(plan, names):
    from unweave.lab.agent.planner import Measured

    return [Measured(name, name, "screen", plan.stage("screen").seeds[:1]) for name in names]


def test_a_search_of_the_best_runs_contenders_on_the_same_text():
    made, found = answered(QUESTION)
    assert found.answer == "yes"
    again = [
        entry for entry in made.state().runs.values() if entry["stage"] == "screen" and entry["role"] == "candidate"
    ]
    by_arm = {}
    for entry in again:
        by_arm.setdefault(entry["arm"], []).extend(entry["seeds"])
    repeated = [seeds for seeds in by_arm.values() if len(seeds) > 1]
    assert all(set(one) <= set(two) or set(two) <= set(one) for one, two in itertools.combinations(repeated, 2))
