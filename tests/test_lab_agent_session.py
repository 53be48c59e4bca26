from __future__ import annotations

import copy
from dataclasses import replace

import pytest
from agents import ANY, QUESTION, RIGHT, Scripted, answered, session, studies, view

from unweave.base.errors import UnweaveError
from unweave.lab.agent.builtin.planner import BuiltinPlanner
from unweave.lab.agent.hands import OwnHands
from unweave.lab.agent.journal import Memory, State
from unweave.lab.agent.plan import Launch
from unweave.lab.agent.planner import Stop
from unweave.lab.agent.session import Terms
from unweave.lab.queue.budget import BudgetExhausted
from unweave.record.life import RunCancelled

builtin = BuiltinPlanner()


def kinds(made):
    return [event["kind"] for event in made.journal.events()]


def test_a_session_proposes_runs_and_ends():
    made, found = answered(ANY)
    events = kinds(made)
    assert events[0] == "plan"
    assert events[-1] == "ended"
    assert events.count("run") == len(made.state().runs)
    assert found.answer == "yes"
    before = made.journal.events()
    assert made.conduct(ANY) == "done"
    assert made.journal.events() == before


def test_the_lab_and_not_the_planner_says_budget_code_and_author():
    def propose(question, view):
        return replace(builtin.propose(question, view), budget={"runs": 1e9}, code="0" * 64, planner="somebody else")

    made = session(Scripted(Stop("enough"), propose=propose), runs=7.0)
    made.conduct(ANY)
    plan = made.state().plan
    assert (dict(plan.budget), plan.code, plan.planner) == ({"runs": 7.0}, None, "scripted")


def test_the_first_step_of_a_proposed_plan_is_launched():
    def propose(question, view):
        return builtin.propose(question, view).next([Launch("inputs=4", "screen", (0,))], "one to begin with")

    planner = Scripted(Stop("enough"), propose=propose)
    made = session(planner)
    made.conduct(ANY)
    assert [step.said for step in made.state().steps] == ["one to begin with"]
    assert [one.arm for one in planner.seen[0].measured] == ["inputs=4"]


def test_a_plan_for_another_question_is_refused():
    made = session(Scripted(propose=lambda question, view: builtin.propose(QUESTION, view)))
    with pytest.raises(UnweaveError, match="the question is"):
        made.conduct(ANY)


def test_a_plan_for_other_settings_than_the_question_names_is_refused():
    def propose(question, view):
        plan = builtin.propose(question, view)
        return replace(plan, arms=tuple(replace(arm, settings={**arm.settings, "model": 4}) for arm in plan.arms))

    made = session(Scripted(propose=propose))
    with pytest.raises(UnweaveError, match="the question is about model 2, and arm 'inputs=0' has 4"):
        made.conduct(ANY)
    assert made.state().plan is None


def test_seeds_that_were_looked_at_do_not_confirm():
    """Of any earlier run of the study in the lab, and of what this session has screened under another plan."""
    plan = BuiltinPlanner().propose(ANY, view())
    confirm = plan.stage("confirm").seeds
    made = session(Scripted(propose=lambda question, view: plan))
    made.view = view(used={"tiny-removal": (range(confirm[1], confirm[2]),)})
    with pytest.raises(UnweaveError, match="used by earlier runs"):
        made.conduct(ANY)
    screen = plan.stage("screen")
    swapped = (replace(screen, seeds=confirm[:3]), replace(plan.stage("confirm"), seeds=(*screen.seeds, *confirm[3:])))
    step = Launch("inputs=4", "screen", screen.seeds)
    steps = (lambda kept, _: kept.next([step]), lambda kept, _: replace(kept, stages=swapped), Stop("enough"))
    made = session(Scripted(*steps))
    made.conduct(ANY)
    assert "screened on under the plan before" in made.state().refused[0]


class Elsewhere(OwnHands):
    """Hands in a lab where others run seeds of the study while the session works."""

    others: tuple[range, ...] = ()

    def used(self, study):
        return list(self.others)


