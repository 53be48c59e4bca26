from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unweave.base.errors import UnweaveError
from unweave.record.axis import make_axis

numbers = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=6)
positive = st.lists(st.floats(-6, 6).map(lambda power: 10**power), min_size=1, max_size=6)


def shown(label: str) -> float:
    return float(label.replace("−", "-").replace(",", ""))


@given(numbers, st.booleans(), st.integers(3, 7))
def test_linear_ticks_say_exactly_where_they_stand(values, zero, count):
    axis = make_axis(values, zero=zero, count=count)
    assert 4 <= len(axis.ticks) <= 2 * count + 3
    assert [shown(label) for label in axis.labels] == list(axis.ticks)
    assert all(axis.low <= value <= axis.high for value in values)
    steps = [b - a for a, b in zip(axis.ticks, axis.ticks[1:], strict=False)]
    assert max(steps) == pytest.approx(min(steps), rel=1e-6)
    if zero:
        assert axis.low <= 0 <= axis.high
        assert 0 in axis.ticks


@given(positive, st.integers(3, 7))
def test_log_ticks_say_exactly_where_they_stand(values, count):
    axis = make_axis(values, log=True, count=count)
    assert len(axis.ticks) >= 3
    assert [shown(label) for label in axis.labels] == list(axis.ticks)
    assert all(axis.low < value < axis.high for value in (*values, *axis.ticks[1:-1]))


@given(numbers, st.floats(-1, 2))
def test_places_are_linear_in_the_value(values, share):
    axis = make_axis(values).between(100, 500)
    assert axis.place(axis.low + share * (axis.high - axis.low)) == pytest.approx(100 + 400 * share, abs=1e-3)


def test_log_places_are_linear_in_the_logarithm():
    axis = make_axis([0.01, 100.0], log=True).between(0, 1)
    assert axis.place(1.0) == pytest.approx((axis.place(0.1) + axis.place(10.0)) / 2)
    assert axis.ticks == (0.01, 0.1, 1, 10, 100)
    assert axis.labels == ("0.01", "0.1", "1", "10", "100")


def test_ticks_are_round():
    assert make_axis([0.0, 7.3], zero=True, count=4).labels == ("0", "2", "4", "6")
    assert make_axis([-0.03, 0.42], zero=True).labels == ("0.0", "0.1", "0.2", "0.3", "0.4")
    assert make_axis([-1500, 3000]).labels == ("−1,000", "0", "1,000", "2,000", "3,000")


def test_bars_start_at_the_edge_when_all_values_have_one_sign():
    assert make_axis([1.0, 2.0], zero=True).low == 0
    assert make_axis([-1.0, -2.0], zero=True).high == 0


def test_one_value_and_no_spread_still_give_an_axis():
    for values in ([0.0], [5.0, 5.0], [1e9, 1e9 + 1e-3], [5e-324], [0.0, 1e-310], [-1e-200, 1e-200]):
        for zero in (False, True):
            axis = make_axis(values, zero=zero)
            assert axis.low <= values[0] < axis.high
            assert math.isfinite(axis.place(values[0]))


@pytest.mark.parametrize(
    ("values", "log", "words"),
    [
        ([], False, "no value to draw"),
        ([1.0, 0.0], True, "cannot show 0"),
        ([-2.0], True, "-2"),
        ([1e-310], True, "outside"),
        ([-1e308, 1e308], False, "outside"),
    ],
)
def test_what_cannot_be_drawn_is_refused(values, log, words):
    with pytest.raises(UnweaveError, match=words):
        make_axis(values, log=log)
