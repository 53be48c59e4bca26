from __future__ import annotations

import contextlib
from collections import Counter

import numpy as np
import pytest

from unweave.base.errors import UnweaveError
from unweave.shapes.manifolds.choice import choose
from unweave.shapes.manifolds.family import families
from unweave.shapes.manifolds.flats import flat
from unweave.shapes.manifolds.zoo import KINDS, labelled, restricted_r2, superposed, zoo


def test_there_are_six_of_eight_kinds_of_mean_square_1_that_differ():
    made = zoo(0)
    assert Counter(each.kind for each in made) == dict.fromkeys(KINDS, 6)
    generator = np.random.default_rng(0)
    for each in made:
        there = each.at(generator.random((4000, each.dimension)))
        assert there.shape == (4000, 128)
        assert ((there - there.mean(0)) ** 2).sum(1).mean() == pytest.approx(1, rel=0.05)
        assert np.allclose(each.frame @ each.frame.T, np.eye(len(each.frame)))
    assert not np.allclose(made[0].frame, made[1].frame)
    assert np.array_equal(made[0].frame, zoo(0)[0].frame)
    assert set(families()) | {"flat 3"} >= {each.right for each in made}


def test_closed_axes_come_round():
    for each in zoo(0, per_kind=1):
        for axis, closed in enumerate(each.closed):
            ends = np.full((2, each.dimension), 0.3)
            ends[:, axis] = 0, 1
            if each.kind == "Moebius band":
                # Once round, a point is on the other side of the middle.
                ends[1, 1] = 0.7
            gap = np.linalg.norm(np.diff(each.at(ends), axis=0))
            assert (gap < 1e-9) == (closed or (each.kind == "sphere" and gap < 1e-9))


def test_centroids_have_the_noise_that_is_stated():
    circle = zoo(0, per_kind=1)[0]
    clean, noisy = labelled(circle, 0.0), labelled(circle, 0.5, points=4)
    assert (noisy.centroids - clean.centroids).std() == pytest.approx(0.25, rel=0.05)
    assert clean.values.shape == (24,)
    assert labelled(zoo(0, per_kind=1)[1], 0.1).values.shape == (40, 2)


def test_sums_have_four_active_and_are_the_sum_of_their_parts():
    made = zoo(0, width=32, per_kind=1)
    found = superposed(made, 200, 0.0)
    assert (found.active.sum(1) == 4).all()
    whole = sum(found.parts[index, :, : len(each.frame)] @ each.frame for index, each in enumerate(made))
    assert np.abs(found.points - whole).max() < 1e-5
    assert not found.parts[~found.active.T].any()


def test_restricted_r2_is_1_for_the_part_itself_and_0_for_noise():
    made = zoo(0, width=32, per_kind=1)
    found = superposed(made, 2000, 0.0)
    assert restricted_r2(found.parts[2] @ np.float32([[1, 2], [0, 1], [3, 1]]), found.parts[2]) < 0.99
    assert restricted_r2(found.parts[2] + 5, found.parts[2]) == pytest.approx(1)
    noise = np.random.default_rng(0).standard_normal((2000, 3)).astype(np.float32)
    assert restricted_r2(noise, found.parts[2]) < 0.02
    # Held out: many units of noise fit the first half and miss the second.
    many = np.random.default_rng(1).standard_normal((2000, 60)).astype(np.float32)
    assert restricted_r2(many, found.parts[2]) < 0
    with pytest.raises(UnweaveError, match="draw more rows"):
        restricted_r2(noise[:20], found.parts[2][:20])


def test_the_right_family_is_the_simplest_in_which_the_whole_manifold_lies():
    for each in zoo(0, width=8, per_kind=1):
        generator = np.random.default_rng(0)
        even = (np.arange(80) + 0.5) / 80
        fitted = even[:, None] if each.dimension == 1 else generator.random((80, 2))
        # Ends are left out: an open curve ends half a step after the first and the last of the fitted points.
        others = each.at(0.01 + 0.98 * generator.random((80, each.dimension)))
        points, known = each.at(fitted), fitted[:, 0] if each.dimension == 1 else fitted
        candidates = [flat(points, 3)]
        for family in families().values():
            with contextlib.suppress(UnweaveError):  # a round shape through points of one flat
                candidates.append(family.fit(points, known))
        holding = [one for one in candidates if np.abs(one.at(one.nearest(others)) - others).max() < 1e-3]
        simplest = min(holding, key=lambda one: (one.dimension, one.freedom))
        assert simplest.family == each.right, each


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.05, 0.1])
def test_the_right_family_is_chosen_for_nine_in_ten(noise):
    right = 0
    made = zoo(7)
    for each in made:
        data = labelled(each, noise, 7)
        right += choose(data.centroids, data.values).name == each.right
    assert right >= 0.9 * len(made)


def test_what_cannot_be_made_is_refused():
    with pytest.raises(UnweaveError, match="width 2"):
        zoo(0, width=2)
    with pytest.raises(UnweaveError, match="noise -1"):
        labelled(zoo(0, per_kind=1)[0], -1)
    with pytest.raises(UnweaveError, match="9 active of 8"):
        superposed(zoo(0, per_kind=1), 5, 0.0, active=9)