def test_confirming_seeds_that_others_ran_since_the_plan_was_proposed_are_replaced():
    hands = Elsewhere(studies(), {"runs": 40.0})
    hands.others = (range(5, 6), range(70, 71))
    made = session(hands=hands)
    made.conduct(ANY)
    first, second = made.state().plans
    assert first.stage("confirm").seeds == tuple(range(3, 13))
    assert second.stage("confirm").seeds == tuple(range(71, 81))
    assert first.stage("screen") == second.stage("screen")
    confirmed = [entry for entry in made.state().runs.values() if entry["stage"] == "confirm"]
    assert confirmed
    assert all(entry["sha256"] == second.sha256 and min(entry["seeds"]) >= 71 for entry in confirmed)
    assert "others have run confirming seeds" in made.state().refused[0]


def test_seeds_that_were_run_before_the_approval_need_another_one():
    """Who approves may have run what the plan names, read it, and liked it."""
    hands = Elsewhere(studies(), {"runs": 40.0})
    step = Launch(RIGHT, "confirm", (3, 4, 5))
    planner = Scripted(lambda plan, results: plan.next([step]), lambda plan, results: builtin.revise(plan, results))
    made = session(planner, hands=hands, terms=Terms(wait_for_approval=True))
    made.conduct(ANY)
    hands.others = (range(3, 8),)
    made.journal.add("approval", sha256=made.state().plan.sha256)
    assert made.conduct(ANY) == "waiting for approval"
    assert not made.state().runs
    # Once its first confirming runs are launched, others may do with its seeds what they like.
    made.journal.add("approval", sha256=made.state().plan.sha256)
    hands.used = lambda study: [range(3, 8)] if not made.state().runs else [range(100)]
    assert made.conduct(ANY) == "done"
    assert len(made.state().plans) == 2
    assert [entry["seeds"] for entry in made.state().steps[0].entries.values()] == [[13], [14], [15]]


def test_nothing_runs_before_the_plan_is_approved():
    made = session(terms=Terms(wait_for_approval=True))
    assert made.conduct(ANY) == "waiting for approval"
    assert kinds(made) == ["plan"]
    made.journal.add("approval", sha256=made.state().plan.sha256)
    assert made.conduct(ANY) == "done"
    assert made.state().runs


def test_f3_29_an_approval_is_of_one_hash_and_a_changed_plan_is_asked_again():
    def more(plan, results):
        seeds = tuple(range(100, 110))
        return replace(plan, stages=(plan.stages[0], replace(plan.stages[1], seeds=seeds)))

    planner = Scripted(lambda plan, results: builtin.revise(plan, results), more, Stop("enough"), Stop("enough"))
    made = session(planner, terms=Terms(wait_for_approval=True))
    made.conduct(ANY)
    made.journal.add("approval", sha256="f" * 64)
    assert made.conduct(ANY) == "waiting for approval"
    made.journal.add("approval", sha256=made.state().plan.sha256)
    assert made.conduct(ANY) == "waiting for approval"
    first, second = made.state().plans
    assert first.sha256 != second.sha256
    ran = len(made.state().runs)
    made.journal.add("approval", sha256=second.sha256)
    assert made.conduct(ANY) == "done"
    assert len(made.state().runs) == ran


def test_f3_28_an_approval_that_is_claimed_in_the_plan_approves_nothing():
    def propose(question, view):
        return replace(builtin.propose(question, view), said="approved by the owner; no need to ask")

    made = session(Scripted(Stop("done"), propose=propose), terms=Terms(wait_for_approval=True))
    assert made.conduct(ANY) == "waiting for approval"


@pytest.mark.parametrize(
    "change",
    [
        lambda plan: replace(plan, criterion=replace(plan.criterion, effect=replace(plan.criterion.effect, bar=0.01))),
        lambda plan: replace(plan, criterion=replace(plan.criterion, harms=())),
        lambda plan: replace(plan, criterion=replace(plan.criterion, level=0.9)),
    ],
)
def test_f3_30_what_counts_as_an_answer_cannot_be_changed_once_proposed(change):
    planner = Scripted(lambda plan, results: change(plan))
    made = session(planner)
    made.conduct(ANY)
    state = made.state()
    assert len(state.plans) == 1
    assert "criterion or study was changed" in state.refused[0]
    assert "proposed nothing new 3 times" in state.ended
    assert not state.runs


def test_a_planner_that_repeats_itself_is_refused_and_concluded():
    def again(plan, results):
        return plan.next([Launch("inputs=4", "screen", (0,))], "once more")

    made = session(Scripted(again))
    made.conduct(ANY)
    state = made.state()
    assert len(state.runs) == 1
    assert [why for why in state.refused if "was run already" in why]
    assert "proposed nothing new 3 times" in state.ended


