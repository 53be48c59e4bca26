from __future__ import annotations

import numpy as np
import pytest

from unweave.base.errors import UnweaveError
from unweave.read.stream import next_log_probabilities
from unweave.shapes.steering.gate import capability
from unweave.shapes.steering.interchange import Scan, interchange_scan
from unweave.shapes.steering.opened import dealt_questions, open_target_system
from unweave.shapes.steering.target_system import Answers, tokenised
from unweave.shapes.steering.tasks import TASKS, find_task
from unweave.stats.bootstrap import Interval

LETTERS = TASKS["letters-identity"]


def test_questions_ask_for_what_follows_and_never_show_it_as_asked():
    for name, kind in (("days-successor", 1), ("numbers-successor", 1), ("months-identity", 0)):
        task = find_task(name)
        for context in task.contexts(5):
            assert sorted(each.answer for each in context) == list(range(len(task.answers)))
            for each in context:
                place = task.values.index(each.value)
                assert task.answers[each.answer] == task.values[(place + kind) % len(task.values)]
                asked = task.frame.replace("{x}", each.value)
                assert each.text.endswith(asked)
                assert not each.before.count(asked)
                assert each.before.count(task.join) == task.shots
    assert find_task("numbers-successor").answers[0] == "two"
    arithmetic = find_task("days-arithmetic").contexts(1)[0][0]
    steps = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve").index(
        arithmetic.text.split()[4]
    )
    days = find_task("days-arithmetic").values
    assert days[arithmetic.answer] == days[(days.index(arithmetic.value) + steps + 1) % 7]


@pytest.mark.parametrize("name", list(TASKS))
def test_what_a_question_is_for_is_one_thing(name):
    dealt = dealt_questions(TASKS[name], 0)
    parts = [{each.text for each in part} for part in (dealt.scan, dealt.fit, dealt.base)]
    assert not parts[0] & parts[1]
    assert not parts[0] & parts[2]
    assert not parts[1] & parts[2]
    assert dealt_questions(TASKS[name], 1).scan == dealt.scan
    assert dealt_questions(TASKS[name], 1).fit != dealt.fit
    assert len(dealt.base) == 8
    assert len({each.answer for each in dealt.base}) > 1


def test_a_task_without_enough_contexts_says_so():
    with pytest.raises(UnweaveError, match="has only 12 contexts"):
        TASKS["days-arithmetic"].contexts(13)
    with pytest.raises(UnweaveError, match="no task is named 'day'"):
        find_task("day")


def test_the_gate_refuses_chance_and_stray_answers_with_the_numbers():
    right = np.arange(60) % 6
    sure = np.hstack([0.9 * np.eye(6)[right] + 0.01, np.full((60, 1), 0.04)])
    assert capability("t", sure, right).passed
    stray = np.hstack([0.3 * np.eye(6)[right], np.full((60, 1), 0.7)])
    found = capability("t", stray, right)
    assert found.accuracy.mean == 1
    assert not found.passed
    guess = np.hstack([np.tile(np.eye(6)[0], (60, 1)), np.zeros((60, 1))])
    found = capability("weekdays", guess, right)
    assert (found.accuracy.mean, found.chance) == (pytest.approx(1 / 6), pytest.approx(1 / 6))
    with pytest.raises(UnweaveError, match=r"cannot do weekdays: 0\.167 right of 60"):
        found.check()


def test_probabilities_of_spellings_add_up(target):
    answers = Answers(target, LETTERS.answers)
    question = tokenised(target, LETTERS.contexts(1)[0][3])
    logs = next_log_probabilities(target, [question.tokens], answers.tokens)
    whole = answers.probabilities(logs)[0]
    assert whole.sum() == pytest.approx(1, abs=1e-5)
    assert (whole >= 0).all()
    place = [answers.tokens.index(each) for each in answers.tokens[:1]]
    assert whole[0] >= np.exp(logs[0, place[0]]) * 0.999
    with pytest.raises(UnweaveError, match="begin with one token"):
        Answers(target, ["Tuesday", "Thursday"])


def test_a_state_from_the_last_depth_answers_as_its_own_question(target):
    system = open_target_system(target, LETTERS, 0, "last", [target.depth], bases=2)
    states, index = system.states(target.depth)
    assert len(states) == len(index) == 5 * 26
    assert system.bases(target.depth).shape == (2, states.shape[1])
    found = system.answers(target.depth, np.stack([states[:6]] * 2))
    np.testing.assert_allclose(found, np.stack([system.natural(target.depth)[:6]] * 2), atol=1e-4)
    with pytest.raises(UnweaveError, match="3 contexts"):
        system.answers(target.depth, np.stack([states[:6]] * 3))


def test_a_base_state_put_back_changes_nothing_at_either_token(target):
    for position in ("entity", "last"):
        system = open_target_system(target, LETTERS, 0, position, [2], bases=2)
        own = system.answers(2, system.bases(2)[:, None])
        questions = [tokenised(target, each) for each in dealt_questions(LETTERS, 0, 2).base]
        logs = next_log_probabilities(
            target, [each.tokens for each in questions], Answers(target, LETTERS.answers).tokens
        )
        np.testing.assert_allclose(own[:, 0], Answers(target, LETTERS.answers).probabilities(logs), atol=1e-4)


def test_interchanges_must_work_where_all_of_the_question_is_exchanged(target):
    """The last token's state at the last depth is the answer, whatever the target can do."""
    questions = [tokenised(target, each) for each in dealt_questions(LETTERS, 0).scan]
    answers = Answers(target, LETTERS.answers)
    logs = next_log_probabilities(target, [each.tokens for each in questions], answers.tokens)
    said = answers.probabilities(logs)[:, :-1].argmax(1)
    # What the target says is taken for right, so that an interchange of whole answers must succeed.
    taught = [type(each)(each.tokens, each.entity, int(value)) for each, value in zip(questions, said, strict=True)]
    scan = interchange_scan(target, taught[:12] if len(set(said[:12])) > 1 else taught, answers, bases=2, sources=3)
    assert scan.accuracy["last"][-1].mean == 1
    assert scan.accuracy["last"][-1].n == 6
    assert len(scan.accuracy["entity"]) == target.depth + 1


def test_layers_are_of_the_plateau_of_the_better_position_inside():
    def shares(*means):
        return tuple(Interval(each, 0, 1, 10) for each in means)

    scan = Scan({"entity": shares(1, 0.8, 0.9, 0.82, 0.1, 0), "last": shares(0, 0, 0, 0.1, 0.9, 1)})
    assert scan.place() == ("entity", (2, 3))
    assert scan.place(layers=1) == ("entity", (2,))
    assert scan.place(position="last") == ("last", (4,))
    with pytest.raises(UnweaveError, match="no interchange at the last token"):
        Scan({"entity": shares(1, 1, 1), "last": shares(1, 0, 1)}).place(position="last")
