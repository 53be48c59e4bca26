"""Where columns fire: counts against the values themselves, and a lean that says which side has more."""

from __future__ import annotations

from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest

from unweave.base.errors import UnweaveError
from unweave.preferences import firing_sides
from unweave.preferences.firing_sides import SIDES, FiringSides


class Store(SimpleNamespace):
    """Two behaviours of six pairs, and features that fire in some."""

    names = ("marks", "length")
    behaviours: ClassVar = {
        "chosen": np.array([[2, 5], [1, 5], [0, 5], [0, 5], [3, 5], [0, 4]], np.float32),
        "rejected": np.array([[0, 5], [0, 6], [4, 5], [0, 5], [1, 6], [0, 5]], np.float32),
    }
    fired: ClassVar = {"chosen": np.eye(6, 4) > 0, "rejected": np.eye(6, 4, -1) > 0}

    def __len__(self):
        return 6

    def values(self, side):
        return self.behaviours[side]

    def cluster_values(self, side, clusters):
        return np.stack([self.fired[side][:, list(cluster)].mean(1) for cluster in clusters], 1).astype(np.float32)


@pytest.fixture
def sides():
    return FiringSides.of(Store(), [(0, 1), (2,), (3,)])


def test_each_pair_is_counted_once_by_where_a_column_fires(sides):
    marks = sides.counts("marks")
    assert (marks.chosen, marks.rejected, marks.both, marks.neither) == (2, 1, 1, 2)
    assert (marks.more_chosen, marks.more_rejected) == (3, 1)
    assert [sides.on("marks", side).tolist() for side in SIDES] == [[0, 1], [2], [4], [3, 5]]
    assert [sides.side("marks", row) for row in range(6)] == [
        "chosen", "chosen", "rejected", "neither", "both", "neither",
    ]  # fmt: skip
    cluster = sides.counts("cluster:0")
    assert (cluster.chosen, cluster.rejected, cluster.both, cluster.neither) == (1, 1, 1, 3)
    some = sides.counts("marks", np.array([2, 3]))
    assert (some.chosen, some.rejected, some.neither) == (0, 1, 1)


def test_clusters_in_pieces_are_the_same(sides, monkeypatch):
    monkeypatch.setattr(firing_sides, "CLUSTERS_AT_ONCE", 2)
    assert np.array_equal(FiringSides.of(Store(), [(0, 1), (2,), (3,)]).codes, sides.codes)


def test_a_lean_needs_pairs_that_differ_and_an_interval_off_a_half(sides):
    length = sides.counts("length")
    assert length.both == 6
    # Three of three: by Wilson's interval that may still be a half.
    assert length.lean.mean == 0
    assert length.leans_to == "both"
    always = FiringSides(["one"], np.full((1, 20), 1 | 4, np.uint8)).counts("one")
    assert always.lean.low > 0.5
    assert always.leans_to == "chosen"
    never = FiringSides(["one"], np.zeros((1, 20), np.uint8)).counts("one")
    assert never.lean is None
    assert never.leans_to == "neither"
    assert FiringSides(["one"], np.full((1, 20), 2 | 8, np.uint8)).counts("one").leans_to == "rejected"


def test_an_unknown_column_is_refused_with_the_nearest(sides):
    assert "marks" in sides
    with pytest.raises(UnweaveError, match=r"'mark' was not measured .*nearest: 'marks'"):
        sides.counts("mark")
