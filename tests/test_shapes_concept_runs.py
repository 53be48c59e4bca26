from __future__ import annotations

import numpy as np
import pytest
from concept_run import DAYS, LAYER, PAIRS, STEPS, TASK, WAYS, DaySystem, answer_rows, make_run, mirrored

from unweave.base.errors import UnweaveError
from unweave.base.views import RUN_KINDS
from unweave.record.run import Run
from unweave.shapes.concept_runs.subject import open_concepts
from unweave.shapes.concept_runs.view_models import (
    ConceptsConceptRequest,
    ConceptsMoveRequest,
    ConceptsOverviewRequest,
    ConceptsSteeringRequest,
)
from unweave.shapes.concept_runs.views import concept, move, overview, steering


@pytest.fixture(scope="module")
def shaped(tmp_path_factory):
    return open_concepts(make_run(tmp_path_factory.mktemp("runs"), "concept-geometry", "shaped").path)


@pytest.fixture(scope="module")
def steered(tmp_path_factory):
    subject = open_concepts(make_run(tmp_path_factory.mktemp("runs"), "steer-manifold", "steered").path)
    subject.kept(f"system {TASK}", DaySystem)
    return subject


def test_runs_are_told_by_their_tables_and_say_what_they_are_of(shaped, steered):
    assert [kind.name for kind in RUN_KINDS if kind.holds(shaped.run.path)] == ["concepts"]
    assert [kind.name for kind in RUN_KINDS if kind.holds(steered.run.path)] == ["concepts"]
    assert (shaped.summary().about, steered.summary().about) == ("2 concepts", "1 task steered")
    found = overview(shaped, ConceptsOverviewRequest())
    assert [(one.name, one.values, one.layers, one.layer) for one in found.concepts] == [
        ("weekdays", 7, [5, LAYER], LAYER),
        ("colours", 4, [5, LAYER], 5),
    ]
    assert (found.tasks, found.moving.available, found.moving.reason) == ([], False, "this run steered nothing")
    found = overview(steered, ConceptsOverviewRequest())
    assert [(one.name, one.layers, one.pairs) for one in found.tasks] == [(TASK, [LAYER], list(PAIRS))]
    assert (found.concepts, found.moving.available) == ([], True)


def test_a_concept_has_its_places_curves_colours_and_tables(shaped):
    found = concept(shaped, ConceptsConceptRequest(concept="weekdays"))
    assert (found.layer, found.axes) == (
        LAYER,
        ("PC1 (50% of variance)", "PC2 (25% of variance)", "PC3 (17% of variance)"),
    )
    assert [one.label for one in found.values] == list(DAYS)
    assert found.values[0].place == (3.0, 0.0, 0.0)
    assert [(one.family, one.closed, one.chosen) for one in found.curves] == [
        ("closed spline", True, True),
        ("natural spline", False, False),
    ]
    assert [column.name for column in found.scores.columns] == ["seed", "score", "layer", "value", "null 95 %", "p"]
    assert (found.scores.caption, found.scores.rows[2][3]) == ("A row a split of the templates.", pytest.approx(0.8))
    assert len(found.families.rows) == 2
    colours = concept(shaped, ConceptsConceptRequest(concept="colours", layer=5))
    assert [one.colour for one in colours.values] == ["#d01010", "#10a010", "#1010d0", "#808080"]
    assert (colours.curves, colours.scores) == ([], None)
    with pytest.raises(UnweaveError, match="concept 'weekday' was not drawn"):
        concept(shaped, ConceptsConceptRequest(concept="weekday"))
    with pytest.raises(UnweaveError, match="layer 3 was not drawn"):
        concept(shaped, ConceptsConceptRequest(concept="weekdays", layer=3))


