from __future__ import annotations

import numpy as np
import pytest

from unweave.base.errors import UnweaveError
from unweave.shapes.manifolds.clusters import clusters, counts
from unweave.shapes.manifolds.family import FAMILIES, families, family, fit
from unweave.shapes.manifolds.flats import flat
from unweave.shapes.manifolds.splines import cyclic_knots
from unweave.shapes.manifolds.trees import hierarchy, neighbour_joining

TURN = 2 * np.pi
TIME = np.arange(20) / 19
NAMES = ["line", "plane", "circle", "sphere", "torus", "helix", "natural spline", "closed spline", "tree"]


def placed(points, width=12, seed=0, shift=3.0):
    """``points`` by a random orthonormal frame into ``width`` columns, away from the origin."""
    frame = np.linalg.qr(np.random.default_rng(seed).standard_normal((width, points.shape[1])))[0].T
    return points @ frame + shift


def ring(count=12, radius=2.0, jitter=0.0, seed=0):
    angle = np.arange(count) / count * TURN + jitter * np.random.default_rng(seed).standard_normal(count)
    return placed(radius * np.stack([np.cos(angle), np.sin(angle)], 1))


def ball(count=40, radius=1.5, seed=1):
    drawn = np.random.default_rng(seed).standard_normal((count, 3))
    return placed(radius * drawn / np.linalg.norm(drawn, axis=1, keepdims=True))


def doughnut(big=2.0, small=0.7):
    u, v = np.meshgrid(np.arange(9) / 9 * TURN, np.arange(6) / 6 * TURN + 0.2)
    u, v = u.ravel(), v.ravel()
    reach = big + small * np.cos(v)
    return placed(np.stack([reach * np.cos(u), reach * np.sin(u), small * np.sin(v)], 1))


def cloud(count=10, width=12, seed=2):
    return np.random.default_rng(seed).standard_normal((count, width))


SHAPED = {
    "line": placed(np.linspace(-1, 4, 8)[:, None]),
    "plane": placed(np.random.default_rng(3).standard_normal((9, 2))),
    "circle": ring(jitter=0.1),
    "sphere": ball(),
    "torus": doughnut(),
    "helix": placed(np.stack([np.cos(TURN * 2.3 * TIME), np.sin(TURN * 2.3 * TIME), 3.8 * TIME], 1)),
    "natural spline": cloud(),
    "closed spline": cloud(),
    "tree": cloud(),
}


def test_the_families_are_those_of_the_plan():
    assert sorted(families()) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_points_of_the_shape_are_hit_and_found_again(name):
    points = SHAPED[name]
    found = fit(name, points, np.arange(len(points), dtype=float))
    assert (found.family, found.dimension) == (name, FAMILIES[name].dimension)
    theta = found.nearest(points)
    assert theta.shape == ((len(points),) if found.dimension == 1 else (len(points), 2))
    assert np.abs(found.at(theta) - points).max() < 1e-5
    at_knots = found.at(found.knots[:, 0] if found.dimension == 1 else found.knots)
    assert np.abs(at_knots - points).max() < 1e-5


@pytest.mark.parametrize("name", NAMES)
def test_nearest_is_no_farther_than_the_best_of_many_points(name):
    points = SHAPED[name]
    found = fit(name, points, np.arange(len(points), dtype=float))
    strangers = points[:6] + 0.3 * np.random.default_rng(5).standard_normal((6, 12))
    ours = np.linalg.norm(found.at(found.nearest(strangers)) - strangers, axis=1)
    low, high = found.low.min(0), found.high.max(0)
    low = np.where(np.isfinite(low), low, 0.0 if found.periods[0] else -6.0)
    high = np.where(np.isfinite(high), high, TURN if found.periods[0] else 6.0)
    many = np.random.default_rng(6).uniform(low, high, (20_000, found.dimension))
    there = found.at(many[:, 0] if found.dimension == 1 else many)
    best = np.sqrt(((strangers[:, None, :] - there) ** 2).sum(2)).min(1)
    assert (ours <= best + 1e-9).all()


