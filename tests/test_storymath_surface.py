"""Bent sheets through stories, flat ones, and their meshes."""

from __future__ import annotations

import numpy as np
import pytest
from story_arrays import Made

from unweave.base.errors import UnweaveError
from unweave.shapes.manifolds.curvature import sheet_test
from unweave.shapes.stories.surface import emotion_curvature, sheet_mesh


@pytest.fixture(scope="module")
def made():
    return Made(noise=0.5)


def sheet(made, bend, seed=0):
    generator = np.random.default_rng(seed)
    x = made.valence
    # The second axis is as smooth along a story as valence is.
    y = np.interp(np.arange(made.n), np.arange(0, made.n, 5), generator.standard_normal((made.n + 4) // 5))
    height = bend * (x**2 - x.var()) + 0.15 * generator.standard_normal(made.n)
    return np.stack([3 * x, 2 * y, height], 1) @ np.linalg.qr(generator.standard_normal((8, 8)))[0][:3]


def test_a_bent_sheet_is_told_from_a_plane(made):
    found = emotion_curvature(sheet(made, 1.2), made.stories, made.topics, shuffles=39)
    assert found.sheet.gain > 0.5
    assert found.sheet.p == 1 / 40


def test_what_is_flat_is_not_bent(made):
    ps = []
    for seed in range(8):
        found = emotion_curvature(sheet(made, 0.0, seed), made.stories, made.topics, shuffles=19, seed=seed)
        ps.append(found.sheet.p)
        assert found.sheet.sheet < 0.1
        assert found.ratio.ratio == pytest.approx(found.ratio.null, rel=0.2)
    assert sum(p <= 0.05 for p in ps) <= 2


def test_ways_along_a_thin_shell_are_longer_than_through_it(made):
    generator = np.random.default_rng(0)
    angle = np.pi * (made.valence - made.valence.min()) / np.ptp(made.valence)
    shell = np.stack([np.cos(1.6 * angle), np.sin(1.6 * angle), 0.2 * generator.standard_normal(made.n)], 1)
    found = emotion_curvature(shell, made.stories, made.topics, shuffles=19)
    assert found.ratio.p == 1 / 20
    assert found.ratio.ratio > 1.1


def test_groups_are_left_out_whole():
    # Every group has a height of its own on a place of its own: known to it alone, and useless for the others.
    generator = np.random.default_rng(0)
    groups = np.repeat(np.arange(6), 20)
    place = generator.standard_normal((6, 2))[groups] * [4, 3]
    points = np.concatenate([place, generator.standard_normal(6)[groups][:, None]], 1)
    points += 0.05 * generator.standard_normal(points.shape)
    together = sheet_test(points, 19, groups=groups)
    assert together.sheet < 0 < sheet_test(points, 19).sheet
    with pytest.raises(UnweaveError, match="120 names of 1 groups"):
        sheet_test(points, 19, groups=np.zeros(120))


def test_a_mesh_lies_on_its_sheet():
    generator = np.random.default_rng(0)
    x, y = generator.uniform(-1, 1, (2, 300))
    mesh = sheet_mesh(np.stack([x, y, x * x - y * y], 1), 6)
    assert mesh.vertices.shape == (36, 3)
    u, v, height = mesh.vertices.T
    assert height == pytest.approx(u * u - v * v, abs=1e-6)
    assert mesh.triangles.shape == (50, 3)
    assert sorted(np.unique(mesh.triangles)) == list(range(36))
    one, other, third = mesh.vertices[mesh.triangles][:, :, :2].transpose(1, 0, 2)
    areas = _areas(one, other, third)
    # Triangles cover the grid once.
    assert areas.sum() == pytest.approx(np.ptp(u) * np.ptp(v))


def _areas(one, other, third):
    (a, b), (c, d) = (other - one).T, (third - one).T
    return np.abs(a * d - b * c) / 2


def test_heights_stay_within_the_points():
    generator = np.random.default_rng(0)
    places = generator.standard_normal((40, 3))
    assert np.ptp(sheet_mesh(places).vertices[:, 2]) <= np.ptp(places[:, 2])
    with pytest.raises(UnweaveError, match="give 12 places"):
        sheet_mesh(places[:5])


def test_too_few_shuffles_and_dimensions_are_refused(made):
    with pytest.raises(UnweaveError, match="9 shuffles"):
        emotion_curvature(sheet(made, 0), made.stories, made.topics, shuffles=9)
    with pytest.raises(UnweaveError, match="9 dimensions of width 8"):
        emotion_curvature(sheet(made, 0), made.stories, made.topics, dimensions=9)
