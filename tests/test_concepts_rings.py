from __future__ import annotations

import numpy as np
import pytest
from planted_concept import planted_states, ring_concept

from unweave.base.errors import UnweaveError
from unweave.shapes.concepts.rings import compare_with_circle, find_ring, ring_scores
from unweave.shapes.concepts.states import split_templates

TURN = 2 * np.pi


def thirds(states, seed=0):
    split = split_templates(12, seed, states.concept.name)
    return [states.centroids(each) for each in split]


def circle(count, start=0.0):
    angle = start + np.arange(count) / count * TURN
    return np.stack([np.cos(angle), np.sin(angle)], 1)


def test_a_circle_has_the_full_score_and_heaps_arcs_and_clouds_less():
    cloud = np.random.default_rng(0).standard_normal((400, 2))
    half = circle(24)[:12]
    heaps = np.repeat([[1.0, 0.0], [-1.0, 0.0]], 6, axis=0)
    assert ring_scores(circle(12)[None]) == pytest.approx([1.0])
    assert ring_scores(circle(7, 0.3)[None]) == pytest.approx([1.0])
    assert ring_scores(cloud[None])[0] < 0.25
    assert ring_scores(half[None])[0] < 0.75
    assert ring_scores(heaps[None])[0] == pytest.approx(1 - (np.pi - TURN / 12) / (TURN - TURN / 12))
    assert ring_scores(np.zeros((1, 8, 2)))[0] == pytest.approx(0.0)


def test_a_planted_ring_is_found_at_its_layer_in_its_order():
    states = planted_states(ring_concept(16), at=2)
    found = find_ring(*thirds(states), shuffles=99)
    assert found.layer == 2
    assert found.score > found.threshold
    assert found.p == 1 / 100
    assert found.by_layer.argmax() == 2
    order = compare_with_circle(found.angles, states.concept.angles(), 199)
    assert order.r > 0.95
    assert order.p == order.adjacency_p == 1 / 200
    assert order.adjacency == 1
    assert order.adjacency_threshold < 0.5


def test_order_and_score_do_not_depend_on_how_values_are_labelled():
    parts = thirds(planted_states(ring_concept(12)))
    order = np.random.default_rng(5).permutation(12)
    one, other = find_ring(*parts, shuffles=19), find_ring(*(each[:, order] for each in parts), shuffles=19)
    assert other.score == pytest.approx(one.score)
    turned = np.mod(other.angles - one.angles[order], TURN)
    mirrored = np.mod(other.angles + one.angles[order], TURN)
    assert min(np.ptp(np.sin(turned)), np.ptp(np.sin(mirrored))) < 1e-6


def test_without_a_ring_chance_reaches_the_level_as_often_as_it_says():
    p = []
    for seed in range(60):
        states = planted_states(ring_concept(10), at=None, seed=seed)
        p.append(find_ring(*thirds(states, seed), shuffles=39, seed=seed).p)
    assert sum(each <= 0.1 for each in p) <= 13
    assert 0.3 < np.mean(p) < 0.7


def test_an_order_at_random_is_no_ring_of_weekdays():
    known = np.arange(12) / 12 * TURN
    shuffled = np.random.default_rng(1).permutation(known)
    found = compare_with_circle(shuffled, known, 199)
    assert found.r < found.threshold
    assert found.adjacency_p > 0.05
    backwards = compare_with_circle(-known + 1, known, 199)
    assert (backwards.r, backwards.adjacency) == (pytest.approx(1), 1)


def test_layers_without_a_plane_are_passed_over_and_only_them_is_refused():
    fit, choose, test = thirds(planted_states(ring_concept(12)))
    for each in (fit, choose, test):
        each[0] = np.where(np.arange(12)[:, None] < 6, 1.0, -1.0)
    assert find_ring(fit, choose, test, 19).layer == 2
    with pytest.raises(UnweaveError, match="on a line at every layer"):
        find_ring(fit[:1], choose[:1], test[:1], 19)
    with pytest.raises(UnweaveError, match="give"):
        find_ring(fit[:, :3], choose[:, :3], test[:, :3], 19)


def test_a_ring_that_is_longer_one_way_is_as_much_a_ring():
    generator = np.random.default_rng(0)
    frame = np.linalg.qr(generator.standard_normal((8, 2)))[0].T
    oval = (circle(12) * [4.0, 1.0] @ frame)[None]
    thirds = [oval + 0.02 * generator.standard_normal(oval.shape) for _ in range(3)]
    found = find_ring(*thirds, shuffles=19)
    assert found.score > 0.95
    assert np.diff(np.sort(found.angles)) == pytest.approx(np.full(11, TURN / 12), abs=0.1)
