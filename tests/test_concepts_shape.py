from __future__ import annotations

import numpy as np
import pytest
from planted_concept import planted_states, ring_concept

from unweave.base.errors import UnweaveError
from unweave.shapes.concepts.concept import Concept, Value
from unweave.shapes.concepts.label_free import label_free
from unweave.shapes.concepts.picture import curve_families, picture
from unweave.shapes.concepts.shape import ADJACENCY, DISTANCE, RING, RING_R, TOKENS, ShapeSettings, concept_shape

QUICK = ShapeSettings(shuffles=199, surrogates=19)


@pytest.fixture(scope="module")
def ring():
    return concept_shape(planted_states(ring_concept(16)), 1, QUICK)


def test_the_ring_is_found_where_it_was_planted_with_every_null(ring):
    assert (ring.layer, ring.ring_layer, ring.seed) == (2, 2, 1)
    for name in (DISTANCE, RING_R, ADJACENCY):
        score = ring.score(name)
        assert score.value > 0.9 > score.null
        assert score.p == 1 / 200
    assert ring.score(RING).p == 1 / 20
    # The ring is planted two blocks later, so that the tokens have none.
    assert ring.score(TOKENS).value == pytest.approx(ring.layers[0].r)
    assert ring.score(TOKENS).value < ring.score(TOKENS).null
    assert {"loop", "loop, phases", "way over chord", "bent sheet", "tree delta"} < {each.name for each in ring.scores}
    assert ring.score("loop").value > ring.score("loop").null
    assert ring.chosen == "circle"
    assert sum(each.chosen for each in ring.families) == 1
    assert [each.layer for each in ring.layers] == [0, 1, 2, 3]
    assert max(ring.layers, key=lambda each: each.r).layer == 2


def test_dealt_labels_have_no_shape_of_their_own():
    states = planted_states(ring_concept(16))
    order = np.random.default_rng(3).permutation(16)
    dealt = type(states)(states.concept, states.layers, states.states[order])
    found = concept_shape(dealt, 1, QUICK)
    assert found.score(DISTANCE).p > 0.05
    assert found.score(RING_R).p > 0.05
    # The ring itself is there, whatever its values are called.
    assert found.score(RING).p == 1 / 20
    assert found.ring_layer == 2


def test_the_layer_is_not_chosen_on_the_templates_that_test():
    states = planted_states(ring_concept(16), at=None)
    strong = planted_states(ring_concept(16), at=1, seed=1).states
    from unweave.shapes.concepts.states import split_templates

    split = split_templates(12, 1, "ring")
    states.states[:, list(split.test), 1] = strong[:, list(split.test), 1]
    weak = planted_states(ring_concept(16), at=3, seed=2).states
    states.states[:, list(split.choose), 3] = weak[:, list(split.choose), 3]
    found = concept_shape(states, 1, QUICK)
    assert found.layer == 3
    assert found.score(DISTANCE).value < 0.3
    assert found.layers[1].r > 0.9


def test_without_a_known_metric_only_label_free_scores_are_there():
    concept = Concept("none", tuple(Value(each) for each in "abcdefghijkl"), ring_concept().templates)
    found = concept_shape(planted_states(concept), 0, QUICK)
    assert found.layer == found.ring_layer == 2
    assert not {DISTANCE, TOKENS, RING_R, ADJACENCY, "loop, phases"} & {each.name for each in found.scores}
    assert found.layers[0].r is None
    assert curve_families(concept, "circle") == ("circle",)


def test_depths_where_all_values_have_one_state_are_passed_over():
    states = planted_states(ring_concept(12))
    states.states[:, :, 0] = states.states[:1, :, 0]
    found = concept_shape(states, 0, QUICK)
    assert found.layer == 2
    assert found.layers[0].r is None
    assert found.score(TOKENS) is None
    states.states[:] = states.states[:1]
    with pytest.raises(UnweaveError, match="on a line at every layer"):
        concept_shape(states, 0, QUICK)


def test_what_few_values_cannot_say_is_said():
    found = concept_shape(planted_states(ring_concept(5)), 0, QUICK)
    assert (found.chosen, found.curve, found.families) == ("", "line", ())
    assert any(each.startswith("families: 5 values") for each in found.refused)
    assert any(each.startswith("bent sheet") for each in found.refused)
    with pytest.raises(UnweaveError, match="5 shuffles"):
        ShapeSettings(shuffles=5)


def test_a_line_is_no_loop_and_its_dimension_is_below_a_clouds():
    generator = np.random.default_rng(0)
    line = np.linspace(0, 9, 30)[:, None] * np.ones((1, 6)) + 0.01 * generator.standard_normal((30, 6))
    line[:, 1] = np.linspace(-1, 1, 30) ** 2 * 9
    found = dict(label_free(line, np.arange(30), 19, 0, []))
    value, bound, p = found["dimension, local axes"]
    assert value < 1.6 < bound
    assert p == 0.05
    assert found["loop"][2] > 0.05
    assert found["bent sheet"][1] is None


def test_a_picture_holds_centroids_and_curves_in_the_same_axes():
    states = planted_states(ring_concept(12))
    names = curve_families(states.concept, "circle")
    assert names == ("circle", "closed spline")
    found = picture(states, range(8), 2, names)
    points = states.centroids(range(8))[2]
    kept = np.array(found.centroids)
    assert sum(found.explained) == pytest.approx((kept**2).sum() / (points**2).sum())
    assert found.explained[0] > found.explained[1] > found.explained[2] > 0
    spline = next(each for each in found.curves if each.family == "closed spline")
    curve = np.array(spline.places)
    assert curve[0] == pytest.approx(curve[-1], abs=1e-6)
    # A spline passes through every centroid, and so does its drawing.
    gaps = np.linalg.norm(kept[:, None] - curve, axis=2).min(1)
    assert gaps.max() < 0.05 * np.linalg.norm(kept, axis=1).mean()


def test_a_tree_is_drawn_edge_by_edge_and_a_family_that_does_not_fit_is_left_out():
    paths = [("r", "x", "a"), ("r", "x", "b"), ("r", "y", "c"), ("r", "y", "d")]
    concept = Concept("tree", tuple(Value(path[-1], path) for path in paths), ring_concept().templates, "tree path")
    found = picture(planted_states(concept), range(12), 1, ("tree", "torus"))
    assert [each.family for each in found.curves] == ["tree"]
    tree = found.curves[0]
    assert len(tree.part) == 2 * (max(tree.part) + 1) == 12
    leaf = [place for part, place in zip(tree.part, tree.places, strict=True) if part == 0]
    ends = np.array([*leaf])
    assert min(np.linalg.norm(np.array(found.centroids) - end, axis=1).min() for end in ends) < 1e-3
