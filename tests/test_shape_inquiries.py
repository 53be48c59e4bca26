"""Studies of shapes, asked by a planner: plans from questions, and outcomes and nulls that real tables hold."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import steered_ring
from planted_concept import TEMPLATES, planted_states, ring_concept

from unweave.base.configs import plain_config
from unweave.base.errors import UnweaveError
from unweave.lab.agent.builtin.planner import BuiltinPlanner
from unweave.lab.agent.builtin.words import understand
from unweave.lab.agent.planner import CannotPlan, LabView
from unweave.record.audit import audit_run
from unweave.record.run import Run
from unweave.shapes.concepts.bundled import bundled_concept
from unweave.shapes.concepts.names import BUNDLED
from unweave.shapes.concepts.shape import DISTANCE
from unweave.shapes.steering import opened
from unweave.shapes.steering.paths import exchanged
from unweave.studies import concept_inquiry, steer_inquiry
from unweave.studies.concept_geometry import ConceptGeometry, concept_geometry
from unweave.studies.registry import all_studies, find_study
from unweave.studies.steer_manifold import SteerManifold, steer_manifold


@pytest.fixture(scope="module")
def lab():
    return LabView({name: study for name, study in all_studies().items() if study.inquiry is not None})


EXAMPLES = [(name, asked) for name, study in all_studies().items() if study.inquiry for asked in study.inquiry.examples]


@pytest.mark.parametrize(("name", "question"), EXAMPLES)
def test_every_example_becomes_a_plan_of_its_own_study_and_is_read_whole(lab, name, question):
    plan = BuiltinPlanner().propose(question, lab)
    assert (plan.study, plan.said) == (name, "")
    plan.check(lab.study(name))
    for arm in plan.arms:
        lab.study(name).configure(plan.laid(arm.name, plan.of_role("candidate")[0].name if arm.on else None))


def test_what_is_asked_of_concepts_and_of_ways_is_what_their_plans_run(lab):
    plan = BuiltinPlanner().propose(concept_inquiry.INQUIRY.examples[0], lab)
    assert (plan.kind, [arm.name for arm in plan.of_role("candidate")]) == ("which", ["weekdays", "months", "letters"])
    assert [arm.settings["concepts"] for arm in plan.of_role("candidate")] == [["weekdays"], ["months"], ["letters"]]
    plan = BuiltinPlanner().propose(steer_inquiry.INQUIRY.examples[0], lab)
    assert plan.arm("mountain-car").settings == {"shuffles": 1, "systems": ["mountain-car"]}
    assert [arm.settings for arm in plan.of_role("null")] == [{"exchanged": True}]
    assert not plan.criterion.harmless
    assert BuiltinPlanner().propose(steer_inquiry.INQUIRY.examples[1], lab).criterion.harmless
    some = understand("Where does the manifold beat the line?", lab).searched
    assert len(some["systems"]) == 4


@pytest.mark.parametrize(
    ("question", "told"),
    [
        (
            "Does the manifold beat the line for near values in mountain-car?",
            "'near' cannot be planned for: the effect",
        ),
        (
            "Does the manifold beat the renormed chord in days?",
            "'renormed' cannot be planned for: the manifold is held",
        ),
        ("Does the manifold beat the line in unicycles?", "'unicycles' is no systems that it knows"),
        ("Do emotions have their known order?", "'emotions' cannot be planned for: nothing is known"),
        ("Is the concept of months a ring?", "'ring' cannot be planned for: what is answered"),
        ("Does the concept planets have a known order?", "'planets' is no concepts that it knows"),
    ],
)
def test_questions_that_no_run_answers_are_refused(lab, question, told):
    with pytest.raises(CannotPlan, match=told):
        BuiltinPlanner().propose(question, lab)


def test_words_and_names_are_those_of_the_rooms():
    assert concept_inquiry.DISTANCE == DISTANCE
    unknown = {name for name in BUNDLED if bundled_concept(name).distances() is None}
    assert unknown == set(concept_inquiry.WITHOUT_ORDER)
    systems = next(knob for knob in steer_inquiry.INQUIRY.knobs if knob.field == "systems")
    for (name,) in (*systems.values, *systems.words.values()):
        opened.check_system(name)


def recorded(root, config, study, function, *rest):
    with Run.create(study, plain_config(config), root) as run:
        function(config, run, *rest)
    return run


def read(run, seed=0):
    inquiry = find_study(run.study).asked()
    return [outcome.read(run, seed) for outcome in (inquiry.effect, *inquiry.harms)]


@pytest.fixture
def ring(monkeypatch):
    monkeypatch.setattr(opened, "WORLDS", {"ring": lambda seed, _: steered_ring.Ring(count=7, seed=seed)})
    return {"systems": ("ring",), "waypoints": 7, "shuffles": 1, "components": 2, "seeds": 6, "shown": 8}


def test_the_manifold_saves_energy_far_apart_and_nothing_where_names_are_exchanged(ring, tmp_path):
    run = recorded(tmp_path, SteerManifold(**ring), "steer-manifold", steer_manifold)
    far, near = read(run)
    assert set(far) == set(near) == set(range(6))
    assert min(far.values()) > 0.03
    assert max(map(abs, near.values())) < steer_inquiry.LOST
    means = {
        (row["way"], row["seed"], row["layer"]): row["energy"]
        for row in run.load_table("means").records()
        if row["distance"] == "far"
    }
    for seed, saved in far.items():
        gain = [means["chord in subspace", seed, layer] - means["manifold", seed, layer] for layer in (0, 1)]
        assert saved == pytest.approx(np.mean(gain) / 7)

    null = recorded(tmp_path, SteerManifold(**ring, exchanged=True), "steer-manifold", steer_manifold)
    nothing, _ = read(null)
    assert abs(np.mean(list(nothing.values()))) < 0.2 * np.mean(list(far.values()))
    assert audit_run(null) == []
    assert all(claim.sentence.startswith("A null run") for claim in null.claims())
    # What is drawn of a pair goes by the exchanged names too.
    pairs = list(dict.fromkeys(null.load_table("paths").column("pair")))
    gone = [
        next(way for way in ("manifold", "chord in subspace") if drawn(run, pair, way) == drawn(null, pair, "manifold"))
        for pair in pairs
    ]
    assert set(gone) == {"manifold", "chord in subspace"}


def drawn(run, pair, way):
    rows = run.load_table("paths").records()
    return [(row["x"], row["y"], row["layer"]) for row in rows if (row["pair"], row["way"]) == (pair, way)]


def test_half_of_the_near_and_of_the_far_pairs_change_names():
    pairs = [(0, at, "near" if at < 5 else "far") for at in range(1, 16)]
    metric = np.abs(np.arange(16.0)[:, None] - np.arange(16))
    drawn = [exchanged(pairs, metric, seed) for seed in range(40)]
    assert {sum(number < 4 for number in each) for each in drawn} == {2}
    assert {sum(number >= 4 for number in each) for each in drawn} == {5, 6}
    assert all(len(each & {first, first + 1}) == 1 for each in drawn for first in (4, 8, 12))
    assert all(0 < sum(number in each for each in drawn) < 40 for number in range(15))


def test_a_run_of_several_systems_has_no_one_answer(ring, tmp_path, monkeypatch):
    monkeypatch.setitem(opened.WORLDS, "other", opened.WORLDS["ring"])
    config = SteerManifold(**{**ring, "systems": ("ring", "other"), "seeds": 1})
    with pytest.raises(UnweaveError, match="several rows"):
        read(recorded(tmp_path, config, "steer-manifold", steer_manifold))


@pytest.fixture
def planted(tmp_path, monkeypatch):
    """A concept on a circle that states hold, and a file of it; the states are planted."""
    concept = ring_concept(8)
    rows = "\n".join(f'"{value.label}" = {value.known}' for value in concept.values)
    head = 'name = "ring"\nmetric = { name = "circular", period = 8 }\nfamilies = ["circle"]\n'
    (tmp_path / "ring.toml").write_text(f"{head}templates = {json.dumps(TEMPLATES)}\n[values]\n{rows}\n")
    monkeypatch.setattr("unweave.shapes.concepts.states.read_states", lambda *_: planted_states(concept))
    return ConceptGeometry(concepts=(str(tmp_path / "ring.toml"),), shuffles=99, surrogates=19, seeds=3)


def test_a_known_order_is_past_its_null_and_a_dealt_one_is_not(planted, tmp_path, pristine):
    run = recorded(tmp_path, planted, "concept-geometry", concept_geometry, pristine["llama"])
    (found,) = read(run)
    scores = {row["seed"]: row for row in run.load_table("scores").records() if row["score"] == DISTANCE}
    assert found == {seed: pytest.approx(row["value"] - row["null 95 %"]) for seed, row in scores.items()}
    assert set(found) == {0, 1, 2}
    assert min(found.values()) > 0.3
    config = replace(planted, dealt=True)
    null = recorded(tmp_path, config, "concept-geometry", concept_geometry, pristine["llama"])
    (nothing,) = read(null)
    assert max(nothing.values()) < 0
    assert audit_run(null) == []
    assert all(claim.sentence.startswith("A null run") for claim in null.claims())


def test_what_cannot_be_dealt_is_refused(planted, pristine, tmp_path):
    with pytest.raises(UnweaveError, match="nothing is known of the values of 'emotions'"):
        concept_geometry(replace(planted, concepts=("emotions",), dealt=True), target=pristine["llama"])
    with pytest.raises(UnweaveError, match="dealt is set, and dictionary is 'pieces'"):
        replace(planted, dealt=True, dictionary="pieces")


def test_dealt_values_keep_their_labels_and_are_others_for_each_split():
    concept = ring_concept(12)
    drawn = [concept.dealt(seed) for seed in range(3)]
    assert all(each.labels == concept.labels for each in drawn)
    assert all(sorted(value.known for value in each.values) == list(range(12)) for each in drawn)
    assert len({each.values for each in (concept, *drawn)}) == 4
