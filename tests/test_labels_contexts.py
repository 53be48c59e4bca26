from __future__ import annotations

import numpy as np

from unweave.read.harvest.value import Example
from unweave.read.labels.contexts import OUTSIDE, REACH, contexts_at, contexts_of, highlights

WINDOWS = np.arange(100, 150).reshape(2, 25)


def example(window, position, context=20):
    first, last = max(0, position - context), min(25, position + context + 1)
    tokens = WINDOWS[window, first:last]
    return Example(0, window, position, position - first, 0, False, tokens, tokens / 200, tokens / 10)


def test_a_place_and_an_example_of_it_have_one_context():
    for context in (3, 20):
        made = contexts_of([example(0, 0, context), example(1, 24, context), example(1, 7, context)])
        from_windows = contexts_at(WINDOWS, np.array([0, 49, 32]))
        assert (made.position == from_windows.position).all()
        assert (made.centre == from_windows.centre).all()
        near = slice(REACH - context, REACH + context + 1)
        assert (made.tokens[:, near] == from_windows.tokens[:, near]).all()
    assert (contexts_at(WINDOWS, np.array([0])).tokens[0, :REACH] == OUTSIDE).all()


def test_moving_a_context_looks_from_another_of_its_tokens():
    made = contexts_at(WINDOWS, np.array([10, 30]))
    moved = made.moved(np.array([1, 0]), np.array([2, -10]))
    straight = contexts_at(WINDOWS, np.array([32, 0]))
    assert (moved.centre == straight.centre).all()
    assert (moved.position == straight.position).all()
    # What lies beyond the reach of the first context is not known.
    assert (moved.tokens[0, : 2 * REACH - 1] == straight.tokens[0, : 2 * REACH - 1]).all()
    assert (moved.tokens[0, -2:] == OUTSIDE).all()


def test_numbers_by_token_stand_where_the_tokens_stand():
    examples = [example(0, 3), example(1, 20)]
    values = highlights([one.tokens for one in examples], examples)
    tokens = contexts_of(examples).tokens
    assert (values[tokens != OUTSIDE] == tokens[tokens != OUTSIDE]).all()
    assert (values[tokens == OUTSIDE] == 0).all()
