from __future__ import annotations

import numpy as np
import pytest
from test_manifolds_families import TURN, cloud, placed

from unweave.base.errors import UnweaveError
from unweave.shapes.manifolds.distances import (
    METRICS,
    best_layer,
    centroid_distances,
    distance_correlation,
    great_circle,
    held_out_layer,
    metric,
    value_distances,
)


def ring(count, noise=0.0, seed=0):
    angle = np.arange(count) / count * TURN
    there = placed(np.stack([np.cos(angle), np.sin(angle)], 1))
    return there + noise * np.random.default_rng(seed).standard_normal(there.shape)


def test_metrics_know_their_distances():
    assert value_distances("linear", np.array([1.0, 4, 2]))[0].tolist() == [0, 3, 1]
    assert value_distances("circular", np.array([0.0, 6, 3]), period=7)[0].tolist() == [0, 1, 3]
    assert value_distances("hue", np.array([350.0, 10, 170]))[0].tolist() == [0, 20, 180]
    paths = [("animal", "dog"), ("animal", "cat"), ("animal", "fish", "eel")]
    assert value_distances("tree path", paths)[0].tolist() == [0, 2, 3]
    # Berlin to Sydney is 16,094 km, and half of the equator half of the way round.
    cities = np.array([[52.52, 13.405], [-33.8688, 151.2093]])
    assert great_circle(cities)[0, 1] * 6371 == pytest.approx(16_094, rel=0.002)
    assert great_circle(np.array([[0.0, 0], [0, 180]]))[0, 1] == pytest.approx(np.pi)


def test_a_metric_is_one_function():
    @metric("same")
    def same(values):
        return np.zeros((len(values),) * 2)

    try:
        assert value_distances("same", [1, 2]).shape == (2, 2)
        with pytest.raises(UnweaveError, match="registered already"):
            metric("same")(same)
    finally:
        del METRICS["same"]


def test_a_ring_of_weekdays_is_found_and_no_order_of_seven_can_be_rarer_than_its_symmetries():
    known = value_distances("circular", np.arange(7.0), period=7)
    found = distance_correlation(centroid_distances(ring(7, 0.02)), known)
    assert found.r > 0.95
    assert found.p == pytest.approx(14 / 5040)
    exact = distance_correlation(centroid_distances(ring(7)), known)
    assert exact.p == pytest.approx(14 / 5040)


def test_r_is_pearsons_over_pairs():
    known = value_distances("linear", np.arange(9.0))
    points = cloud(9)
    pairs = np.triu_indices(9, 1)
    found = distance_correlation(centroid_distances(points), known)
    assert found.r == pytest.approx(np.corrcoef(centroid_distances(points)[pairs], known[pairs])[0, 1])
    assert found.threshold > 0.2


def test_chance_reaches_the_level_as_often_as_it_says():
    known = value_distances("circular", np.arange(8.0), period=8)
    p = [distance_correlation(centroid_distances(cloud(8, 5, each)), known, 99, each).p for each in range(200)]
    assert 3 <= sum(each <= 0.05 for each in p) <= 19
    assert np.mean(p) == pytest.approx(0.5, abs=0.07)


def test_the_null_of_the_best_layer_repeats_the_choice():
    known = value_distances("circular", np.arange(9.0), period=9)
    best = []
    single = []
    for each in range(120):
        layers = np.stack([centroid_distances(cloud(9, 5, 1000 * each + layer)) for layer in range(10)])
        best.append(best_layer(layers, known, 99, each))
        single.append(distance_correlation(layers[best[-1].layer], known, 99, each).p)
    assert sum(each.p <= 0.05 for each in best) <= 13
    # Testing the chosen layer alone, as if nothing had been chosen, finds a ring far too often.
    assert sum(each <= 0.05 for each in single) > 25
    assert best[0].r == max(best[0].by_layer)


def test_the_layer_with_the_ring_is_chosen():
    known = value_distances("circular", np.arange(12.0), period=12)
    layers = np.stack([centroid_distances(each) for each in (cloud(12), ring(12, 0.1), cloud(12, seed=5))])
    found = best_layer(layers, known, 199)
    assert (found.layer, found.p) == (1, 1 / 200)
    assert found.r > found.threshold


def test_what_cannot_be_compared_is_refused():
    known = value_distances("linear", np.arange(5.0))
    with pytest.raises(UnweaveError, match="all the same"):
        distance_correlation(1 - np.eye(5), known)
    with pytest.raises(UnweaveError, match="4 values or more"):
        distance_correlation(np.zeros((3, 3)), np.zeros((3, 3)))
    with pytest.raises(UnweaveError, match="5 shuffles"):
        distance_correlation(known, known, 5)
    with pytest.raises(UnweaveError, match="nearest: 'circular'"):
        value_distances("circlar", np.arange(3.0))
    with pytest.raises(UnweaveError, match="period is 0"):
        value_distances("circular", np.arange(3.0), period=0)
    with pytest.raises(UnweaveError, match="latitude"):
        great_circle(np.array([[120.0, 3]]))
    with pytest.raises(UnweaveError, match="not finite"):
        value_distances("linear", np.array([1, np.nan]))


def test_a_layer_is_chosen_on_one_set_and_r_is_of_the_other():
    known = value_distances("circular", np.arange(12.0), period=12)
    choose = np.stack([centroid_distances(each) for each in (cloud(12), ring(12, 0.1), cloud(12, seed=5))])
    test = np.stack([centroid_distances(each) for each in (ring(12, 0.1), ring(12, 0.1, 3), cloud(12, seed=6))])
    found = held_out_layer(choose, test, known, 199)
    assert (found.layer, found.p) == (1, 1 / 200)
    assert found.r == found.by_layer[1] != found.chosen_by[1]
    # On the first layer only the test set has the ring: chosen by it, it would have been found there.
    assert found.by_layer[0] > 0.9 > 0.4 > found.chosen_by[0]
    assert held_out_layer(choose, choose[[0, 2, 0]], known, 199).p > 0.05
    with pytest.raises(UnweaveError, match="the same layers twice"):
        held_out_layer(choose, test[:2], known)


def test_the_null_of_a_layer_held_out_chooses_it_again_for_both_sets():
    known = value_distances("circular", np.arange(9.0), period=9)
    found, single = [], []
    for each in range(120):
        # One cloud behind both sets, as when values look the same in all templates.
        shared = [cloud(9, 5, 1000 * each + layer) for layer in range(10)]
        sets = [
            np.stack([centroid_distances(one + 0.2 * cloud(9, 5, 77 * each + place + 1)) for one in shared])
            for place in (0, 1)
        ]
        found.append(held_out_layer(*sets, known, 99, each).p)
        single.append(distance_correlation(sets[1][held_out_layer(*sets, known, 19, each).layer], known, 99, each).p)
    assert sum(each <= 0.05 for each in found) <= 13
    assert sum(each <= 0.05 for each in single) > 25