def test_ways_have_the_tables_own_places_and_answers(steered):
    found = steering(steered, ConceptsSteeringRequest(task=TASK, pair=PAIRS[1]))
    assert [way.way for way in found.ways] == list(WAYS)
    way = found.ways[1]
    assert len(way.path) == STEPS
    assert [line.answer for line in way.answers] == [*DAYS, "something else"]
    rows = [row for row in answer_rows() if (row["pair"], row["way"], row["answer"]) == (PAIRS[1], "chord", "Tuesday")]
    line = way.answers[1].points
    assert [(one.t, one.probability) for one in line] == [(row["t"], row["probability"]) for row in rows]
    assert line[4].high - line[4].low == pytest.approx(0.1)
    assert min(one.low for each in way.answers for one in each.points) == 0
    (curve,) = found.curves
    assert (curve.closed, len(curve.theta)) == (True, 85)
    assert found.values[3].theta in [pytest.approx(theta) for theta in curve.theta]
    assert "pair" not in [column.name for column in found.energy.columns]
    assert len(found.energy.rows) == len(WAYS)
    assert len(found.isometry.rows) == 4


def test_a_value_is_moved_to_and_the_answer_is_it(steered):
    for value in ("Tuesday", "Sunday"):
        found = move(steered, ConceptsMoveRequest(task=TASK, layer=LAYER, value=value))
        best = max(found.answers, key=lambda one: one.probability)
        assert best.answer == value
        assert [one.answer for one in found.answers] == [*DAYS, "something else"]
        assert found.answers[-1].probability == pytest.approx(0.15)
        assert found.answers[-1].deviation == pytest.approx(0.05)
        again = move(steered, ConceptsMoveRequest(task=TASK, layer=LAYER, theta=found.theta))
        assert [one.probability for one in again.answers] == pytest.approx([one.probability for one in found.answers])
    drawn = [one.theta for one in steering(steered, ConceptsSteeringRequest(task=TASK)).values]
    middle = move(steered, ConceptsMoveRequest(task=TASK, layer=LAYER, theta=(drawn[1] + drawn[2]) / 2))
    best = sorted(middle.answers, key=lambda one: -one.probability)[:2]
    assert {one.answer for one in best} == {"Tuesday", "Wednesday"}
    assert found.period == pytest.approx(2 * np.pi)


def test_a_drawing_whose_axis_came_out_the_other_way_round_is_moved_along_all_the_same(tmp_path):
    other = open_concepts(make_run(tmp_path, "steer-manifold", "mirrored", mirrored).path)
    other.kept(f"system {TASK}", DaySystem)
    drawn = [one.theta for one in steering(other, ConceptsSteeringRequest(task=TASK)).values]
    for day, theta in zip(DAYS, drawn, strict=True):
        found = move(other, ConceptsMoveRequest(task=TASK, layer=LAYER, theta=theta))
        assert max(found.answers, key=lambda one: one.probability).answer == day
        assert found.theta == pytest.approx(theta)


def test_what_does_not_fit_is_said(steered, tmp_path):
    with pytest.raises(UnweaveError, match="not both"):
        move(steered, ConceptsMoveRequest(task=TASK, layer=LAYER))
    with pytest.raises(UnweaveError, match="layer 7 was not drawn"):
        move(steered, ConceptsMoveRequest(task=TASK, layer=7, theta=0.0))
    with pytest.raises(UnweaveError, match="'Someday' is no value"):
        move(steered, ConceptsMoveRequest(task=TASK, layer=LAYER, value="Someday"))
    other = open_concepts(make_run(tmp_path, "steer-manifold", "fresh").path)
    with pytest.raises(UnweaveError, match="did not keep where it steered 'days-successor'"):
        move(other, ConceptsMoveRequest(task=TASK, layer=LAYER, theta=0.0))
    turned = DaySystem()
    turned.places = turned.places[[0, 2, 4, 6, 1, 3, 5]]
    other.kept(f"system {TASK}", lambda: turned)
    with pytest.raises(UnweaveError, match="is no longer what run 'fresh' steered"):
        move(other, ConceptsMoveRequest(task=TASK, layer=LAYER, theta=0.0))
    unfinished = Run.create("concept-geometry", {}, tmp_path, "unfinished")
    with pytest.raises(UnweaveError, match="is running"):
        open_concepts(unfinished.path)
