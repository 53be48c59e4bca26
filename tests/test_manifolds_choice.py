from __future__ import annotations

import numpy as np
import pytest
from test_manifolds_families import TURN, cloud, placed

from unweave.base.errors import UnweaveError
from unweave.shapes.manifolds.choice import choose
from unweave.stats.comparisons import holm
from unweave.stats.noise import paired_test

FEW = ["circle", "natural spline", "closed spline"]


def noisy(points, noise=0.03, width=64, seed=0):
    there = placed(points, width, seed)
    return there + noise * np.random.default_rng(seed).standard_normal(there.shape)


def ring(count=12, noise=0.03, width=64):
    angle = np.arange(count) / count * TURN
    return noisy(np.stack([np.cos(angle), np.sin(angle)], 1), noise, width)


def disk(count=30):
    share = (np.arange(count) + 0.5) / count
    angle = np.arange(count) * TURN * 0.618
    return noisy(np.stack([np.sqrt(share) * np.cos(angle), np.sqrt(share) * np.sin(angle)], 1))


def test_a_ring_is_a_circle_and_not_the_plane_that_holds_it_too():
    found = choose(ring(), np.arange(12.0), FEW)
    assert (found.name, found.dimension, found.curved) == ("circle", 1, True)
    assert found.of_dimension(1) == "circle"
    assert found.candidate("circle").p < 0.01
    # More dimensions gain nothing, although a plane holds everything that a circle does.
    assert found.candidate("circle").error <= found.candidate("plane").error
    assert found.candidate("flat 5").error > found.candidate("plane").error


def test_a_segment_is_a_line_and_nothing_is_better_than_pca():
    found = choose(noisy(np.linspace(-2, 2, 14)[:, None]), np.arange(14.0), FEW)
    assert (found.name, found.curved) == ("line", False)
    assert all(each.p == 1 for each in found.candidates if each.p is not None and each.dimension)


def test_a_disk_is_a_plane_although_a_circle_beats_a_line_on_it():
    found = choose(disk(), None, ["circle"])
    assert (found.name, found.curved) == ("plane", False)
    assert found.candidate("circle").p < 0.05
    assert found.of_dimension(1) == "circle"


def test_noise_in_four_dimensions_is_a_flat_of_four():
    points = np.random.default_rng(4).standard_normal((16, 4))
    assert choose(noisy(points), None, ["circle"]).name == "flat 4"


def apart(groups, each, spread, seed, width=64):
    """Clusters that are all as far from one another: centres on axes of their own."""
    around = np.random.default_rng(seed).standard_normal((groups * each, width))
    return np.repeat(np.eye(groups, width), each, 0) + spread * around / np.sqrt(width)


def grown(depth, seed, width=64):
    """The leaves of a tree that forks at every step and goes each time in a direction of its own."""
    generator, found = np.random.default_rng(seed), np.zeros((1, width))
    for _ in range(depth):
        found = np.repeat(found, 2, 0)
        found = found + generator.standard_normal(found.shape) / np.sqrt(width)
    return found


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(("groups", "each"), [(3, 7), (8, 3), (5, 4)])
def test_clusters_that_are_equally_far_apart_are_no_tree_and_no_curve_through_their_centres(groups, each, seed):
    found = choose(apart(groups, each, 0.4, seed), None, [*FEW, "tree"])
    assert (found.name, found.dimension, found.curved) == ("clusters", 0, False)
    # It is not that a tree fits them badly.
    assert found.candidate("tree").p < 0.001
    assert found.candidate("tree").error == pytest.approx(found.candidate("clusters").error, rel=0.2)
    assert found.of_dimension(1) != "clusters"


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_tree_that_forks_at_every_step_is_a_tree_and_not_clusters(seed):
    found = choose(grown(4, seed), None, [*FEW, "tree"])
    assert (found.name, found.dimension, found.curved) == ("tree", 1, True)
    assert found.candidate("tree").error < 0.95 * found.candidate("clusters").error


def test_a_curve_that_clusters_do_no_worse_than_is_dropped_and_one_that_is_better_stays():
    assert choose(ring(16), None, [*FEW, "tree"]).name == "circle"
    assert choose(noisy(np.linspace(-2, 2, 14)[:, None]), None, ["tree"]).name == "line"
    found = choose(disk(20), None, ["circle", "tree"])
    assert found.candidate("clusters").p < 0.05
    assert found.name == "plane"


def test_nothing_is_found_in_a_round_cloud():
    found = [choose(cloud(8, 32, seed), None, ["circle"], most_flat=2).name for seed in range(8)]
    assert found.count("none") >= 7


def test_errors_are_held_out_and_of_the_scale_of_the_mean():
    found = choose(ring(noise=0.0), np.arange(12.0), FEW)
    assert found.candidate("none").error == pytest.approx(1.0)
    assert found.candidate("circle").error < 1e-8
    spline = found.candidate("closed spline").error
    # An interpolating spline through the others misses the left-out point by what its gap hides.
    assert 1e-6 < spline < 0.01


