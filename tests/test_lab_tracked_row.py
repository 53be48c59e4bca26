from __future__ import annotations

import argparse
import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unweave.lab.tracked_row import BINS, LONGEST_LIST, flat_row, plain_settings

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
nested = st.dictionaries(
    st.text(min_size=1, max_size=5),
    st.recursive(
        scalars | st.lists(st.floats(), max_size=80), lambda inner: st.dictionaries(st.text(), inner, max_size=3)
    ),
    max_size=5,
)


@given(nested)
def test_whatever_is_logged_becomes_a_flat_row_of_json(metrics):
    row, strange = flat_row(metrics)
    json.dumps(row, allow_nan=False)
    assert strange == {}
    assert not {"time", "step", "self"} & set(row)


def test_names_are_joined_and_the_rows_own_are_left_alone():
    row, _ = flat_row({"train": {"loss": 1.5, "inner": {"x": 2}}, "time": 3.0, "step": 4, 7: "seven"})
    assert row == {"train/loss": 1.5, "train/inner/x": 2, "logged/time": 3.0, "logged/step": 4, "7": "seven"}


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (torch.tensor(0.5, requires_grad=True), 0.5),
        (torch.tensor([[2]]), [2]),
        (torch.tensor(0.5, dtype=torch.bfloat16), 0.5),
        (math.nan, None),
        (np.float64("inf"), None),
        ([1, np.float32(2.0), 3.5], [1.0, 2.0, 3.5]),
        (np.arange(3), [0, 1, 2]),
        (["a", None, 1], ["a", None, 1]),
        ([], []),
        (np.zeros((0, 3)), []),
        (None, None),
        (True, True),
    ],
)
def test_values_of_any_library_become_plain(value, kept):
    row, strange = flat_row({"x": value})
    assert (row, strange) == ({"x": kept}, {})
    json.dumps(row)


@pytest.mark.parametrize("make", [list, np.array, torch.tensor])
def test_many_numbers_are_summed_up(make):
    values = np.linspace(-1.0, 3.0, 1000)
    row, _ = flat_row({"gradients": make(values.tolist())})
    found = row["gradients"]
    assert found["values"] == sum(found["counts"]) == 1000
    assert len(found["counts"]) == BINS
    assert (found["low"], found["high"], found["mean"]) == pytest.approx((-1.0, 3.0, 1.0))
    assert found["deviation"] == pytest.approx(values.std(), rel=1e-5)
    assert len(json.dumps(row)) < 600


def test_numbers_that_are_not_finite_are_counted_beside_the_others():
    row, _ = flat_row({"x": [math.nan] * 10 + [1.0] * LONGEST_LIST})
    assert (row["x"]["values"], row["x"]["not finite"], sum(row["x"]["counts"])) == (74, 10, 64)
    row, _ = flat_row({"x": [math.inf] * 100})
    assert row["x"] == {"values": 100, "not finite": 100}


def test_what_has_no_place_is_named_and_the_rest_is_kept():
    class Odd:
        def item(self):
            raise RuntimeError("no")

    row, strange = flat_row({"good": 1.0, "image": object(), "odd": Odd(), "z": 1j, "bytes": b"x"})
    assert row == {"good": 1.0}
    assert strange == {"image": "object", "odd": "Odd", "z": "complex", "bytes": "bytes"}


def test_long_text_is_cut():
    row, _ = flat_row({"x": "a" * 20_000})
    assert len(row["x"]) == 10_001


@dataclass
class Settings:
    rate: float
    sizes: tuple[int, ...]
    where: Path


@pytest.mark.parametrize(
    "given_as",
    [
        {"rate": 0.1, "sizes": (1, 2), "where": Path("x")},
        Settings(0.1, (1, 2), Path("x")),
        argparse.Namespace(rate=0.1, sizes=(1, 2), where=Path("x")),
    ],
)
def test_a_config_may_be_a_mapping_a_dataclass_or_arguments(given_as):
    assert plain_settings(given_as) == {"rate": 0.1, "sizes": [1, 2], "where": "x"}


def test_settings_that_are_not_json_are_their_text():
    found = plain_settings({"dtype": torch.float16, "nan": math.nan, "inner": {"a": np.float32(1.0)}, 3: None})
    assert found == {"dtype": "torch.float16", "nan": "nan", "inner": {"a": 1.0}, "3": None}
    json.dumps(found, allow_nan=False)