@pytest.mark.parametrize("name", ["natural spline", "closed spline"])
def test_splines_hit_every_centroid_exactly(name):
    points = cloud(31, 40, seed=8)
    found = fit(name, points, np.random.default_rng(0).permutation(31) * 1.5)
    assert np.abs(found.at(found.knots[:, 0]) - points).max() < 1e-9


def test_a_closed_spline_comes_round_with_its_two_derivatives():
    found = fit("closed spline", cloud(9))
    step = 1e-3
    for place in (found.parameters["first"], found.parameters["first"] + TURN):
        near = found.at(place + step * np.arange(-2, 3))
        second = np.diff(near, 2, axis=0) / step**2
        assert np.abs(second[0] - second[-1]).max() < 0.05 * np.abs(second).max()
    assert np.allclose(found.at(0.3), found.at(0.3 + TURN))


def test_a_natural_spline_through_points_of_a_line_is_that_line():
    values = np.array([0.0, 1, 4, 5, 9])
    way = np.arange(1.0, 7.0)
    found = fit("natural spline", 2 + values[:, None] * way, values)
    between = np.linspace(-1, 10, 23)
    assert np.allclose(found.at(between), 2 + between[:, None] * way)


def test_a_natural_spline_is_straight_beyond_its_ends():
    found = fit("natural spline", cloud(6), np.arange(6.0))
    assert np.abs(np.diff(found.at(np.array([5.0, 5.4, 5.8])), 2, axis=0)).max() < 1e-9
    assert np.abs(np.diff(found.at(np.array([-0.8, -0.4, 0.0])), 2, axis=0)).max() < 1e-9


def test_knots_of_a_stretched_ring_are_even_because_both_scores_are_divided_by_their_deviation():
    angle = np.arange(8) / 8 * TURN
    stretched = placed(np.stack([5 * np.cos(angle), np.sin(angle)], 1))
    steps = np.diff(np.sort(cyclic_knots(stretched)))
    assert np.allclose(steps, TURN / 8)
    raw = np.sort(np.mod(np.arctan2(np.sin(angle), 5 * np.cos(angle)), TURN))
    assert np.ptp(np.diff(raw)) > 0.3


def test_radii_are_found():
    assert fit("circle", ring(radius=2.0)).parameters["radius"] == pytest.approx(2.0)
    assert fit("sphere", ball(radius=1.5)).parameters["radius"] == pytest.approx(1.5)
    torus = fit("torus", doughnut(2.0, 0.7)).parameters
    assert (torus["ring radius"], torus["tube radius"]) == pytest.approx((2.0, 0.7), rel=1e-4)


def test_an_arc_gives_the_whole_circle():
    angle = np.linspace(0.2, 1.6, 9)
    found = fit("circle", placed(3 * np.stack([np.cos(angle), np.sin(angle)], 1)))
    assert found.parameters["radius"] == pytest.approx(3.0)


def test_turns_of_a_helix_are_found_with_values_and_without():
    points = SHAPED["helix"]
    assert fit("helix", points, np.arange(20.0)).parameters["turns"] == pytest.approx(2.3, abs=0.01)
    assert fit("helix", points).parameters["turns"] == pytest.approx(2.3, abs=0.1)


def test_a_path_is_joined_to_its_parents_and_a_branching_point_lies_between():
    paths = [("a", "b", "x"), ("a", "b", "y"), ("a", "c", "z"), ("a", "c", "w")]
    points = placed(np.array([[1.0, 1], [1, -1], [-1, 1], [-1, -1]]), shift=0.0)
    found = fit("tree", points, paths)
    assert found.parameters["edges"] == 6
    middle = placed(np.array([[0.5, 0.0]]), shift=0.0)
    assert np.linalg.norm(found.at(found.nearest(middle)) - middle) < 1e-9
    off = placed(np.array([[0.0, 2.0]]), shift=0.0)
    assert np.linalg.norm(found.at(found.nearest(off)) - off) > 0.5