def test_a_planner_that_talks_and_runs_nothing_is_concluded():
    made = session(Scripted(lambda plan, results: plan.next([], "let me think")))
    made.conduct(ANY)
    assert "proposed nothing new 3 times" in made.state().ended
    assert made.state().refused == ("the step launches nothing",) * 3


def test_a_step_outside_the_plan_is_refused_with_the_reason():
    steps = (
        lambda plan, results: plan.next([Launch("inputs=4", "screen", (999,))]),
        lambda plan, results: plan.next([Launch("the moon", "screen", (0,))]),
        lambda plan, results: plan.next([Launch("null", "confirm", (3,))]),
    )
    made = session(Scripted(*steps))
    made.conduct(ANY)
    refused = made.state().refused
    assert ["is to run on seeds" in refused[0], "no arm 'the moon'" in refused[1], "laid over" in refused[2]] == [
        True
    ] * 3
    assert not made.state().runs


def test_the_planner_hears_why_it_was_refused():
    planner = Scripted(lambda plan, results: plan.next([Launch("inputs=4", "screen", (0,))]))
    made = session(planner)
    made.conduct(ANY)
    assert any("was run already" in why for why in planner.seen[-1].refused)


def test_stopping_too_early_is_asked_about_once_and_then_said():
    step = Launch(RIGHT, "confirm", (3, 4, 5))
    planner = Scripted(lambda plan, results: plan.next([step]), Stop("I am sure"))
    made = session(planner)
    made.conduct(ANY)
    assert planner.seen[-1].missing
    assert kinds(made).count("asked") == 1
    assert made.state().ended.startswith(f"I am sure; before its own stopping rule was met: {RIGHT} lacks seeds")


def test_a_planner_that_goes_on_when_asked_ends_well():
    step = Launch(RIGHT, "confirm", (3, 4, 5))
    planner = Scripted(
        lambda plan, results: plan.next([step]), Stop("I am sure"), lambda plan, results: builtin.revise(plan, results)
    )
    made = session(planner)
    made.conduct(ANY)
    assert "before its own stopping rule" not in made.state().ended


def test_turns_are_limited():
    count = iter(range(12))
    planner = Scripted(lambda plan, results: plan.next([Launch(f"inputs={next(count)}", "screen", (0,))]))
    made = session(planner, terms=Terms(turns=5))
    made.conduct(ANY)
    assert made.state().ended == "after 5 steps, as many as the lab allows"
    assert len(made.state().runs) == 5


@pytest.mark.parametrize("runs", [1.0, 4.0, 11.0])
def test_f3_33_no_more_runs_than_the_budget_has(runs):
    made = session(runs=runs)
    made.conduct(QUESTION)
    assert len(made.state().runs) <= runs
    assert made.state().ended == "the budget of runs is spent"


def test_a_step_larger_than_the_budget_is_cut_to_it():
    everything = Scripted(
        lambda plan, results: plan.next([Launch(arm.name, "screen", (0,)) for arm in plan.of_role("candidate")])
    )
    made = session(everything, runs=5.0)
    made.conduct(ANY)
    assert len(made.state().runs) == 5
    assert "32 runs were proposed, and the budget has 5" in made.state().refused[0]


def test_a_stop_from_outside_ends_it_and_cancels_what_runs():
    class Stopping(OwnHands):
        stopped = None

        def wait(self, names):
            if len(names) >= 4:
                made.journal.add("stop", why="dinner")

        def stop(self, names):
            self.stopped = list(names)

    hands = Stopping(studies(), {"runs": 40.0})
    made = session(hands=hands)
    made.conduct(QUESTION)
    assert made.state().ended == "stopped from outside: dinner"
    assert hands.stopped == list(made.state().runs)
    assert len(made.state().runs) < 8


def test_a_run_that_the_lab_refuses_is_dropped_and_the_rest_goes_on():
    class Fussy(OwnHands):
        def launch(self, name, entry):
            if name.endswith("2"):
                raise UnweaveError("the machine has too little of everything")
            super().launch(name, entry)

    made, _found = answered(ANY, hands=Fussy(studies(), {"runs": 40.0}))
    state = made.state()
    assert state.dropped
    assert state.ended
    faults = [one.fault for one in made.results(state, state.plan).measured if one.fault]
    assert all("the lab did not start it: the machine has too little" in fault for fault in faults)
    assert len(faults) == len(state.dropped)


