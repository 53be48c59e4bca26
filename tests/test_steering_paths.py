from __future__ import annotations

import numpy as np
import pytest
from steered_ring import Ring

from unweave.base.errors import UnweaveError
from unweave.shapes.steering.behaviour import fit_behaviour
from unweave.shapes.steering.curve import path_length
from unweave.shapes.steering.energy import cost, isometry
from unweave.shapes.steering.move import move
from unweave.shapes.steering.paths import (
    CHORD,
    IN_SUBSPACE,
    MANIFOLD,
    RENORMED,
    WAYS,
    fit_manifold,
    neighbours_and_far,
    shuffled,
    way_lengths,
    waypoints,
)
from unweave.shapes.steering.system import Labelled, layout

SHARES = np.linspace(0, 1, 21)


@pytest.fixture(params=[True, False], ids=["closed", "open"])
def system(request):
    return Ring(closed=request.param)


def fitted(system, components=2):
    known = layout(system.metric)
    manifold = fit_manifold(system.states(0), known, components)
    return known, manifold, fit_behaviour(system.natural(0), system.states(0).index, known)


def test_every_way_goes_from_one_centroid_to_the_other(system):
    _, manifold, _ = fitted(system)
    bases = system.bases(0)
    for way in (*WAYS, shuffled(0)):
        found = waypoints(manifold, way, 1, 4, SHARES, bases)
        assert found.states.shape == (2, 21, bases.shape[1])
        ends = found.plain[[0, -1]]
        np.testing.assert_allclose(manifold.inside(ends), manifold.curve.points[[1, 4]], atol=1e-9)


def test_the_rest_of_each_base_is_kept_inside_the_subspace_and_lost_on_the_chord(system):
    _, manifold, _ = fitted(system)
    bases = system.bases(0)
    for way, kept in ((MANIFOLD, True), (IN_SUBSPACE, True), (shuffled(1), True), (CHORD, False), (RENORMED, False)):
        states = waypoints(manifold, way, 0, 3, SHARES, bases).states
        same = [np.allclose(manifold.outside(own), manifold.outside(bases)[[at]]) for at, own in enumerate(states)]
        assert all(same) == kept


def test_the_renormed_chord_stays_as_far_out_as_the_centroids_and_the_chord_does_not():
    _, manifold, _ = fitted(Ring())
    middle = manifold.centroids.mean(0)
    radius = np.linalg.norm(waypoints(manifold, RENORMED, 0, 3, SHARES, np.zeros((1, 20))).plain - middle, axis=1)
    np.testing.assert_allclose(radius, np.linalg.norm(manifold.centroids[0] - middle), rtol=1e-6)
    chord = np.linalg.norm(waypoints(manifold, CHORD, 0, 3, SHARES, np.zeros((1, 20))).plain - middle, axis=1)
    assert chord.min() < 0.5 * radius.min()


def test_the_way_along_a_circle_costs_less_than_straight_or_shuffled_and_visits_what_lies_between():
    system = Ring()
    known, manifold, behaviour = fitted(system)
    ways = (MANIFOLD, IN_SUBSPACE, *map(shuffled, range(6)))
    steered = {way: waypoints(manifold, way, 0, 3, SHARES, system.bases(0)).states for way in ways}
    costs = {way: cost(system.answers(0, each), behaviour, known, 0, 3) for way, each in steered.items()}
    others = [costs[shuffled(each)] for each in range(6)]
    assert costs[MANIFOLD].energy < 0.2 * costs[IN_SUBSPACE].energy
    assert costs[MANIFOLD].energy < 0.2 * np.mean([each.energy for each in others])
    assert costs[MANIFOLD].energy < min(each.energy for each in others)
    assert costs[MANIFOLD].mass > costs[IN_SUBSPACE].mass + 0.05
    assert (costs[MANIFOLD].order, costs[MANIFOLD].visited, costs[MANIFOLD].jumps) == (1, 1, 0)
    assert np.mean([each.order for each in others]) < 0.9
    assert max(each.jumps for each in others) > 0


def test_order_counts_only_what_does_not_turn_back():
    system = Ring(closed=False, count=5)
    known, _, behaviour = fitted(system)
    said = [0, 1, 3, 2, 4, 0]
    probabilities = np.eye(6)[said][None]
    found = cost(probabilities, behaviour, known, 0, 4)
    assert found.order == pytest.approx(4 / 6)
    assert found.visited == 1
    assert found.jumps == 3
    assert cost(probabilities, behaviour, known, 0, 1).visited is None
    assert cost(probabilities, behaviour, known, 0, 1).order == pytest.approx(2 / 6)


def test_opposite_values_may_be_joined_either_way_round():
    system = Ring(count=6)
    known, _, behaviour = fitted(system)
    for said in ([0, 1, 2, 3], [0, 5, 4, 3]):
        assert cost(np.eye(7)[said][None], behaviour, known, 0, 3).order == 1


