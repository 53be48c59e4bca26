from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unweave.base.errors import UnweaveError
from unweave.lab.sweeps.halving import Halving, ranked
from unweave.lab.sweeps.seeding import Seeding


@given(st.integers(2, 500), st.integers(2, 6), st.floats(1.1, 10), st.integers(1, 4), st.integers(3, 9))
def test_no_seed_is_used_twice_and_the_last_rung_has_enough_to_compare(arms, count, keep, screen, final):
    rungs = Halving("windows", tuple(range(count)), keep, screen, final).rungs(arms, first_seed=7)
    seeds = [seed for rung in rungs for seed in rung.seeds]
    assert len(seeds) == len(set(seeds))
    assert seeds[0] == 7
    assert len(rungs[-1].seeds) == final >= 3
    assert rungs[0].arms == arms
    assert all(2 <= later.arms <= earlier.arms for earlier, later in pairwise(rungs))
    assert [rung.settings for rung in rungs] == [{"windows": value} for value in range(count)]


def test_halving_costs_less_than_running_everything_in_full():
    halving = Halving("windows", (4, 8, 16))
    cost = sum(rung.arms * len(rung.seeds) * rung.settings["windows"] for rung in halving.rungs(27))
    assert cost < 27 * 3 * 16 / 3


def test_the_best_of_many_is_found_more_often_than_by_one_look_at_the_same_cost():
    found = looked = 0
    for repeat in range(200):
        draw = np.random.default_rng(repeat)
        true = draw.normal(size=27)
        alive = list(range(27))
        for rung in Halving("effort", (1, 4, 16), final=3).rungs(27):
            alive = alive[: rung.arms]
            noise = 1.0 / np.sqrt(rung.settings["effort"])
            scores = {arm: [true[arm] + draw.normal(0, noise) for _ in rung.seeds] for arm in alive}
            alive = ranked(scores, "higher")
        found += alive[0] == true.argmax()
        # The same effort in all, spread evenly: 27 + 9 * 4 + 3 * 3 * 16 over 27.
        looked += (true + draw.normal(0, 1 / np.sqrt((27 + 36 + 144) / 27), 27)).argmax() == true.argmax()
    assert found > looked


def test_ranks_go_by_the_mean_and_ties_by_order():
    scores = {3: [1.0, 3.0], 1: [2.0], 2: [5.0], 4: []}
    assert ranked(scores, "lower") == [1, 3, 2]
    assert ranked(scores, "higher") == [2, 1, 3]


def test_text_is_read_and_written():
    halving = Halving.from_text("windows=4,8,16", keep=2)
    assert (halving.field, halving.values, halving.keep) == ("windows", ("4", "8", "16"), 2)
    assert Halving.from_json(json.loads(json.dumps(halving.to_json()))) == halving


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda: Halving("w", (1,)), "two values or more"),
        (lambda: Halving("w", (1, 1)), "a value comes twice"),
        (lambda: Halving("w", (1, 2), keep=1), "above 1"),
        (lambda: Halving("w", (1, 2), screen=0), "0 seeds on a rung"),
        (lambda: Halving("w", (1, 2), final=2), "2 seeds on the last rung: give 3 or more"),
        (lambda: Halving("w", (1, 2)).rungs(1), "two configs or more to choose from"),
        (lambda: Halving.from_text("w=int:1:8"), "give values"),
        (lambda: Halving.from_text("w"), "not of the form field=value"),
    ],
)
def test_a_race_that_could_choose_by_luck_is_refused(make, line):
    with pytest.raises(UnweaveError, match=line):
        make()


def test_seeds_in_a_row_are_one_run_where_a_run_takes_several():
    counted = Seeding("first_seed", "seeds")
    assert counted.runs({"a": 1}, (3, 4, 5, 9)) == [
        ({"a": 1, "first_seed": 3, "seeds": 3}, (3, 4, 5)),
        ({"a": 1, "first_seed": 9, "seeds": 1}, (9,)),
    ]
    assert counted.seeds_of({"first_seed": 3, "seeds": 3}) == (3, 4, 5)
    assert Seeding("seed").runs({"a": 1}, (3, 9)) == [({"a": 1, "seed": 3}, (3,)), ({"a": 1, "seed": 9}, (9,))]
    assert Seeding(None, "seeds").runs({"a": 1}, (0, 1)) == [({"a": 1, "seeds": 2}, (0, 1))]
    assert Seeding().runs({"a": 1}, ()) == [({"a": 1}, (0,))]
    with pytest.raises(UnweaveError, match="counts its seeds from 0"):
        Seeding(None, "seeds").runs({}, (3, 4))
    with pytest.raises(UnweaveError, match="no field for seeds"):
        Seeding().runs({}, (0, 1))
