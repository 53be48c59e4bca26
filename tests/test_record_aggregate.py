from __future__ import annotations

import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unweave.base.errors import UnweaveError
from unweave.record.aggregate import Aggregate, listed
from unweave.record.table import Table

CELLS = Table(
    "cells",
    ("arm", "seed", "level", "right"),
    (
        ("a", 0, 0.9, True),
        ("a", 1, 0.95, True),
        ("a", 10, 0.7, False),
        ("b", 0, 0.5, False),
        ("b", 1, 0.6, True),
        ("b", 10, 0.4, False),
        ("c", 0, None, None),
    ),
)


@pytest.mark.parametrize(
    ("how", "value"),
    [
        ("median", 0.9),
        ("mean", 0.85),
        ("min", 0.7),
        ("max", 0.95),
        ("sum", 2.55),
        ("count", 3),
        ("share>=0.9", 2 / 3),
        ("share>0.9", 1 / 3),
        ("share<=0.7", 1 / 3),
        ("share<0.7", 0),
    ],
)
def test_each_way_of_summing_up_is_what_its_name_says(how, value):
    over = Aggregate("cells", "level", {"arm": "a"}, how)
    assert over.recompute(CELLS) == pytest.approx(value, rel=1e-12)
    assert over.agrees(CELLS, value)
    assert not over.agrees(CELLS, value + 1e-6)


def test_the_share_of_what_is_true_is_a_mean():
    assert Aggregate("cells", "right", {"arm": "a"}, "mean").recompute(CELLS) == pytest.approx(2 / 3)


def test_differences_are_paired_by_seed():
    over = Aggregate("cells", "level", {"arm": "a"}, "median", minus={"arm": "b"})
    assert over.recompute(CELLS) == pytest.approx(statistics.median([0.4, 0.35, 0.3]))
    assert over.seeds(CELLS) == ["0", "1", "10"]
    short = Table("cells", CELLS.columns, CELLS.rows[:5])
    with pytest.raises(UnweaveError, match=r"has seeds 0, 1, 10 for \{'arm': 'a'\} and 0, 1 for \{'arm': 'b'\}"):
        over.recompute(short)


def test_a_missing_value_and_a_seed_twice_are_refused_and_not_passed_over():
    with pytest.raises(UnweaveError, match="has no 'level' in row 6: it cannot be left out"):
        Aggregate("cells", "level", {"arm": "c"}).recompute(CELLS)
    with pytest.raises(UnweaveError, match="several rows of seed 0"):
        Aggregate("cells", "level").recompute(CELLS)
    with pytest.raises(UnweaveError, match="no row of 'cells' matches"):
        Aggregate("cells", "level", {"arm": "z"}).recompute(CELLS)
    with pytest.raises(UnweaveError, match="holds text"):
        Aggregate("cells", "arm", {"arm": "a"}).recompute(CELLS)


def test_the_seeds_of_an_arm_are_told_from_those_that_were_picked():
    over = Aggregate("cells", "level", {"arm": "a", "seed": [1]})
    assert over.seeds(CELLS) == ["1"]
    assert over.arm_seeds(CELLS) == ["0", "1", "10"]
    assert Aggregate("cells", "level", {"arm": "a"}, seed=None).seeds(CELLS) == []


@pytest.mark.parametrize("how", ["average", "share", "share>=", "share>=x", "share!=1", "median "])
def test_another_way_is_refused(how):
    with pytest.raises(UnweaveError, match="an aggregate by"):
        Aggregate("cells", "level", how=how)


def test_differences_without_seeds_are_refused():
    with pytest.raises(UnweaveError, match="pairs rows by seed"):
        Aggregate("cells", "level", seed=None, minus={"arm": "b"})


def test_it_comes_back_from_json():
    over = Aggregate("cells", "level", {"seed": (0, 1)}, "mean", minus={"arm": "b"}, sha256="0")
    assert Aggregate(**over.to_json()) == over
    assert over.where == {"seed": [0, 1]}


def test_seeds_are_listed_by_their_number():
    assert listed([10, 2, "x", 1]) == "1, 2, 10, x"
    assert listed([]) == "none"


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30), st.sampled_from(["median", "mean", "min", "max"]))
@settings(max_examples=60, deadline=None)
def test_any_order_of_the_rows_gives_the_same(values, how):
    over = Aggregate("t", "x", how=how)
    tables = [Table("t", ("seed", "x"), tuple(sorted(enumerate(values), reverse=reverse))) for reverse in (False, True)]
    assert over.agrees(tables[0], over.recompute(tables[1]))