def test_distance_to_behaviour_is_bhattacharyyas_and_zero_on_the_curve(system):
    _, _, behaviour = fitted(system)
    index = system.states(0).index
    own = np.sqrt(system.natural(0))
    centres = np.stack([own[index == value].mean(0) for value in range(len(system.values))])
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    np.testing.assert_allclose(behaviour.bhattacharyya(centres**2), 0, atol=1e-9)
    other = np.eye(len(system.values) + 1)[-1]
    expected = -np.log(behaviour.roots[:, -1].max())
    assert behaviour.bhattacharyya(other) == pytest.approx(expected)


def test_distances_along_behaviour_go_the_short_way_round():
    _, _, behaviour = fitted(Ring())
    found = behaviour.distances()
    np.testing.assert_allclose(found, found.T)
    assert found[0, 1] == pytest.approx(found[7, 0], rel=1e-2)
    assert found[0, 4] == pytest.approx(4 * found[0, 1], rel=1e-2)
    _, _, line = fitted(Ring(closed=False))
    assert line.distances()[0, 7] == pytest.approx(line.distances()[0, 4] + line.distances()[4, 7])


def test_lengths_along_the_circle_follow_behaviour_better_than_chords():
    _known, manifold, behaviour = fitted(Ring())
    along, straight = (isometry(way_lengths(manifold, way), behaviour.distances()) for way in (MANIFOLD, CHORD))
    assert along.r > 0.999 > straight.r
    assert along.low - 1e-9 <= along.r <= along.high + 1e-9
    assert along.p == pytest.approx(1 / 1000)
    assert straight.low < straight.r < straight.high


def test_lengths_are_of_the_ways_that_are_walked_and_not_of_their_waypoints(system):
    _, manifold, _ = fitted(system)
    fine = np.linspace(0, 1, 400)
    for way in (*WAYS, shuffled(0)):
        found = way_lengths(manifold, way)
        np.testing.assert_array_equal(found, found.T)
        for first, second in ((0, 1), (6, 1), (2, 5)):
            walked = path_length(waypoints(manifold, way, first, second, fine, system.bases(0)).plain)
            assert found[first, second] == pytest.approx(walked, rel=2e-3)
    with pytest.raises(UnweaveError, match="no way is named"):
        way_lengths(manifold, "chrod")


def test_isometry_of_few_values_leaves_out_draws_without_a_pair():
    system = Ring(closed=False, count=4)
    _, manifold, behaviour = fitted(system)
    found = isometry(way_lengths(manifold, MANIFOLD), behaviour.distances())
    assert found.low - 1e-9 <= found.r <= found.high + 1e-9


def test_a_step_past_several_values_is_a_jump_only_where_an_even_walk_needs_none():
    system = Ring(closed=False, count=9)
    known, _, behaviour = fitted(system)
    few, many = [0, 2, 4, 6, 8], [0, 1, 2, 4, 5, 6, 7, 8, 8]
    assert cost(np.eye(10)[few][None], behaviour, known, 0, 8).jumps == 0
    assert cost(np.eye(10)[many][None], behaviour, known, 0, 8).jumps == 1
    assert cost(np.eye(10)[[0, 2, 5, 6, 8]][None], behaviour, known, 0, 8).jumps == 1


def test_pairs_are_all_or_a_draw_with_half_of_it_near():
    known = layout(Ring(count=12).metric)
    every = neighbours_and_far(known, Ring(count=12).metric, 100)
    assert len(every) == 66
    assert sum(kind == "near" for *_, kind in every) == 12
    some = neighbours_and_far(known, Ring(count=12).metric, 16)
    assert len(set(some)) == 16
    assert sum(kind == "near" for *_, kind in some) == 8
    assert some == neighbours_and_far(known, Ring(count=12).metric, 16)


def test_a_place_moves_every_base_context_and_a_value_stands_at_its_own(system):
    _, manifold, _ = fitted(system)
    moved = move(system, manifold, 0, value="v3")
    assert moved.answers.argmax() == 3
    assert moved.answers.sum() == pytest.approx(1)
    again = move(system, manifold, 0, theta=moved.theta)
    np.testing.assert_allclose(again.answers, moved.answers)
    np.testing.assert_allclose(moved.deviation, 0, atol=1e-9)  # the rest does not matter to a ring
    with pytest.raises(UnweaveError, match="'v9' is no value"):
        move(system, manifold, 0, value="v9")
    with pytest.raises(UnweaveError, match="and not both"):
        move(system, manifold, 0)


def test_a_value_without_states_and_an_unknown_way_are_refused():
    system = Ring()
    known, manifold, _ = fitted(system)
    states, index = system.states(0)
    with pytest.raises(UnweaveError, match=r"values \[7\] of 8"):
        fit_manifold(Labelled(states[index < 7], index[index < 7]), known)
    with pytest.raises(UnweaveError, match="no way is named 'chrod'"):
        waypoints(manifold, "chrod", 0, 1, SHARES, system.bases(0))