def test_joining_gives_back_the_distances_of_a_tree():
    paths = [("r", "a", "1"), ("r", "a", "2"), ("r", "b", "3", "5"), ("r", "b", "3", "6"), ("r", "b", "4"), ("r", "c")]
    true = hierarchy(paths).distances()
    assert true[0, 1] == 2
    assert true[0, 2] == 5
    assert np.allclose(neighbour_joining(true).distances(), true)
    assert np.allclose(neighbour_joining(true[:3, :3]).distances(), true[:3, :3])


def test_clusters_are_the_means_of_what_lies_together_and_the_nearest_is_found():
    centres = np.eye(3, 12)
    points = np.repeat(centres, [2, 3, 4], 0) + 0.05 * cloud(9)
    found = clusters(points, 3)
    assert (found.family, found.dimension, found.parameters) == ("clusters", 0, {"count": 3})
    means = np.stack([points[:2].mean(0), points[2:5].mean(0), points[5:].mean(0)])
    assert np.allclose(found.at(found.nearest(centres)), means)
    assert np.allclose(found.at(found.knots[:, 0]), np.repeat(means, [2, 3, 4], 0))
    assert np.array_equal(found.nearest(points), found.knots[:, 0])
    with pytest.raises(UnweaveError, match="10 clusters of 9 centroids"):
        clusters(points, 10)


def test_numbers_of_clusters_go_from_two_to_half_of_the_values():
    assert counts(7) == [2, 3]
    assert counts(3) == [2]
    assert (counts(48)[0], counts(48)[-1]) == (2, 24)
    assert len(counts(400)) <= 12


def test_a_new_family_is_one_function():
    @family("point", dimension=1, least=1, least_width=1)
    def point(centroids, values=None):
        return flat(centroids, 1)

    try:
        assert fit("point", SHAPED["line"]).family == "point"
        with pytest.raises(UnweaveError, match="registered already"):
            family("point", dimension=1, least=1, least_width=1)(point)
    finally:
        del FAMILIES["point"]


@pytest.mark.parametrize(
    ("name", "points", "values", "said"),
    [
        ("circel", cloud(), None, "nearest: 'circle'"),
        ("circle", cloud(3), None, "3 centroids of width 12"),
        ("circle", cloud(5)[0], None, r"shape \(12,\)"),
        ("circle", np.full((5, 12), np.nan), None, "60 numbers"),
        ("circle", SHAPED["line"], None, "one flat"),
        ("closed spline", SHAPED["line"], None, "lie on a line"),
        ("line", cloud(), np.arange(4.0), "10 centroids with 4 values"),
        ("natural spline", cloud(), np.array([0.0, 1, 2, 3, 4, 5, 6, 7, 8, 8]), "have the value 8"),
        ("natural spline", cloud(4), np.array([0, 1, 2, np.nan]), "not finite"),
        ("tree", cloud(4), [("a",), ("a", "b"), ("a", "b"), ("a", "c")], "given twice"),
        ("tree", cloud(4), [("a",), ("b",), ("c",), ("d",)], "put one root"),
        ("tree", cloud(4), [("a",), (), ("a", "b"), ("a", "c")], "a path is empty"),
    ],
)
def test_what_cannot_be_fitted_is_refused(name, points, values, said):
    with pytest.raises(UnweaveError, match=said):
        fit(name, points, values)


def test_points_and_theta_of_another_shape_are_refused():
    found = fit("sphere", ball())
    with pytest.raises(UnweaveError, match="2 numbers a point"):
        found.at(np.zeros(3))
    with pytest.raises(UnweaveError, match=r"needs \[n, 12\]"):
        found.nearest(np.zeros((3, 5)))
