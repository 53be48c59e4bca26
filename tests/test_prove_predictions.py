"""The proof of predictions, and the shaping of a dataset, end to end on the small chat target."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path

import pytest

from unweave.base.errors import UnweaveError
from unweave.corpora.pairs import open_pairs, write_pairs
from unweave.models.load import load_target
from unweave.preferences.made.dataset import MadeDataset
from unweave.preferences.truth import scoring
from unweave.record import Run, audit_run
from unweave.studies.prove_predictions import ProvePredictions, prove_predictions
from unweave.studies.shape_preferences import ShapePreferences, shape_preferences

SMALL = ProvePredictions(
    mixtures=("brisk", "learned", "brisk-swapped"),
    seeds=1,
    pairs=32,
    prompts=48,
    replies=3,
    questions=10,
    samples=2,
    most=40,
    learning_rate=2e-3,
    epochs=1,
    features="none",
    gradient=False,
)


@pytest.fixture(scope="module", autouse=True)
def few_questions_and_resamples():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("unweave.studies.preference_bench.OF_A_TOPIC", 3)
        patch.setattr(scoring, "score_predictions", partial(scoring.score_predictions, resamples=50, shuffles=19))
        yield


@pytest.fixture(scope="module")
def target():
    return load_target("pupil", device="cpu")


@pytest.fixture(scope="module")
def proven(target, tmp_path_factory):
    root = tmp_path_factory.mktemp("proof")
    with Run.create("prove-predictions", vars(SMALL), root=root) as run:
        proof = prove_predictions(SMALL, run, target)
    return proof, run


def test_every_dataset_is_trained_on_and_foreseen(proven):
    proof, run = proven
    assert proof.trainings == 3
    assert set(proof.r2) >= {"mean-difference", "tilt", "length-only", "bag-of-words"}
    trainings = run.load_table("trainings").records()
    assert [row["dataset"] for row in trainings] == list(SMALL.mixtures)
    assert [row["rater"] for row in trainings][1] == "hidden properties"
    changes = run.load_table("changes").records()
    assert len({row["column"] for row in changes}) * 3 == len(changes)
    assert not audit_run(run)


def test_swapped_labels_turn_the_sign_of_every_prediction(proven):
    _, run = proven
    changes = run.load_table("changes").records()
    by_name = {
        name: {row["column"]: row["length-only"] for row in changes if row["dataset"] == name}
        for name in SMALL.mixtures
    }
    # The fault is planted in the true one only, so that lengths differ a little.
    signs = [by_name["brisk"][column] * by_name["brisk-swapped"][column] <= 0 for column in by_name["brisk"]]
    assert all(signs)


def test_a_proof_that_was_interrupted_goes_on_with_what_it_has(target, proven, tmp_path):
    proof, run = proven
    again = Run.create("prove-predictions", vars(SMALL), root=tmp_path)
    (again.path / "trainings").mkdir()
    for file in ("pool.jsonl", "before.jsonl", "references.jsonl", "datasets", "brisk-0", "learned-0"):
        source, place = run.path / "trainings" / file, again.path / "trainings" / file
        (shutil.copytree if source.is_dir() else shutil.copy)(source, place)
    with again:
        resumed = prove_predictions(SMALL, again, target)
    assert resumed.r2 == pytest.approx(proof.r2, abs=1e-6)
    assert again.load_table("changes").records() == run.load_table("changes").records()


def test_the_key_is_not_among_what_is_read(proven):
    _, run = proven
    made = MadeDataset.load(run.path / "trainings" / "datasets" / "brisk")
    assert made.key.planted
    for path in (run.path / "survey").rglob("*.json"):
        assert "planted" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("wrong", [{"seeds": 0}, {"replies": 1}, {"first_seed": -1}])
def test_a_proof_of_nothing_is_refused(wrong):
    with pytest.raises(UnweaveError, match=next(iter(wrong))):
        ProvePredictions(**wrong)


@pytest.fixture(scope="module")
def data(proven, tmp_path_factory):
    _, run = proven
    path = tmp_path_factory.mktemp("data") / "pairs.jsonl"
    write_pairs(MadeDataset.load(run.path / "trainings" / "datasets" / "brisk").pairs, path)
    return path


def test_a_sweep_trains_at_every_dose_and_keeps_the_unshaped_one(target, data, tmp_path):
    config = ShapePreferences(
        data=str(data),
        behaviour="exclamations",
        doses=(2.0,),
        seeds=2,
        questions=6,
        samples=2,
        most=40,
        learning_rate=2e-3,
        epochs=1,
        batch=8,
    )
    with Run.create("shape-preferences", vars(config), root=tmp_path) as run:
        shaped = shape_preferences(config, run, target)
    assert [row.dose for row in shaped.sweep.rows] == [0, 0, 2, 2]
    rows = run.load_table("trainings").records()
    assert {row["what"] for row in rows if row["dose"] == 0} == {"as it is"}
    assert len({json.dumps(row["change"]) for row in rows}) > 1
    assert not audit_run(run)
    assert len(list(open_pairs(data))) > rows[0]["rows"]
    assert "Fewer than three seeds" in Path(shaped.report).read_text(encoding="utf-8")


def test_a_shaping_without_data_or_of_an_unknown_behaviour_is_refused(data):
    with pytest.raises(UnweaveError, match="no data is given"):
        shape_preferences(ShapePreferences(behaviour="words"))
    with pytest.raises(UnweaveError, match="behaviour 'wrds' is not registered"):
        shape_preferences(ShapePreferences(data=str(data), behaviour="wrds"))
    with pytest.raises(UnweaveError, match="not 0"):
        ShapePreferences(doses=(0.0,))