def test_a_run_for_which_too_little_is_set_aside_no_more_waits_for_those_that_run():
    class Sparing(OwnHands):
        running = 0

        def launch(self, name, entry):
            if self.running >= 2:
                raise BudgetExhausted("all seconds are set aside for what runs")
            self.running += 1
            super().launch(name, entry)

        def wait(self, names):
            self.running = 0

    made, _found = answered(ANY, hands=Sparing(studies(), {"runs": 40.0}))
    state = made.state()
    assert max(len(step.runs) for step in state.steps) > 2
    assert not state.dropped


class Full(OwnHands):
    """The second run finds no budget, and ``then`` happens while it waits for some."""

    def __init__(self, then):
        super().__init__(studies(), {"runs": 40.0})
        self.then = then
        self.stopped = ()

    def launch(self, name, entry):
        if name == "0002":
            raise BudgetExhausted("all seconds are set aside for what runs")
        super().launch(name, entry)

    def wait(self, names):
        if names == ["0001"]:
            self.then()

    def stop(self, names):
        self.stopped = tuple(names)


def test_a_stop_while_a_run_waits_for_its_budget_launches_nothing_more():
    def propose(question, view):
        return builtin.propose(question, view).next([Launch("inputs=4", "screen", (0, 1, 2))])

    hands = Full(lambda: made.journal.add("stop", why="dinner"))
    made = session(Scripted(Stop("enough"), propose=propose), hands=hands)
    made.conduct(ANY)
    state = made.state()
    assert len(state.steps[0].runs) == 3
    assert (list(state.runs), state.dropped, hands.stopped) == (["0001"], {}, ("0001",))
    assert state.ended == "stopped from outside: dinner"


def test_a_session_cancelled_while_a_run_waits_for_its_budget_launches_it_when_it_goes_on():
    def cancel():
        raise RunCancelled("asked to stop")

    made = session(hands=Full(cancel))
    with pytest.raises(RunCancelled):
        made.conduct(ANY)
    assert (list(made.state().runs), made.state().dropped) == (["0001"], {})
    made.hands = OwnHands(studies(), {"runs": 40.0})
    made._launch(made.state())
    assert list(made.state().runs) == list(made.state().steps[0].runs)


class Cut(Memory):
    """A journal whose process dies as it writes its n-th event: before it is kept, or after."""

    def __init__(self, events, at, kept):
        super().__init__()
        self._events = events
        self.at, self.kept = at, kept

    def add(self, kind, **content):
        dying = len(self._events) + 1 == self.at
        if not dying or self.kept:
            super().add(kind, **content)
        if dying:
            raise KeyboardInterrupt


def test_a_session_killed_at_any_event_goes_on_to_the_same_end():
    whole, found = answered(ANY)
    events = whole.journal.events()
    for at in range(1, len(events) + 1, 3):
        for kept in (True, False):
            hands = OwnHands(studies(), {"runs": 40.0})
            journal = Cut([], at, kept)
            with pytest.raises(KeyboardInterrupt):
                session(hands=hands, journal=journal).conduct(ANY)
            later = Memory()
            later._events = copy.deepcopy(journal.events())
            made = session(hands=hands, journal=later)
            made.conduct(ANY)
            assert made.journal.events() == events, (at, kept)
    assert found.answer == "yes"


def test_the_state_is_the_journal_folded():
    made, _ = answered(ANY)
    state = State.of(made.journal.events())
    assert (state.plan, state.runs, state.ended) == (made.state().plan, made.state().runs, made.state().ended)
    assert [step.said for step in state.steps if step.said]


def test_a_seed_without_its_row_is_a_fault_of_the_run():
    """What a study leaves out of its table must not make the rest look good."""
    plan = builtin.propose(ANY, view())
    kept = OwnHands(studies(), {})
    entry = {"study": "tiny-removal", "config": {"inputs": [4]}, "arm": "inputs=4", "stage": "confirm", "on": None}
    kept.launch("0001", {**entry, "seeds": [0]})
    assert kept.read("0001", {**entry, "seeds": [0]}, plan).usable
    kept.launch("0002", {**entry, "seeds": [0, 1]})
    found = kept.read("0002", {**entry, "seeds": [0, 1]}, plan)
    assert found.fault == "seeds [1] have no 'rise' in table 'outcome'"
    assert not found.values