def test_the_choice_does_not_depend_on_where_the_points_are_or_how_large():
    points = ring()
    first, second = choose(points, None, FEW), choose(1e3 * points - 7e3, None, FEW)
    assert np.allclose(first.candidate("circle").errors, second.candidate("circle").errors, rtol=1e-4)


def test_families_that_cannot_be_fitted_are_named():
    found = choose(ring(8), np.array([0, 0, 1, 2, 3, 4, 5, 6.0]), FEW)
    assert "have the value 0" in found.refused["natural spline"]
    with pytest.raises(UnweaveError, match="was not tried; nearest"):
        found.candidate("natural spline")


def test_flats_end_at_half_of_the_columns_from_which_places_are_found():
    found = choose(cloud(20, 9), None, ["circle"])
    assert [each.dimension for each in found.candidates if each.p is None] == [0, 1, 2, 3, 4]


def test_p_is_one_sided_of_paired_errors_beside_the_flat_of_the_dimension_and_adjusted_for_the_families():
    points = noisy(np.stack([np.cos(np.arange(9)), np.sin(np.arange(9))], 1), 0.12)
    alone = choose(points, None, ["circle"])
    flat, circle = alone.candidate("line"), alone.candidate("circle")
    raw = paired_test(flat.errors, circle.errors).p / 2
    assert 0 < circle.p < 0.5
    assert circle.p == pytest.approx(raw)
    three = choose(points, np.arange(9.0), FEW)
    sides = [paired_test(three.candidate("line").errors, three.candidate(name).errors).p / 2 for name in FEW]
    better = [three.candidate(name).error < three.candidate("line").error for name in FEW]
    expected = holm([p if told else 1.0 for p, told in zip(sides, better, strict=True)])
    assert [three.candidate(name).p for name in FEW] == pytest.approx(list(expected))


def test_a_stricter_level_finds_less_and_is_kept():
    found = choose(ring(), None, ["circle"], level=1e-30)
    assert (found.name, found.dimension, found.curved, found.level) == ("none", 0, False, 1e-30)
    assert found.of_dimension(1) == "line"


def test_in_noise_a_flat_of_more_dimensions_is_worse_because_places_are_found_from_the_other_half():
    errors = [each.error for each in choose(cloud(20, 64), None, ["circle"]).candidates if each.p is None]
    assert errors[0] == pytest.approx(1)
    assert errors[1] > 1
    assert all(np.diff(errors) > 0)


def test_every_value_stays_with_its_own_centroid_when_others_are_left_out():
    points, order = ring(), np.random.default_rng(0).permutation(12)
    straight = choose(points, np.arange(12.0), ["natural spline"]).candidate("natural spline")
    mixed = choose(points[order], np.arange(12.0)[order], ["natural spline"]).candidate("natural spline")
    assert np.allclose(mixed.errors, straight.errors[order])
    assert straight.error < 0.2


def test_rotations_are_of_the_seed_and_errors_are_means_over_them():
    points = ring(noise=0.1)
    first, again, other = (choose(points, None, ["circle"], seed=seed).candidate("plane") for seed in (0, 0, 1))
    assert np.array_equal(first.errors, again.errors)
    assert not np.allclose(first.errors, other.errors, rtol=1e-3)
    many = choose(points, None, ["circle"], rotations=9).candidate("plane")
    assert many.error == pytest.approx(first.error, rel=0.2)
    assert not np.allclose(first.errors, many.errors, rtol=1e-3)


def test_parameters_are_counted_and_the_least_that_can_be_chosen_from_is_taken():
    found = choose(cloud(6, 8), None, ["circle", "tree"], rotations=1, most_flat=2)
    flats = {each.name: each.freedom for each in found.candidates if each.p is None}
    # The mean; a line's mean outside of it and its direction; a plane's.
    assert flats == {"none": 8, "line": 2 * 7, "plane": 3 * 6}
    assert found.candidate("clusters").freedom in (2 * 8, 3 * 8)
    # Of seven values without one, six span five dimensions, and a flat needs one of them for the error.
    assert [each.dimension for each in choose(cloud(7, 64), None, ["circle"]).candidates][:-2] == [0, 1, 2, 3, 4]
    wrong = {"rotations": (0, "0 rotations"), "most_flat": (1, "up to 1"), "level": (1, "level 1")}
    for name, (value, said) in wrong.items():
        with pytest.raises(UnweaveError, match=said):
            choose(cloud(10, 64), None, ["circle"], **{name: value})
    with pytest.raises(UnweaveError, match="6 centroids of width 7"):
        choose(cloud(6, 7))


def test_what_cannot_be_chosen_from_is_refused():
    with pytest.raises(UnweaveError, match="5 centroids of width 64"):
        choose(cloud(5, 64))
    with pytest.raises(UnweaveError, match="10 centroids of width 4"):
        choose(cloud(10, 4))
    with pytest.raises(UnweaveError, match="nearest: 'sphere'"):
        choose(cloud(10, 64), None, ["spere"])
    with pytest.raises(UnweaveError, match="level 2"):
        choose(cloud(10, 64), level=2)
    with pytest.raises(UnweaveError, match="nothing of dimension 9"):
        choose(cloud(10, 64), None, ["circle"]).of_dimension(9)
