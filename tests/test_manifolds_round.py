from __future__ import annotations

import numpy as np
import pytest
from test_manifolds_families import TURN, ball, placed, ring

from unweave.shapes.manifolds.family import fit
from unweave.shapes.manifolds.round import nearest_sphere


def off(points, centre, radius):
    return float(((np.linalg.norm(points - centre, axis=1) - radius) ** 2).sum())


@pytest.mark.parametrize("width", [2, 3])
def test_the_nearest_sphere_has_the_least_squared_distances_and_not_the_algebraic_ones(width):
    generator = np.random.default_rng(width)
    arc = np.abs(generator.standard_normal((40, width)))
    points = 2 * arc / np.linalg.norm(arc, axis=1, keepdims=True) + 0.3 * generator.standard_normal(arc.shape) + 5
    centre, radius = nearest_sphere(points)
    least = off(points, centre, radius)
    for axis in range(width):
        for step in (-1e-3, 1e-3):
            assert off(points, centre + step * np.eye(width)[axis], radius) > least
            assert off(points, centre, radius + step) > least
    system = np.concatenate([2 * points, np.ones((len(points), 1))], 1)
    algebraic = np.linalg.lstsq(system, (points**2).sum(1), rcond=None)[0]
    reach = np.sqrt(algebraic[width] + algebraic[:width] @ algebraic[:width])
    assert least < 0.999 * off(points, algebraic[:width], reach)


def test_places_are_angles_once_round_and_latitudes_from_pole_to_pole():
    strangers = 3.0 + 2 * np.random.default_rng(0).standard_normal((60, 12))
    for angles in (fit("circle", ring()).nearest(strangers), fit("circle", ring()).knots[:, 0]):
        assert 0 <= angles.min() < 1 < 5 < angles.max() < TURN
    sphere = fit("sphere", ball())
    for found in (sphere.nearest(strangers), sphere.knots):
        assert 0 <= found[:, 0].min() < 1 < 5 < found[:, 0].max() < TURN
        assert -TURN / 4 <= found[:, 1].min() < -0.5 < 0.5 < found[:, 1].max() <= TURN / 4
    assert (sphere.low[0, 1], sphere.high[0, 1]) == (-TURN / 4, TURN / 4)
    torus = fit("torus", tilted())
    for found in (torus.nearest(strangers), torus.knots):
        assert found.min() >= 0
        assert found.max() < TURN


def tilted(big=2.0, small=0.8):
    """Points on one side of a torus only, so that its own axes are not their principal ones."""
    generator = np.random.default_rng(3)
    u, v = TURN * 0.7 * generator.random(60), 0.3 + TURN * 0.45 * generator.random(60)
    reach = big + small * np.cos(v)
    return placed(np.stack([reach * np.cos(u), reach * np.sin(u), small * np.sin(v)], 1))


def test_a_torus_of_which_one_side_is_seen_is_turned_until_it_fits():
    points = tilted()
    found = fit("torus", points)
    assert (found.parameters["ring radius"], found.parameters["tube radius"]) == pytest.approx((2.0, 0.8), rel=1e-4)
    assert np.abs(found.at(found.knots) - points).max() < 1e-5
    # Its frame is three directions at right angles, as long as the points are large.
    length = np.linalg.norm(found.frame, axis=1)
    assert np.allclose(found.frame @ found.frame.T, length[0] ** 2 * np.eye(3))


@pytest.mark.parametrize(
    ("name", "points", "inside", "own"), [("circle", ring(), 2, 3), ("sphere", ball(), 3, 4), ("torus", tilted(), 3, 7)]
)
def test_what_is_fitted_is_counted(name, points, inside, own):
    # A flat of m in d: its mean, and m directions of it, outside of itself.
    assert fit(name, points).freedom == (inside + 1) * (12 - inside) + own
