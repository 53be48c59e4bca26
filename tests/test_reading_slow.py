"""Polyglot read and labelled: labels hold on text that no labeler saw, and a language is found by its name."""

from __future__ import annotations

import json

import pytest

from unweave.cli import main


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    folder = tmp_path_factory.mktemp("read")
    out = folder / "polyglot.harvest"
    arguments = ["polyglot", "polyglot", "--set", "windows=60", "--out", str(out), "--no-labels"]
    assert main(["harvest", *arguments, "--runs", str(folder / "runs")]) == 0
    return out


@pytest.fixture(scope="module")
def totals(read):
    from unweave.read.harvest import Harvest
    from unweave.read.labels import find_labeler, label_harvest

    return label_harvest(Harvest.load(read), find_labeler("statistical")(), out=read).facts.totals


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_labels_hold_on_held_out_text_and_dealt_ones_do_not(totals):
    assert totals["detection"]["features"] > 2000
    assert totals["detection"]["median"]["value"] >= 0.75
    assert abs(totals["detection"]["control"]["value"] - 0.5) <= 0.03
    assert totals["intruder"]["mean"]["low"] > totals["intruder_control"]["mean"]["high"]
    assert abs(totals["intruder_control"]["mean"]["value"] - 0.2) < 0.03


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("label", ["en", "de", "fr", "es", "it"])
def test_a_language_is_found_by_its_name(read, totals, label, capsys):
    from unweave.read.harvest import Harvest

    made = Harvest.load(read)
    name = made.facts.label_names[made.facts.labels.index(label)]
    assert main(["search", name, "--harvest", str(read), "--limit", "1", "--json"]) == 0
    row = made.row(json.loads(capsys.readouterr().out)["hits"][0]["name"])
    means = dict(zip(made.facts.labels, made.importance_by_label[row], strict=True))
    assert means.pop(label) > 0.5 + max(means.values())
