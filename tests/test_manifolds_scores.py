"""Scores of shape, each on a shape of known score and on none."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import pdist, squareform
from test_manifolds_families import TURN, cloud, placed

from unweave.base.errors import UnweaveError
from unweave.shapes.manifolds.curvature import geodesic_ratio, sheet_test
from unweave.shapes.manifolds.dimension import local_pca, two_nn
from unweave.shapes.manifolds.surrogates import surrogate, surrogate_test
from unweave.shapes.manifolds.topology import loop_score, loops
from unweave.shapes.manifolds.tree_likeness import tree_likeness
from unweave.shapes.manifolds.trees import hierarchy


def filled(dimension, count=400, width=10):
    return placed(np.random.default_rng(dimension).random((count, dimension)), width)


def circle(count=12):
    angle = np.arange(count) / count * TURN
    return placed(np.stack([np.cos(angle), np.sin(angle)], 1))


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_the_dimension_of_a_filled_cube_is_found(dimension):
    points = filled(dimension)
    assert two_nn(points) == pytest.approx(dimension, rel=0.15)
    assert local_pca(points, 20, 0.98) == pytest.approx(dimension, rel=0.1)


def test_duplicates_and_too_few_points_have_no_dimension():
    with pytest.raises(UnweaveError, match="2 points are given twice"):
        two_nn(np.concatenate([cloud(8), cloud(8)[:1]]))
    with pytest.raises(UnweaveError, match="12 points are needed"):
        local_pca(cloud(11))
    with pytest.raises(UnweaveError, match="share 1"):
        local_pca(cloud(11), 3, 1)


def test_of_two_rings_each_has_its_own_birth_and_death():
    found = loop_score(np.concatenate([circle(12), 100 + 3 * circle(12)]))
    share = 1 - 2 * np.sin(np.pi / 12) / np.sqrt(3)
    assert found.death == pytest.approx(3 * np.sqrt(3))
    assert (found.score, found.second) == pytest.approx((share, share))


def test_points_on_a_circle_have_one_loop_of_known_birth_and_death():
    found = loop_score(circle(12))
    assert found.birth == pytest.approx(2 * np.sin(np.pi / 12))
    assert found.death == pytest.approx(np.sqrt(3))
    assert found.score == pytest.approx(1 - found.birth / found.death)
    assert found.second == 0


def test_two_circles_have_two_loops_and_a_line_none():
    both = np.concatenate([circle(9), circle(9) + 10])
    bars = loops(squareform(pdist(both)))
    assert len(bars) == 2
    assert np.ptp(bars, axis=0) == pytest.approx(0)
    assert loop_score(placed(np.arange(8.0)[:, None])).score == 0


def test_a_torus_has_two_long_loops():
    # A product of two circles, flat in four dimensions, sampled evenly.
    u, v = np.meshgrid(np.arange(6) / 6 * TURN, np.arange(6) / 6 * TURN)
    u, v = u.ravel(), v.ravel()
    bars = loops(squareform(pdist(np.stack([np.cos(u), np.sin(u), np.cos(v), np.sin(v)], 1))))
    assert bars[:, 0] == pytest.approx(1)
    # The 36 squares between neighbours, of which one is the sum of the others, are filled by their diagonals.
    assert np.sort(bars[:, 1]) == pytest.approx([np.sqrt(2)] * 35 + [np.sqrt(3)] * 2)


def test_many_points_are_thinned_to_spread_landmarks():
    angle = np.random.default_rng(0).random(400) * TURN
    found = loop_score(np.stack([np.cos(angle), np.sin(angle)], 1), landmarks=24)
    assert found.score > 0.7
    assert found.death == pytest.approx(np.sqrt(3), rel=0.1)


def test_a_noisy_ring_is_told_from_noise_with_the_same_axes():
    ring = circle(14) + 0.15 * cloud(14)
    assert surrogate_test(lambda points: loop_score(points).score, ring, shuffles=59).p <= 0.05
    flat = placed(np.random.default_rng(2).standard_normal((14, 2))) + 0.15 * cloud(14)
    assert surrogate_test(lambda points: loop_score(points).score, flat, shuffles=59).p > 0.05


def test_distances_of_a_tree_meet_the_four_point_condition_and_others_do_not():
    paths = [("r", "a", "1"), ("r", "a", "2"), ("r", "b", "3"), ("r", "b", "4"), ("r", "c"), ("r",)]
    assert tree_likeness(hierarchy(paths).distances()) == pytest.approx((0, 0))
    square = squareform(pdist(np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]])))
    found = tree_likeness(square)
    # Sums 2 sqrt 2, 2 and 2: the gap is all of the range.
    assert found.hyperbolicity == pytest.approx((2 * np.sqrt(2) - 2) / 2 / np.sqrt(2))
    assert found.delta == pytest.approx(1.0)


def test_noise_in_many_columns_is_no_tree_by_delta_although_its_hyperbolicity_is_small():
    found = tree_likeness(squareform(pdist(cloud(20, 2000))))
    assert found.hyperbolicity < 0.05
    assert 0.35 < found.delta < 0.65
    assert tree_likeness(squareform(pdist(cloud(60, 2000)))).delta == pytest.approx(0.5, abs=0.15)
    assert tree_likeness(1 - np.eye(6)) == (0, 0)


def test_the_way_round_a_half_circle_is_longer_than_across_and_a_line_is_straight():
    angle = np.linspace(0, np.pi, 60)
    half = placed(np.stack([np.cos(angle), np.sin(angle)], 1))
    # The mean of (a / 2) / sin(a / 2) over pairs of a half circle, whose angles have the density 2 (pi - a) / pi^2.
    a = (np.arange(20_000) + 0.5) / 20_000 * np.pi
    true = float(((a / 2 / np.sin(a / 2)) * 2 * (np.pi - a) / np.pi**2).mean() * np.pi)
    assert geodesic_ratio(half, 2) == pytest.approx(true, rel=0.02)
    assert geodesic_ratio(placed(np.arange(9.0)[:, None]), 2) == pytest.approx(1)
    with pytest.raises(UnweaveError, match="fall into parts"):
        geodesic_ratio(np.concatenate([circle(5), circle(5) + 100]), 2)


def test_a_bowl_is_a_sheet_and_a_slab_is_flat():
    generator = np.random.default_rng(0)
    base = generator.uniform(-1, 1, (60, 2)) * (3, 2)
    height = 0.3 * (base[:, 0] ** 2 - base[:, 1] ** 2)
    bowl = placed(np.stack([*base.T, 0.5 * height + 0.05 * generator.standard_normal(60)], 1))
    found = sheet_test(bowl)
    assert found.sheet > 0.8
    assert found.plane < 0.1
    assert found.p == pytest.approx(1 / 200)
    slab = placed(np.stack([*base.T, 0.3 * generator.standard_normal(60)], 1))
    flat = sheet_test(slab)
    assert flat.p > 0.05
    # Held out: six terms fitted to noise do worse than the mean, where in sample they would do better.
    assert flat.sheet < 0
    with pytest.raises(UnweaveError, match="on one plane"):
        sheet_test(placed(base))


def test_dealt_columns_of_a_ring_are_no_ring():
    made = surrogate(circle(24), "columns", np.random.default_rng(0))
    radius = np.linalg.norm(made[:, :2], axis=1)
    assert radius.std() > 0.2 * radius.mean()


@pytest.mark.parametrize("kind", ["columns", "phases"])
def test_surrogates_keep_the_variance_of_each_axis(kind):
    points = placed(np.random.default_rng(0).standard_normal((15, 3)) * (3, 2, 1), 6)
    made = surrogate(points, kind, np.random.default_rng(1))
    true = np.linalg.svd(points - points.mean(0), compute_uv=False)[:3]
    assert np.sqrt((made[:, :3] ** 2).sum(0)) == pytest.approx(true)
    assert np.abs(made[:, 3:]).max() < 1e-9


def test_phases_keep_how_fast_each_axis_changes_and_columns_do_not():
    series = placed(np.stack([2 * np.cos(np.arange(16) / 16 * TURN), np.sin(np.arange(16) / 8 * TURN)], 1), 6)
    power = np.sort(np.abs(np.fft.rfft(surrogate(series, "phases", np.random.default_rng(0)), axis=0)).max(0))
    assert power[-2:] == pytest.approx([8, 16])
    dealt = np.abs(np.fft.rfft(surrogate(series, "columns", np.random.default_rng(0)), axis=0)).max(0)
    assert np.sort(dealt)[-1] < 14


def test_no_shape_is_found_in_gaussian_clouds_more_often_than_the_level():
    found = [
        surrogate_test(lambda points: loop_score(points).score, cloud(9, 5, seed), "gaussian", 19, seed).p <= 0.1
        for seed in range(40)
    ]
    assert 0 <= sum(found) <= 9


def test_an_unknown_surrogate_is_refused():
    with pytest.raises(UnweaveError, match="columns, phases, gaussian"):
        surrogate(cloud(), "shuffled", np.random.default_rng(0))  # type: ignore[arg-type]
