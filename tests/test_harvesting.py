"""`unweave harvest` as a person runs it: one process, several, shards by hand, refusals."""

from __future__ import annotations

import json
import shutil

import pytest

from unweave.cli import main
from unweave.decompose import bundled
from unweave.read.harvest import Harvest
from unweave.read.subject import open_subject

SMALL = [
    "--no-labels",
    "--set",
    "windows=1",
    "--set",
    "parts=selection",
    "--set",
    "pool=2",
    "--set",
    "partners=2",
    "--labels",
    "en,de",
]


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        code = main(["harvest", *arguments, "--json"])
        return code, json.loads(capsys.readouterr().out)

    return run


def test_one_command_makes_a_harvest_that_says_what_it_is_of(run, tmp_path):
    code, said = run("polyglot", "polyglot", *SMALL)
    assert code == 0
    made = Harvest.load(tmp_path / "polyglot.harvest")
    assert (said["features"], said["tokens"]) == (len(made), 128) == (5760, 128)
    assert made.facts.labels == ("en", "de")
    assert (made.facts.target_source, made.facts.dictionary_source) == ("polyglot", "polyglot")
    assert sum(row["alive"] for row in said["groups"]) == made.alive.sum() > 100
    assert len(said["groups"]) == 18
    code, said = run("polyglot", "polyglot", *SMALL)
    assert code == 2
    assert "already exists" in said["error"]


def test_shards_by_hand_are_merged_by_the_same_command(run, tmp_path):
    (tmp_path / "polyglot").mkdir()  # the bundled name is no folder that is called so
    small = [*SMALL, "--set", "batch=1", "--out", "x.harvest"]
    code, said = run("polyglot", "polyglot", *small, "--shard", "1/2")
    assert code == 0
    assert (tmp_path / said["path"]).is_file()
    code, _ = run("polyglot", "polyglot", *small)
    assert code == 0
    assert Harvest.load(tmp_path / "x.harvest").facts.tokens_read_here == 64
    opened = open_subject(tmp_path / "x.harvest")
    assert opened.unavailable() == ""
    assert opened.dictionary.digest == opened.facts.dictionary


def test_several_processes_read_all_of_it(run, tmp_path):
    code, said = run("polyglot", "polyglot", *SMALL, "--set", "batch=1", "--jobs", "2")
    assert code == 0
    assert Harvest.load(tmp_path / said["harvest"]).facts.tokens_read_here == 0


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["--shard", "x"], "'x', and it is a number"),
        (["--shard", "3/2"], "shards of 2 are 0/2 to 1/2"),
        (["--set", "batch=0"], "batch is 0"),
        (["--labels", "xx"], "label 'xx' is in none of the corpora"),
        (["--set", "length=1000000"], "is 1000000 tokens long"),
    ],
)
def test_what_cannot_be_done_is_refused(run, arguments, match):
    code, said = run("polyglot", "polyglot", *arguments)
    assert code == 2
    assert match in said["error"]


def test_dictionaries_are_set_side_by_side(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["dictionaries", "polyglot", "polyglot", "--labels", "en", "--windows", "1", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["dictionaries"]
    assert row["l0"] > 50
    assert row["ce_target"] < row["ce"] < row["ce_mean_ablated"]


def test_a_harvest_moved_with_its_dictionary_is_opened(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(bundled("polyglot"), tmp_path / "a" / "own.decomp")
    assert main(["harvest", "polyglot", "a/own.decomp", *SMALL, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["harvest"] == "a/own.decomp.harvest"
    (tmp_path / "a").rename(tmp_path / "b")
    monkeypatch.chdir(tmp_path.parent)
    opened = open_subject(tmp_path / "b" / "own.decomp.harvest")
    assert opened.facts.dictionary_source == "./own.decomp"
    assert opened.dictionary.digest == opened.facts.dictionary
