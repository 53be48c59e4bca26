from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import pytest

from unweave.base.errors import UnweaveError
from unweave.lab.sweeps.space import Choices, Range, Space, parse_axis
from unweave.studies.registry import Study


@dataclass(frozen=True)
class Config:
    language: str = "de"
    tokens: tuple[int, ...] = (4,)
    rate: float = 0.1
    layers: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        if self.rate > 1:
            raise UnweaveError(f"rate is {self.rate}, and it must be at most 1")


STUDY = Study("pure", "?", Config, lambda config, run=None: None)


def test_a_grid_is_every_combination_in_order_as_the_study_types_it():
    configs = Space.from_text(["tokens=4,16", "language=de,fr"], fixed=["layers=3"]).configs(STUDY)
    found = [(config["tokens"], config["language"], config["layers"]) for config in configs]
    assert found == [([4], "de", 3), ([4], "fr", 3), ([16], "de", 3), ([16], "fr", 3)]
    assert all(config["rate"] == 0.1 for config in configs)


def test_a_semicolon_parts_values_that_have_commas():
    configs = Space.from_text(["tokens=4,16;64"]).configs(STUDY)
    assert [config["tokens"] for config in configs] == [[4, 16], [64]]


def test_values_in_python_need_no_text():
    configs = Space({"tokens": [(4, 16), (64,)], "layers": [1]}).configs(STUDY)
    assert [config["tokens"] for config in configs] == [[4, 16], [64]]


def test_draws_are_the_same_for_a_seed_others_for_another_and_the_same_beside_every_grid_point():
    space = Space.from_text(["language=de,fr"], ["rate=log:1e-4:1", "layers=int:1:64"], draws=5, seed=3)
    configs = space.configs(STUDY)
    assert configs == space.configs(STUDY)
    assert len(configs) == 10
    drawn = [(config["rate"], config["layers"]) for config in configs]
    assert drawn[:5] == drawn[5:]
    assert [config["language"] for config in configs] == ["de"] * 5 + ["fr"] * 5
    assert configs != Space(space.grid, space.random, 5, seed=4).configs(STUDY)


def test_adding_an_axis_moves_no_other_draw():
    one = Space(random={"rate": "log:1e-4:1"}, draws=4).configs(STUDY)
    two = Space(random={"rate": "log:1e-4:1", "layers": "int:1:64"}, draws=4).configs(STUDY)
    assert [config["rate"] for config in one] == [config["rate"] for config in two]


def test_no_config_is_drawn_twice_and_too_many_draws_are_refused_with_how_many_there_are():
    configs = Space(random={"layers": "int:1:6"}, draws=6).configs(STUDY)
    assert sorted(config["layers"] for config in configs) == [1, 2, 3, 4, 5, 6]
    with pytest.raises(UnweaveError, match="7 draws of layers are more than they have configs: 6 were found"):
        Space(random={"layers": "int:1:6"}, draws=7).configs(STUDY)


@pytest.mark.parametrize(
    ("text", "low", "high", "whole"),
    [
        ("float:-1:3", -1, 3, False),
        ("log:1e-4:1e-1", 1e-4, 1e-1, False),
        ("int:2:5", 2, 5, True),
        ("logint:1:4", 1, 4, True),
    ],
)
def test_draws_fill_their_range_and_stay_in_it(text, low, high, whole):
    axis = parse_axis(text)
    draw = np.random.default_rng(0)
    values = [axis.draw(draw) for _ in range(2000)]
    assert low <= min(values) <= max(values) <= high
    assert all(isinstance(value, int if whole else float) for value in values)
    assert json.loads(json.dumps(values)) == values
    if whole:
        assert set(values) == set(range(low, high + 1))
    if text.startswith("log:"):
        # Half of them lie below the geometric middle.
        assert np.mean(np.array(values) < 10**-2.5) == pytest.approx(0.5, abs=0.04)
    if text.startswith("float:"):
        assert np.mean(values) == pytest.approx(1.0, abs=0.1)
        assert all(value == float(f"{value:.4g}") for value in values)


def test_text_that_is_no_range_is_a_value():
    assert parse_axis("blocks.8:17") == Choices(("blocks.8:17",))
    assert parse_axis("a:b:c, d") == Choices(("a:b:c", "d"))
    assert parse_axis("int:1:3") == Range("int", 1, 3)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("norm:0:1", r"'norm:0:1' is not a range"),
        ("log:0:1", r"'log:0:1' begins at 0, and a logarithm needs more than 0"),
        ("float:1:1", r"'float:1:1' must go from a lower number to a higher one"),
        ("float:0:inf", r"must go from a lower number"),
        ("int:0.5:3", r"whole numbers"),
        (" , ", r"names no values"),
        ([], r"names no values"),
    ],
)
def test_a_wrong_axis_is_refused(text, line):
    with pytest.raises(UnweaveError, match=line):
        parse_axis(text)


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda: Space({"rate": "1,2"}, {"rate": "float:0:1"}, 3), "'rate' is both in grid and in random"),
        (lambda: Space({"rate": "1,2"}, fixed={"rate": 1}), "'rate' is both in grid and in fixed"),
        (lambda: Space({"rate": "float:0:1"}), "rate=float:0:1 is a range"),
        (lambda: Space(random={"rate": "float:0:1"}), "say how many times"),
        (lambda: Space({"layers": "1"}, draws=3), "3 draws of nothing"),
        (lambda: Space.from_text(["layers=1,2", "layers=3"]), "layers is set twice"),
        (lambda: Space({"layer": "1,2"}).configs(STUDY), "has no field 'layer'; nearest: 'layers'"),
        (lambda: Space({"rate": "0.5,2"}).configs(STUDY), "rate is 2.0, and it must be at most 1"),
        (lambda: Space({"layers": "1,one"}).configs(STUDY), "layers is 'one'"),
        (lambda: Space({"layers": "1,01"}).configs(STUDY), "the grid holds layers=01 twice"),
        (lambda: Space({"layers": "1,01"}, {"rate": "float:0:1"}, 2).configs(STUDY), "holds the same config twice"),
    ],
)
def test_a_wrong_space_is_refused_before_anything_runs(make, line):
    with pytest.raises(UnweaveError, match=line):
        make()


def test_a_space_is_the_same_after_it_was_written_down():
    space = Space.from_text(
        ["language=de,fr"], ["rate=log:1e-4:0.1", "layers=1,2,3"], draws=4, fixed=["tokens=8"], seed=9
    )
    again = Space.from_json(json.loads(json.dumps(space.to_json())))
    assert again == space
    assert again.configs(STUDY) == space.configs(STUDY)
    assert again.fields() == ["language", "rate", "layers"]
    one = Space({"tokens": [(4, 16), (64,)]})
    assert Space.from_json(json.loads(json.dumps(one.to_json()))).configs(STUDY) == one.configs(STUDY)
