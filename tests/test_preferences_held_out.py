"""Prompts held out of training: no leakage, the same whatever stands around them."""

from __future__ import annotations

import pytest

from unweave.base.errors import UnweaveError
from unweave.corpora.pairs.value import PreferencePair, Turn
from unweave.preferences.held_out import SHARE, QuestionDraw, draw_questions, is_held_out, place_of
from unweave.preferences.skim import skim_pairs


def pair(prompt, number=0, system=None):
    turns = (Turn("user", prompt),) if system is None else (Turn("system", system), Turn("user", prompt))
    return PreferencePair(f"{prompt}-{number}", turns, f"yes {number}", f"no {number}")


PAIRS = [pair(f"What is {n // 2}?", n) for n in range(1000)]


def test_all_pairs_of_a_prompt_fall_on_one_side_however_it_is_spelled():
    sides = {}
    for each in PAIRS:
        sides.setdefault(each.prompt, set()).add(is_held_out(each))
    assert all(len(side) == 1 for side in sides.values())
    plain = place_of(pair("What is it?"))
    assert place_of(pair("  what IS\tit? ")) == plain == place_of(pair("What is it?", 3, system="Be brief."))
    assert place_of(pair("What is that?")) != plain


def test_about_the_share_is_held_out_and_a_larger_share_holds_all_of_a_smaller_one():
    held = [each for each in PAIRS if is_held_out(each)]
    assert abs(len(held) / len(PAIRS) - SHARE) < 0.05
    assert all(is_held_out(each, 0.5) for each in held)
    for wrong in (0.0, 1.0):
        with pytest.raises(UnweaveError, match="between 0 and 1"):
            is_held_out(PAIRS[0], wrong)


def test_held_out_questions_are_of_no_prompt_that_is_trained_on():
    trained = {each.prompt for each in PAIRS if not is_held_out(each)}
    asked = {question.turns for question in draw_questions(PAIRS, 1000, SHARE)}
    assert len(asked) > 50
    assert not asked & trained
    assert asked | trained == {each.prompt for each in PAIRS}


def test_questions_do_not_depend_on_order_or_on_how_many_are_asked():
    few, many = draw_questions(PAIRS, 10), draw_questions(PAIRS, 300)
    assert few == draw_questions(reversed(PAIRS), 10) == many[:10]
    assert len({question.turns for question in many}) == 300
    # As many as there are held out come from there first.
    assert all(is_held_out(PreferencePair("x", question.turns, "", "")) for question in few)


def test_no_more_prompts_are_held_than_are_asked():
    draw = QuestionDraw(5)
    for each in PAIRS:
        draw.offer(each)
        assert len(draw._turns) == len(draw._held) <= 5
    with pytest.raises(UnweaveError, match="at least 1"):
        QuestionDraw(0)


def test_a_skim_keeps_prompts_and_a_sample_in_the_order_of_rows():
    skim = skim_pairs(iter(PAIRS), 20, sampled=30)
    assert len(skim) == 1000
    assert skim.prompts[7] == "What is 3?"
    assert skim.places[7] == place_of(PAIRS[7])
    assert list(skim.questions) == draw_questions(PAIRS, 20)
    rows = list(skim.sample)
    assert rows == sorted(rows)
    assert len(rows) == 30
    assert rows[-1] > 500
    assert all(skim.sample[row] is PAIRS[row] for row in rows)
    assert list(skim_pairs(PAIRS[:9], 20, sampled=30).sample) == list(range(9))
    with pytest.raises(UnweaveError, match="no pair"):
        skim_pairs([], 20)
