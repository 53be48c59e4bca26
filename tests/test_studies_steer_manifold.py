from __future__ import annotations

from pathlib import Path

import pytest
import steered_ring

from unweave.base.errors import UnweaveError
from unweave.record.audit import audit_run
from unweave.record.life import RunCancelled
from unweave.record.run import Run
from unweave.shapes.steering import opened
from unweave.studies import steer_needs
from unweave.studies.registry import find_study
from unweave.studies.steer_manifold import SteerManifold, steer_manifold

SMALL = {"systems": ("ring",), "waypoints": 7, "pairs": 40, "shuffles": 2, "components": 2, "seeds": 2, "shown": 2}


@pytest.fixture
def worlds(monkeypatch):
    """A circle and a line with known answers, in place of the models that are trained."""
    made = []

    def ring(seed, progress):
        made.append(seed)
        return steered_ring.Ring(count=7, seed=seed)

    monkeypatch.setattr(
        opened, "WORLDS", {"ring": ring, "arc": lambda seed, _: steered_ring.Ring(count=7, closed=False, seed=seed)}
    )
    return made


def test_the_manifold_wins_far_apart_and_every_number_is_bound(worlds, tmp_path):
    config = SteerManifold(**{**SMALL, "systems": ("ring", "arc")})
    with Run.create("steer-manifold", {**SMALL, "systems": ["ring", "arc"]}, tmp_path) as run:
        found = steer_manifold(config, run)
    for system in ("ring", "arc"):
        rows = {
            (row["distance"], row["against"]): row for row in found.tests if row["task"] == system and row["layer"] == 0
        }
        far = rows["far", "chord in subspace"]
        assert far["difference"] > 0.1
        assert far["line wins"] == 0
        assert far["low"] > 0 or system == "arc"  # on which few pairs make all the difference
        assert far["p (Holm)"] >= far["p"]
        assert abs(rows["near", "chord in subspace"]["difference"]) < 0.2 * far["difference"]
    tables = {name: run.load_table(name).records() for name in run.tables()}
    ring = [row for row in tables["manifolds"] if row["task"] == "ring"]
    assert all(row["ring r"] == pytest.approx(1) and row["null 95 %"] < 0.9 for row in ring)
    assert {row["way"] for row in tables["ways"]} == {row["way"] for row in tables["paths"]}
    assert {row["answer"] for row in tables["answers"] if row["task"] == "ring"} == {
        *(f"v{each}" for each in range(7)), "something else",
    }  # fmt: skip
    for row in tables["isometry"]:
        if row["task"] == "ring" and row["way"] == "manifold":
            assert row["r"] > 0.99
            assert row["p"] < 0.05
    assert audit_run(run) == []
    assert len(run.claims()) == 16
    report = Path(found.report).read_text()
    assert all(f"ring: straight in the subspace less manifold, {each} pairs" in report for each in ("near", "far"))


def test_a_stopped_run_goes_on_with_what_it_had(worlds, tmp_path, monkeypatch):
    config = SteerManifold(**SMALL)
    calls = []
    plain = steered_ring.Ring.answers

    def counted(self, layer, states):
        calls.append(layer)
        if len(calls) == 6:
            run.cancel()
        return plain(self, layer, states)

    monkeypatch.setattr(steered_ring.Ring, "answers", counted)
    run = Run.create("steer-manifold", {**SMALL, "systems": ["ring"]}, tmp_path)
    with pytest.raises(RunCancelled), run:
        steer_manifold(config, run)
    before = len(calls)
    run = Run.resume(run.path)
    with run:
        resumed = steer_manifold(config, run)
    # 6 ways in 3 pieces, 2 seeds and 2 layers; a way that was interrupted is done again.
    assert before == 6
    assert len(calls) <= 6 * 3 * 4 + 3
    assert resumed.tests == steer_manifold(config).tests


def test_a_target_that_cannot_do_the_task_is_refused_with_the_numbers(target):
    with pytest.raises(UnweaveError, match=r"can do none of the tasks: letters-identity: 0\.\d+ right of 312"):
        steer_manifold(SteerManifold(systems=("letters-identity",)), target=target)


def test_settings_that_cannot_be_meant_are_refused():
    with pytest.raises(UnweaveError, match="no task or world is named 'day-successor'"):
        steer_manifold(SteerManifold(systems=("day-successor",)))
    with pytest.raises(UnweaveError, match="waypoints is 2"):
        SteerManifold(waypoints=2)
    with pytest.raises(UnweaveError, match="each once"):
        SteerManifold(systems=("a", "a"))
    assert find_study("steer-manifold").config is SteerManifold


def test_needs_grow_with_ways_and_targets_and_know_the_worlds():
    assert set(steer_needs.WORLDS) == set(opened.WORLDS)
    worlds = steer_needs.steer_needs(SteerManifold(systems=("mountain-car",)))
    task = steer_needs.steer_needs(SteerManifold(systems=("days-successor",)))
    more = steer_needs.steer_needs(SteerManifold(systems=("days-successor",), shuffles=19))
    assert worlds.seconds < task.seconds < more.seconds
    assert worlds.memory_gb < task.memory_gb
    larger = steer_needs.steer_needs(SteerManifold(systems=("days-successor",), target="owner/model-1b"))
    assert larger.memory_gb > task.memory_gb
    assert larger.seconds > task.seconds
