from __future__ import annotations

import numpy as np
import pytest
from planted_concept import TEMPLATES, ring_concept

from unweave.base.errors import UnweaveError
from unweave.shapes.concepts.color import hue, lab, lightness, saturation
from unweave.shapes.concepts.concept import Concept, Value

MIXED = [Value("a", 1.0), Value("b", (1.0, 2.0)), Value("c", 3.0), Value("d", 4.0)]


def concept(values, metric=None, templates=TEMPLATES, families=(), **options):
    return Concept("c", tuple(values), tuple(templates), metric, options, tuple(families))


def test_what_is_known_becomes_coordinates_and_distances():
    ring = ring_concept(8)
    assert ring.distances()[0].tolist() == [0, 1, 2, 3, 4, 3, 2, 1]
    assert ring.angles() == pytest.approx(np.arange(8) * np.pi / 4)
    row = ring_concept(5, "linear")
    assert row.distances()[0, 4] == 4
    assert row.angles() is None
    places = concept(
        [
            Value(name, at)
            for name, at in zip("abcd", [(0.0, 0.0), (0.0, 90.0), (90.0, 0.0), (0.0, 180.0)], strict=True)
        ],
        "great-circle",
    )
    assert places.distances()[0] == pytest.approx([0, np.pi / 2, np.pi / 2, np.pi])
    tree = concept(
        [Value(path[-1], path) for path in [("r", "x", "a"), ("r", "x", "b"), ("r", "c"), ("r", "d")]], "tree path"
    )
    assert tree.distances()[0].tolist() == [0, 2, 3, 3]
    unknown = concept([Value(name) for name in "abcd"])
    assert unknown.coordinates() is None
    assert unknown.distances() is None


def test_a_colour_is_its_hue_or_its_place_in_cielab():
    codes = ["#ff0000", "#ffff00", "#00ff00", "#0000ff"]
    values = [Value(code, code) for code in codes]
    assert concept(values, "hue").distances()[0].tolist() == [0, 60, 120, 120]
    # Published CIELAB of the sRGB primaries under D65.
    assert lab("#ff0000") == pytest.approx([53.24, 80.09, 67.20], abs=0.02)
    assert lab("#0000ff") == pytest.approx([32.30, 79.19, -107.86], abs=0.02)
    assert lightness("#ffffff") == pytest.approx(100, abs=1e-3)
    assert lab("#0a0a0a")[0] == pytest.approx(2.74, abs=0.02)
    assert concept(values, "lab").distances()[0, 3] == pytest.approx(176.3, abs=0.1)
    assert (hue("#00ff00"), saturation("#808080")) == (120, 0)
    with pytest.raises(UnweaveError, match="is no colour"):
        lab("#12345")


def test_the_digest_is_of_all_that_is_held():
    digests = {ring_concept().digest, ring_concept(9).digest, ring_concept(metric="linear").digest}
    digests.add(ring_concept(templates=tuple(reversed(TEMPLATES))).digest)
    assert len(digests) == 4
    assert ring_concept().digest == ring_concept().digest


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"values": [Value("a")] * 3}, "has 3 values: 4 or more"),
        ({"values": [Value(each) for each in "abca"]}, "the value 'a' twice"),
        ({"values": [Value(each) for each in ("a", "b", "c", " d")]}, "a label is ' d'"),
        ({"templates": TEMPLATES[:7]}, "has 7 templates: 8 or more"),
        ({"templates": (*TEMPLATES, "on {} it rained")}, "must end in its only {}"),
        ({"templates": (*TEMPLATES, "{} and {}")}, "must end in its only {}"),
        ({"templates": (*TEMPLATES, "no place")}, "must end in its only {}"),
        ({"templates": (*TEMPLATES, TEMPLATES[0])}, "twice"),
        ({"metric": "circlar"}, "nearest: 'circular'"),
        ({"metric": "linear"}, "'a' has no known place"),
        ({"values": [Value(each, 1.0) for each in "abcd"], "metric": "circular"}, "cannot compare its values"),
        ({"values": MIXED, "metric": "linear"}, "of different kinds"),
        ({"families": ["circel"]}, "nearest: 'circle'"),
        ({"period": 7.0}, "options of a metric, and no metric"),
    ],
)  # fmt: skip
def test_what_is_no_concept_is_refused(arguments, message):
    given = {"values": [Value(each) for each in "abcd"], **arguments}
    with pytest.raises(UnweaveError, match=message):
        concept(**given)
