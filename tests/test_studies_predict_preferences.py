"""``predict-preferences`` end to end on a bundled target: what it says, what it keeps, what it refuses."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from types import SimpleNamespace

import made_pairs
import numpy as np
import pytest

from unweave.base.configs import config_fields, plain_config
from unweave.base.errors import UnweaveError
from unweave.corpora.pairs import open_pairs, write_pairs
from unweave.models.load import load_target
from unweave.preferences.survey import Survey, SurveySettings
from unweave.preferences.truth.calibration import Calibration, Slope
from unweave.record.audit import audit_run
from unweave.record.run import Run, RunCancelled
from unweave.studies.predict_preferences import PredictPreferences, open_data, predict_preferences
from unweave.studies.predict_report import _meaning_of_size
from unweave.studies.preference_forecast import default_recipe, find_calibration
from unweave.studies.preference_reading import own_behaviours
from unweave.studies.preference_tables import ranked_lines
from unweave.studies.registry import find_study


@pytest.fixture(scope="module")
def target():
    return load_target("polyglot", device="cpu")


def config(data, **changes):
    small = {"target": "polyglot", "features": "none", "questions": 6, "samples": 3, "most": 6, "gradient": False}
    return PredictPreferences(data=str(data), device="cpu", **{**small, **changes})


def started(folder, asked, name="run"):
    return Run.create("predict-preferences", plain_config(asked), folder, name=name)


@pytest.fixture(scope="module")
def made(tmp_path_factory, target):
    """A run with learned features, all that it found, and the data."""
    folder = tmp_path_factory.mktemp("predicted")
    data = made_pairs.write(folder / "pairs.jsonl", made_pairs.lines(40))
    asked = config(
        data, features="train", layer=0, latents=1, kept=8, sae_epochs=3, undo=("urls", "exclamations"), clean=0.1
    )
    with started(folder, asked) as run:
        found = predict_preferences(asked, run, target)
    return run, found, data, asked


def test_what_chosen_replies_have_more_of_stands_and_is_ranked_first(made):
    run, found, _, _ = made
    predictions = run.load_table("predictions").records()
    assert {"exclamations", "piled-marks"} <= set(found.standing)
    assert [row["rank"] for row in predictions] == list(range(1, len(predictions) + 1))
    stands = [row["stands"] for row in predictions]
    assert stands == sorted(stands, reverse=True)
    top = next(row for row in predictions if row["column"] == "exclamations")
    assert top["change"] > 0
    assert top["low"] <= top["change"] <= top["high"]
    assert found.unit == "relative"  # nothing was calibrated on this target, and it is said
    report = (run.path / "report.html").read_text(encoding="utf-8")
    assert "Changes are relative" in report
    assert "`" not in report
    claims = [claim.sentence for claim in run.claims()]
    assert f", {len(found.standing)} can be said to change" in claims[0]
    assert found.standing[0] in claims[1]
    assert not audit_run(run)
    said = ranked_lines(run.load_table("predictions"))
    assert said[0].startswith(f"{len(found.standing)} of {len(predictions)} columns stand")
    assert [line.split()[0] for line in said[1:]] == [row["column"] for row in predictions[:10]]


def test_clusters_topics_views_and_maps_are_of_the_same_features(made):
    run, found, _, _ = made
    assert not {"feature clusters, topics and views"} & set(found.left_out)
    topics, rows = run.load_table("topics"), run.load_table("row-map")
    assert sum(topics.column("rows")) == 40 == len(rows.rows)
    assert set(rows.column("topic")) <= set(topics.column("words"))
    features = run.load_table("feature-map")
    clustered = {name for name in features.column("cluster") if name.startswith("cluster:")}
    assert clustered
    assert clustered <= set(run.load_table("predictions").column("column"))
    assert set(run.load_table("chance").column("view")) >= {"feature-conditioned"}
    assert {"predicted", "row-map", "feature-map"} <= set(run.figures())


def test_shares_of_rows_add_up_to_the_change(made):
    run, _, _, _ = made
    rows = [row for row in run.load_table("rows").records() if row["column"] == "exclamations"]
    change = next(row["change"] for row in run.load_table("predictions").records() if row["column"] == "exclamations")
    # Every chosen reply has two marks and no rejected one has any: equal shares, of which ten of forty are listed.
    assert sum(row["share"] for row in rows) == pytest.approx(change * 10 / 40, rel=1e-5)
    assert all((row["chosen"], row["rejected"]) == (2.0, 0.0) for row in rows)


def test_the_cleaned_data_lack_the_removed_rows_and_are_else_the_same(made, tmp_path):
    run, found, data, _ = made
    removed = run.load_table("removed").records()
    assert 0 < len(removed) <= 4
    assert {row["id"] for row in removed} == set(found.removed)
    # The only rows with addresses are those that push both columns.
    assert all(int(row["id"][1:]) % 8 == 0 for row in removed)
    write_pairs(open_pairs(data), tmp_path / "all.jsonl")
    whole = (tmp_path / "all.jsonl").read_bytes().splitlines()
    left = (run.path / "cleaned.jsonl").read_bytes().splitlines()
    assert left == [line for line in whole if json.loads(line)["id"] not in found.removed]
    again = list(open_pairs(run.path / "cleaned.jsonl"))
    assert [pair.extra["score"] for pair in again] == [json.loads(line)["score"] for line in left]


def test_a_run_that_was_stopped_goes_on_and_says_the_same(made, target, monkeypatch, tmp_path):
    whole, _, _, asked = made
    run, own = started(tmp_path, asked), Survey.own

    def stopped(self, name, answers):
        found = own(self, name, answers)
        run.cancel()
        return found

    with monkeypatch.context() as patched:
        patched.setattr(Survey, "own", stopped)
        with pytest.raises(RunCancelled):
            predict_preferences(asked, run, target)
    run.finish("cancelled")
    kept = (run.path / "survey" / "before.jsonl").read_bytes()
    with monkeypatch.context() as patched, Run.resume(run.path) as run:
        patched.setattr("unweave.read.dictionaries.training.train_sae", None)  # what is trained is not trained again
        predict_preferences(asked, run, target)
    assert (run.path / "survey" / "before.jsonl").read_bytes() == kept
    for name in whole.tables():
        assert run.load_table(name).csv == whole.load_table(name).csv, name


def test_no_text_is_made_tokens_where_no_sae_is_trained(target, tmp_path):
    survey = Survey(target, tmp_path, [], SurveySettings(features="none"))
    assert survey.dictionary(lambda: pytest.fail("texts were asked for")) is None


def test_of_labels_dealt_at_random_nothing_stands_and_no_row_is_removed(tmp_path, target):
    data = made_pairs.write(tmp_path / "null.jsonl", made_pairs.lines(40, shuffled=True))
    asked = config(data)
    with started(tmp_path, asked) as run:
        found = predict_preferences(asked, run, target)
    assert found.standing == ()
    assert found.removed == ()
    assert run.claims()[0].value == 0
    assert "Nothing stands" in (run.path / "report.html").read_text(encoding="utf-8")
    assert len(list(open_pairs(run.path / "cleaned.jsonl"))) == 40
    assert "features is none" in dict(run.load_table("left-out").rows)["feature clusters, topics and views"]
    assert set(run.load_table("topics").column("words")) == {"all"}


def test_a_calibration_turns_predictions_into_changes(tmp_path, target):
    data = made_pairs.write(tmp_path / "pairs.jsonl", made_pairs.lines(24))
    digest = target.identity.digest
    Calibration(digest, {"beta": 0.1}, (320, 320), {"mean-difference": Slope(0.5, 0.1, 0.2, 4)}).save(
        tmp_path / "calibration.json"
    )
    plain = predict_preferences(config(data, predictors=("length-only",)), target=target)
    found = predict_preferences(config(data, predictors=("length-only",), calibration=str(tmp_path)), target=target)
    changes, halved = ({row["column"]: row["change"] for row in each.columns} for each in (plain, found))
    assert found.unit == "spreads"
    assert all(halved[name] == pytest.approx(change / 2, abs=1e-6) for name, change in changes.items())
    assert [row["length-only"] for row in plain.columns if row["column"] == "words"] == [
        row["length-only"] for row in found.columns if row["column"] == "words"
    ]
    known = SimpleNamespace(calibrated=True, calibration=Calibration.load(tmp_path / "calibration.json"))
    known.leading = SimpleNamespace(predictor="mean-difference")
    assert "beta 0.1, on 320 pairs. These are 24:" in _meaning_of_size(known, 24)[0]
    Calibration("f" * 16, {}, (320, 320), {}).save(tmp_path / "other.json")
    with pytest.raises(UnweaveError, match="calibrated on the target"):
        find_calibration(str(tmp_path / "other.json"), target)
    assert find_calibration(None, target) is None
    recipe = default_recipe(target)
    assert json.loads(json.dumps(recipe)) == recipe
    assert (recipe["epochs"], recipe["learning_rate"]) == (2, 2e-3)
    assert "seed" not in recipe


def test_a_persons_own_behaviours_are_columns_and_are_forgotten_afterwards(tmp_path, target):
    from unweave.preferences.behaviours.registry import all_behaviours

    data = made_pairs.write(tmp_path / "pairs.jsonl", made_pairs.lines(24))
    (tmp_path / "own.py").write_text(
        "from unweave.preferences.behaviours.registry import behaviour\n"
        "@behaviour('has-river', 'Has the word river.', 'mine', '0 or 1')\n"
        "def has_river(reply):\n    return float('river' in reply.vocabulary)\n",
        encoding="utf-8",
    )
    found = predict_preferences(config(data, behaviours_from=str(tmp_path / "own.py")), target=target)
    assert "has-river" in [row["column"] for row in found.columns]
    assert "has-river" not in all_behaviours()
    (tmp_path / "own.py").write_text(
        (tmp_path / "own.py").read_text(encoding="utf-8").replace("float(", "1 / len(reply.words) + float("),
        encoding="utf-8",
    )
    # Before anything is read.
    with (
        pytest.raises(UnweaveError, match=r"'has-river' failed on the reply ''.*the empty one too"),
        own_behaviours(str(tmp_path / "own.py")),
    ):
        pytest.fail("a behaviour that fails on the empty reply was registered")
    assert "has-river" not in all_behaviours()


def test_rows_that_are_left_out_are_said_before_anything_is_read(tmp_path, target):
    data = made_pairs.write(tmp_path / "pairs.jsonl", [*made_pairs.lines(2), {"prompt": "a", "chosen": 3}])
    said = []
    open_data(config(data), None, target, SimpleNamespace(update=lambda *_: None, say=said.append), [0])
    assert said[0] == "error: 1 × broken row: it is no pair and was left out"
    assert "pairs.jsonl row 3" in said[1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": "nowhere.jsonl"}, "does not exist"),
        ({"split": "tests"}, r"no split 'tests'; nearest: 'train'"),
        ({"undo": ("exclamation",)}, "nearest: 'exclamations'"),
        ({"by": "mean-differences"}, "nearest: 'mean-difference'"),
        ({"predictors": ("tilts",)}, "nearest: 'tilt'"),
        ({"layer": 9}, "layer 9 is not in"),
        ({"behaviours_from": "nowhere.py"}, "nowhere.py"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line_and_leaves_no_run(changes, message, tmp_path, target):
    data = made_pairs.write(tmp_path / "train.jsonl", made_pairs.lines(6))
    asked = dataclasses.replace(config(data), **changes)
    with pytest.raises(UnweaveError, match=message):
        predict_preferences(asked, target=target)


def test_settings_that_make_no_sense_are_refused():
    for wrong in ({"clean": 0.0}, {"questions": 1}, {"samples": 0}, {"seed": -1}, {"data": " "}):
        with pytest.raises(UnweaveError, match=next(iter(wrong))):
            config(**{"data": "x.jsonl", **wrong})


def test_both_studies_are_registered_with_a_meaning_for_every_setting():
    for name in ("predict-preferences", "trace-preferences"):
        found = find_study(name)
        assert found.fields()[0].name == "data"
        unsaid = {field.name for field in config_fields(found.config) if not field.meaning}
        assert unsaid <= {"seed", "first_seed", "dtype", "epochs", "learning_rate", "beta", "batch", "rank"}


@pytest.mark.parametrize("page", ["preferences", "behaviours"])
def test_commands_of_the_docs_name_settings_that_there_are(page):
    text = (Path(__file__).parents[1] / "docs" / f"{page}.md").read_text(encoding="utf-8")
    commands = re.findall(r"unweave run ([a-z-]+)((?: --set [^ `\n]+)*)", text)
    assert commands
    for study, settings in commands:
        known = {field.name for field in config_fields(find_study(study).config)}
        assert set(re.findall(r"--set (\w+)=", settings)) <= known


def test_needs_grow_with_the_data_and_with_training(tmp_path):
    small = made_pairs.write(tmp_path / "small.jsonl", made_pairs.lines(8))
    large = made_pairs.write(tmp_path / "large.jsonl", made_pairs.lines(8) * 2000)
    study = find_study("predict-preferences")
    few, many = (study.needs(config(path)) for path in (small, large))
    assert few.threads == 1  # a second one gains nothing on so small a target
    assert many.memory_gb > few.memory_gb
    assert many.seconds > few.seconds
    trace = find_study("trace-preferences")
    shared = {"data": str(small), "target": "polyglot"}
    plain, trained = (trace.needs(trace.config(**shared, retrain=retrain)) for retrain in (False, True))
    assert trained.seconds > plain.seconds
    assert trace.needs(trace.config(data="nowhere.jsonl")).memory_gb > 0


def test_maps_are_the_same_each_time_and_hold_few_points_too(monkeypatch):
    from threadpoolctl import threadpool_info, threadpool_limits

    from unweave.studies.preference_maps import plane

    def threads():
        return max(each["num_threads"] for each in threadpool_info())

    generator = np.random.default_rng(0)
    apart = np.concatenate([generator.normal(size=(20, 6)) + shift for shift in (0, 30)]).astype(np.float32)
    found = plane(apart, 0)
    assert np.array_equal(found, plane(apart, 0))
    monkeypatch.setattr("sklearn.manifold.TSNE.fit_transform", lambda _, values: np.full((len(values), 2), threads()))
    with threadpool_limits(2):
        assert plane(apart, 0).max() == 1  # more wait for one another at every step
        assert threads() == 2
    monkeypatch.undo()
    middles = found[:20].mean(0), found[20:].mean(0)
    inside = max(
        np.linalg.norm(found[:20] - middles[0], axis=1).max(), np.linalg.norm(found[20:] - middles[1], axis=1).max()
    )
    assert np.linalg.norm(middles[0] - middles[1]) > inside
    for few in (apart[:1], apart[:2], apart[:5], np.zeros((15, 3), np.float32)):
        assert plane(few, 0).shape == (len(few), 2)
        assert np.isfinite(plane(few, 0)).all()
