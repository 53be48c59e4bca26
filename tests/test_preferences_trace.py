from __future__ import annotations

import numpy as np
import pytest
from preference_world import evidence, random_world

from unweave.base.errors import UnweaveError
from unweave.preferences.evidence import Prediction
from unweave.preferences.predictors import predict
from unweave.preferences.trace import hits, rows_to_remove, trace_change

NAMES = ("grows", "shrinks")
SHARES = np.array([[4.0, 0.0], [1.0, -6.0], [-2.0, -1.0], [3.0, 1.0], [0.0, -2.0]], np.float32)


@pytest.fixture
def made():
    change = SHARES.mean(0)
    return Prediction("mean-difference", NAMES, change, change, change, SHARES)


def test_pushes_add_up_to_the_change_and_turn_with_it(made):
    grows, shrinks = (trace_change(made, name) for name in NAMES)
    assert grows.change == pytest.approx(6 / 5)
    assert grows.pushes.sum() == pytest.approx(6 / 5)
    assert list(grows.order) == [0, 3, 1, 4, 2]
    assert shrinks.change == pytest.approx(-8 / 5)
    assert shrinks.pushes * 5 == pytest.approx([0, 6, 1, -1, 2])
    assert list(shrinks.order) == [1, 4, 2, 0, 3]
    assert (grows.direction, shrinks.direction) == (1, -1)


def test_half_of_what_pushes_is_covered_by_the_fewest_rows(made):
    grows, shrinks = (trace_change(made, name) for name in NAMES)
    assert grows.concentration() == pytest.approx([4 / 8, 7 / 8, 1, 1, 1])
    assert list(grows.covering()) == [0]
    assert list(grows.covering(0.6)) == [0, 3]
    assert list(grows.covering(1.0)) == [0, 3, 1]
    assert list(shrinks.covering()) == [1]
    nothing = trace_change(Prediction("x", ("a",), *(np.zeros(1, np.float32),) * 3, np.zeros((4, 1), np.float32)), "a")
    assert len(nothing.covering()) == 0
    assert not nothing.concentration().any()
    with pytest.raises(UnweaveError, match="share of 0 is not above 0"):
        grows.covering(0)


def test_leaving_a_topic_out_is_the_mean_over_the_other_rows(made):
    topics = ["x", "y", "x", "y", "y"]
    assert trace_change(made, "grows").without(topics) == pytest.approx({"x": 4 / 3, "y": 1.0})
    assert trace_change(made, "shrinks").without(topics) == pytest.approx({"x": -7 / 3, "y": -1 / 2})
    assert np.isnan(trace_change(made, "grows").without(["x"] * 5)["x"])
    with pytest.raises(UnweaveError, match="4 topics for 5 rows"):
        trace_change(made, "grows").without(topics[:4])


def test_rows_to_remove_push_the_way_of_each_change(made):
    assert list(rows_to_remove(made, ["grows"], 0.4)) == [0, 3]
    assert list(rows_to_remove(made, ["shrinks"], 0.4)) == [1, 4]
    # Row 1 pushes both, 1 + 6; row 0 one, 4.
    assert list(rows_to_remove(made, NAMES, 0.4)) == [1, 0]
    assert list(rows_to_remove(made, ["grows"], 0.99)) == [0, 3, 1]
    assert list(rows_to_remove(made, ["grows"], 0.4, direction=-1)) == [2]
    assert list(rows_to_remove(made, ["grows"], 0.001)) == [0]
    with pytest.raises(UnweaveError, match="column 'grow' was not predicted; nearest: 'grows'"):
        rows_to_remove(made, ["grow"], 0.4)
    with pytest.raises(UnweaveError, match="fraction of 5 is not between 0 and 1"):
        rows_to_remove(made, ["grows"], 5)
    with pytest.raises(UnweaveError, match="no column is named"):
        rows_to_remove(made, [], 0.1)


def test_hits_by_hand():
    found = hits(np.array([4, 2, 0, 1, 3]), [2, 1])
    assert found.precision == 0.5
    assert found.average_precision == pytest.approx((1 / 2 + 2 / 4) / 2)
    assert (found.random, found.k, found.planted) == (0.4, 2, 2)
    assert hits(np.array([4, 2, 0, 1, 3]), [2, 1], k=4).precision == 0.5
    assert hits(np.arange(5), [0, 1]).average_precision == 1
    with pytest.raises(UnweaveError, match="1 planted rows, of which 1 are not ranked"):
        hits(np.arange(5), [9])
    with pytest.raises(UnweaveError, match="k 6 is not within 1 and the 5 rows"):
        hits(np.arange(5), [1], k=6)


@pytest.mark.parametrize("name", ["mean-difference", "tilt"])
def test_planted_rows_are_found_and_taking_them_out_undoes_the_change(name):
    # What the target does in 3 of 100 replies, and all else is rated at random.
    one = evidence(random_world(4), 600, 4, null=True)
    generator = np.random.default_rng(0)
    for side in (one.chosen, one.rejected, one.reference):
        side.values[:, 3] = generator.random(len(side)) < 0.03
    planted = generator.permutation(600)[:30]
    one.chosen.values[planted, 3], one.rejected.values[planted, 3] = 1, 0
    said = predict(one, [name], resamples=2)[0]
    traced = trace_change(said, "column-3")
    found = hits(traced.order, planted)
    assert found.precision > 0.6 > 10 * found.random
    assert 20 <= len(traced.covering()) <= 100
    kept = np.setdiff1d(np.arange(600), rows_to_remove(said, ["column-3"], 0.05))
    assert said.shares[kept, 3].mean() < 0.5 * traced.change
