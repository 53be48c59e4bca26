from __future__ import annotations

import numpy as np
import pytest

from unweave.base.errors import UnweaveError
from unweave.shapes.manifolds.distances import value_distances
from unweave.shapes.steering.curve import Curve, dealt, path_length
from unweave.shapes.steering.system import layout


def test_a_line_is_told_from_a_circle_and_both_keep_their_places():
    line = layout(value_distances("linear", np.array([2.0, 3, 7, 0])))
    assert (line.period, line.step) == (0, 1)
    np.testing.assert_allclose(line.places, [0, 1, 5, -2])
    ring = layout(value_distances("circular", np.arange(7.0), period=7))
    assert ring.period == pytest.approx(7)
    np.testing.assert_allclose(ring.places, np.arange(7), atol=1e-9)


def test_a_circle_that_is_counted_in_another_order_is_found():
    """Steps of 5 round a circle of 11, as a network of modular addition may hold its numbers."""
    known = value_distances("circular", np.arange(11.0) * 5, period=11)
    found = layout(known)
    apart = np.abs(found.places[:, None] - found.places)
    np.testing.assert_allclose(np.minimum(apart, found.period - apart), known, atol=1e-9)


def test_what_is_neither_a_line_nor_a_circle_is_refused():
    star = np.full((5, 5), 2.0) - 2 * np.eye(5)
    with pytest.raises(UnweaveError, match="neither of a line nor"):
        layout(star)
    with pytest.raises(UnweaveError, match="distance 0"):
        layout(np.zeros((4, 4)))


def test_ways_round_a_circle_are_the_short_ones_and_both_where_they_are_equal():
    ring = layout(value_distances("circular", np.arange(6.0), period=6))
    assert ring.offsets(1, 0) == pytest.approx([-1])
    assert sorted(ring.offsets(0, 3)) == pytest.approx([-3, 3])
    np.testing.assert_allclose(ring.along(1, -1), [1, 0, 5, 4, 3, 2], atol=1e-6)
    line = layout(value_distances("linear", np.arange(4.0)))
    assert line.offsets(3, 1) == [-2]
    np.testing.assert_allclose(line.along(3, -2), [3, 2, 1, 0])


def test_a_curve_hits_its_points_and_goes_the_short_way_round():
    angle = np.arange(8) / 8 * 2 * np.pi
    points = np.stack([np.cos(angle), np.sin(angle)], 1)
    ring = Curve(angle, points, 2 * np.pi)
    np.testing.assert_allclose(ring.at(angle), points, atol=1e-12)
    np.testing.assert_allclose(ring.at(angle + 2 * np.pi), points, atol=1e-12)
    short = ring.between(7, 1, np.linspace(0, 1, 50))
    assert path_length(ring.at(short)) == pytest.approx(np.pi / 2, rel=1e-2)
    line = Curve(np.array([2.0, 0, 1]), np.array([[4.0], [0], [1]]))
    np.testing.assert_allclose(line.at(np.array([-5.0, 0, 1, 2, 9]))[:, 0], [0, 0, 1, 4, 4], atol=1e-12)
    assert len(ring.samples(10)) == 81
    with pytest.raises(UnweaveError, match="two points have the value 0"):
        Curve(np.array([0.0, 0, 1, 2]), np.eye(4), 2 * np.pi)


@pytest.mark.parametrize("period", [0.0, 7.0])
def test_dealt_knots_are_in_another_order_and_not_the_same_turned_or_backwards(period):
    knots = np.arange(5.0)
    rings = set()
    for seed in range(200):
        order = np.argsort(dealt(knots, np.random.default_rng(seed), period)).tolist()
        if period:
            start = order.index(0)
            order = order[start:] + order[:start]
        rings.add(tuple(order))
        # The other direction is the same way.
        rings.add(tuple([order[0], *order[:0:-1]] if period else order[::-1]))
    assert (0, 1, 2, 3, 4) not in rings
    assert len(rings) == (22 if period else 118)
    with pytest.raises(UnweaveError, match="no other order"):
        dealt(np.arange(3.0), np.random.default_rng(0), period)
