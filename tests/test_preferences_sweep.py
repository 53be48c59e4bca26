"""Sweeps put together from numbers made by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from unweave.base.errors import UnweaveError
from unweave.preferences.shaping import DoseOutcome, assemble_sweep
from unweave.stats.bootstrap import Interval

NAMES = ("a", "target", "b")


def outcome(dose, change, half=0.25, others=(0.1, -0.3)):
    values = np.array([others[0], change, others[1]])
    return DoseOutcome(dose, values, values - half, values + half, Interval(0.7, 0.6, 0.8, 50), 20 + abs(dose))


def test_a_sweep_says_what_each_dose_undid():
    doses = [outcome(d, c) for d, c in ((2, -0.2), (0.5, -1.0), (-1, -3.0), (4, 0.6), (1, -0.5))]
    sweep = assemble_sweep(NAMES, "target", [*doses, outcome(0, -2.0, others=(0.2, -0.6))])
    assert [row.dose for row in sweep.rows] == [-1, 0, 0.5, 1, 2, 4]
    assert [row.undone for row in sweep.rows] == pytest.approx([-0.5, 0, 0.5, 0.75, 0.9, 1.3])
    assert [row.others for row in sweep.rows] == pytest.approx([0.2, 0.4, 0.2, 0.2, 0.2, 0.2])
    assert sweep.trend.rho == pytest.approx(-1)
    assert sweep.trend.p == pytest.approx(2 / math.factorial(6))
    assert sweep.enough == 2
    assert sweep.table()[4] == {
        "dose": 2,
        "change": pytest.approx(-0.2),
        "low": pytest.approx(-0.45),
        "high": pytest.approx(0.05),
        "undone": pytest.approx(0.9),
        "others": pytest.approx(0.2),
        "accuracy": 0.7,
        "accuracy_low": 0.6,
        "accuracy_high": 0.8,
        "perplexity": 22,
    }


def test_what_is_undone_is_of_the_unshaped_seeds_mean():
    sweep = assemble_sweep(NAMES, "target", [outcome(0, 1.0), outcome(0, 3.0), outcome(1, 1.0)])
    assert [row.undone for row in sweep.rows] == pytest.approx([0.5, -0.5, 0.5])


def test_the_trend_is_of_the_change_left_whatever_its_sign():
    for sign in (1, -1):
        doses = [outcome(d, sign * c) for d, c in ((1, 1.5), (2, 1.0), (3, 0.7))]
        assert assemble_sweep(NAMES, "target", [outcome(0, sign * 2.0), *doses]).trend.rho == pytest.approx(-1)


def test_a_dose_is_enough_where_all_its_trainings_are_back():
    doses = [outcome(1, 0.1), outcome(1, 0.5), outcome(2, 0.1), outcome(2, -0.2), outcome(3, -0.9)]
    assert assemble_sweep(NAMES, "target", [outcome(0, 2.0), *doses]).enough == 2
    assert assemble_sweep(NAMES, "target", [outcome(0, 2.0), outcome(1, 1.0), outcome(-2, 0.0)]).enough is None
    assert assemble_sweep(NAMES, "target", [outcome(0, 0.1), outcome(1, 1.0)]).enough == 0


def test_sweeps_that_do_not_fit_together_are_refused():
    with pytest.raises(UnweaveError, match=r"'targt' is no column.*nearest: 'target'"):
        assemble_sweep(NAMES, "targt", [outcome(0, 1.0), outcome(1, 1.0)])
    with pytest.raises(UnweaveError, match="0 of 2 trainings are unshaped"):
        assemble_sweep(NAMES, "target", [outcome(1, 1.0), outcome(2, 1.0)])
    with pytest.raises(UnweaveError, match="1 of 1 trainings are unshaped"):
        assemble_sweep(NAMES, "target", [outcome(0, 1.0)])
    for broken in (
        outcome(1, math.nan),
        DoseOutcome(1, np.zeros(2), np.zeros(2), np.zeros(2), Interval(0, 0, 0, 1), 1),
    ):
        with pytest.raises(UnweaveError, match="change at dose 1 holds"):
            assemble_sweep(NAMES, "target", [outcome(0, 1.0), broken])
