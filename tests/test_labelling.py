"""`unweave label` as a person runs it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest
from planted_features import TRUTHS
from scripted_endpoint import playing

from unweave.base.progress import Silent
from unweave.cli import main
from unweave.cli.labelling import scores_table
from unweave.read.labels import Labels, label_harvest
from unweave.read.labels.scoring import ScoringSet
from unweave.read.labels.statistical import StatisticalLabeler

KEY = "sk-secret-0123456789"


@pytest.fixture(scope="module")
def made_labels(features_harvest, tmp_path_factory):
    return label_harvest(
        features_harvest, StatisticalLabeler(), out=tmp_path_factory.mktemp("labels"), progress=Silent()
    )


@pytest.fixture
def run(features_harvest, tmp_path, monkeypatch, capsys):
    for name in ("UNWEAVE_OFFLINE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("UNWEAVE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LABEL_KEY", KEY)
    monkeypatch.chdir(tmp_path)
    shutil.copytree(features_harvest.folder, tmp_path / "some.harvest")

    def run(*arguments):
        code = main(["label", "some.harvest", *arguments, "--json"])
        return code, json.loads(capsys.readouterr().out)

    return run


def test_labels_are_made_scored_and_kept_beside_the_harvest(run, tmp_path):
    code, said = run("--export", "out")
    assert code == 0
    labels = Labels.load(tmp_path / "some.harvest")
    assert len(labels) == len(TRUTHS) == said["totals"]["labelled"]
    assert said["totals"] == json.loads(json.dumps(labels.facts.totals))
    assert [path.rpartition(".")[2] for path in said["exported"]] == ["parquet", "json"]
    assert said["tables"] == ["labels", "scores"] or set(said["tables"]) == {"labels", "scores"}


def test_a_person_sees_scores_and_the_best_labels(features_harvest, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code = main(["label", str(features_harvest.folder), "--out", "labels", "--features", "6"])
    shown = capsys.readouterr().out
    assert code == 0
    assert "detection" in shown
    assert "mix:" in shown
    assert "6 labels" in shown
    assert len(Labels.load(tmp_path / "labels")) == 6


def test_only_intruders_have_texts_of_other_features_as_their_control(made_labels):
    totals = dict(made_labels.facts.totals)
    for name in ("detection", "fuzzing"):
        totals[name] = {key: value for key, value in totals[name].items() if not key.startswith("control")}
    table = scores_table(replace(made_labels, facts=replace(made_labels.facts, totals=totals)))
    assert table is not None
    control = {row["score"]: row["control"] for row in table.records()}
    assert control["detection"] is None
    assert control["fuzzing"] is None
    assert control["intruder"] == totals["intruder_control"]["mean"]["value"]


def test_labels_that_no_held_out_text_scores_are_listed_without_a_table_of_scores(run, monkeypatch, tmp_path):
    nothing = ScoringSet((), (), (), ())
    monkeypatch.setattr("unweave.read.labels.run.ScoringSource.of", lambda *_: nothing)
    code, said = run("--features", "4")
    assert code == 0
    assert list(said["tables"]) == ["labels"]
    assert len(Labels.load(tmp_path / "some.harvest")) == 4
    assert main(["label", "some.harvest", "--features", "4"]) == 0


def test_a_language_model_labels_and_judges_and_says_what_it_cost(run, tmp_path):
    def answer(request):
        if "label features" in request["messages"][0]["content"]:
            return json.dumps({"writes": "x", "reads": "y", "confidence": "high"})
        return '{"fires": [1], "intruder": 1}'

    with playing(answer) as play:
        options = ["--labeler", "language-model", "--score-with", "language-model", "--endpoint", play.url]
        options += ["--model", "m", "--key-env", "LABEL_KEY", "--features", "3", "--price-in", "1", "--price-out", "2"]
        code, said = run(*options)
        asked = len(play.requests)
        again = run(*options)
        assert len(play.requests) == asked
    assert code == again[0] == 0
    labeler, judge = (said["spent"][name] for name in ("labeler", "judge"))
    assert labeler["calls"] == 3
    assert judge["calls"] == asked - 3
    assert judge["price"] == pytest.approx((asked - 3) * (100 + 20) / 1e6)
    assert again[1]["spent"]["labeler"]["calls"] == again[1]["spent"]["judge"]["calls"] == 0
    labels = Labels.load(tmp_path / "some.harvest")
    assert {each.text for each in labels} == {"y → x"}
    assert labels.facts.judge == "language model m"
    everything = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(KEY.encode() in content for content in everything)


def test_fewer_labels_replace_more_only_when_told_so(run, tmp_path):
    assert run("--features", "5")[0] == 0
    code, said = run("--features", "2")
    assert code == 2
    assert "5 labels of 3 more features" in said["error"]
    assert run("--features", "2", "--replace")[0] == 0
    assert len(Labels.load(tmp_path / "some.harvest")) == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--labeler", "language-model"], "needs --endpoint URL and --model NAME"),
        (["--endpoint", "http://host/v1"], "--endpoint is for a language model"),
        (["--labeler", "nobody"], "labeler 'nobody' is not known"),
        (["--labeler", "language-model", "--endpoint", "file:///etc", "--model", "m"], "not an http or https address"),
        (["--features", "0"], "whole number above 0"),
        (["--embeddings"], "planted features"),
    ],
)
def test_refusals_say_what_to_do(run, options, said):
    code, answer = run(*options)
    assert code == 2
    assert said in answer["error"]


def test_offline_refuses_an_endpoint(run, monkeypatch):
    monkeypatch.setenv("UNWEAVE_OFFLINE", "1")
    with playing("x") as play:
        code, answer = run("--labeler", "language-model", "--endpoint", play.url, "--model", "m")
    assert code == 2
    assert "offline is set" in answer["error"]
    assert play.requests == []


def test_a_folder_that_is_no_harvest_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["label", "nothing", "--json"]) == 2
    assert "not a harvest" in json.loads(capsys.readouterr().out)["error"]
