"""A prediction opened: nothing is loaded before it is asked for, and what is not what was read is refused."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace

import pytest
from preference_run import PAIRS, pairs, write_pairs_file

from unweave.base.errors import UnweaveError
from unweave.preferences.pair_index import PairIndex
from unweave.preferences.subject import PreferenceSubject, open_preferences


def changed(folder, tmp_path, **config):
    """A copy of a run, told another config afterwards."""
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    state = json.loads((copy / "run.json").read_text())
    state["config"] |= config
    (copy / "run.json").write_text(json.dumps(state))
    return open_preferences(copy)


def test_opening_loads_neither_pairs_nor_target(foreseen, monkeypatch):
    for name in ("_index_pairs", "_load_target", "_load_dictionary"):
        monkeypatch.setattr(PreferenceSubject, name, lambda _, name=name: pytest.fail(name))
    opened = open_preferences(foreseen)
    found = opened.summary()
    assert (found.title, found.target, found.kind) == ("pairs.jsonl on polyglot", "polyglot", "preferences")
    assert (found.pairs, found.columns, found.stands) == (PAIRS, 5, 2)
    assert re.fullmatch(r"[a-z0-9][a-z0-9-]*", opened.id)
    assert opened.without_texts() == opened.without_tokens() == ""


def test_pairs_are_had_in_any_order_by_row_and_by_id(foreseen):
    index, made = open_preferences(foreseen).pairs, pairs()
    assert len(index) == PAIRS
    for row in (PAIRS - 1, 7, 0):
        assert index.pair(row) == made[row]
        assert index.row(made[row].id) == row
    assert list(index.matching("YES river", range(PAIRS))) == [
        row
        for row, pair in enumerate(made)
        if all(word in f"{pair.prompt[0].content} {pair.chosen} {pair.rejected}" for word in ("yes", "river"))
    ]
    with pytest.raises(UnweaveError, match=r"no pair 'row-x' was read; nearest: 'row-"):
        index.row("row-x")
    with pytest.raises(UnweaveError, match="row 24 is not among the 24 pairs"):
        index.pair(PAIRS)


@pytest.mark.parametrize("change", ["text", "order", "fewer"])
def test_data_that_changed_since_are_not_shown(foreseen, change):
    rows = pairs()
    if change == "text":
        rows[13] = type(rows[13])("row-13", rows[13].prompt, "another reply", rows[13].rejected)
    elif change == "order":
        rows[12], rows[13] = rows[13], rows[12]
    else:
        del rows[13]
    with pytest.raises(UnweaveError, match=r"pairs from row 10 on are not those .* the data have changed since"):
        PairIndex(rows, open_preferences(foreseen).store)


def test_what_is_not_there_is_said_before_it_is_needed(foreseen, tmp_path):
    moved = changed(foreseen, tmp_path, data="nowhere.jsonl", target="no such target")
    assert "the run's data 'nowhere.jsonl' are not there" in moved.without_texts()
    with pytest.raises(UnweaveError, match="are not there"):
        _ = moved.pairs
    assert "target 'no such target' is no known name" in moved.without_tokens()
    shutil.rmtree(moved.run.path / "survey" / "features")
    again = open_preferences(moved.run.path)
    again.config["target"] = "polyglot"
    assert "the run's features 'train' are not there" in again.without_tokens()
    (moved.run.path / "survey" / "clusters.json").unlink()
    assert open_preferences(moved.run.path).without_tokens() == "no clusters of features were found in this run"


def test_another_file_under_the_name_of_the_data_is_no_pairs(foreseen, tmp_path):
    other = write_pairs_file(tmp_path / "other.jsonl", pairs()[:5])
    with pytest.raises(UnweaveError, match="the data have changed since"):
        _ = changed(foreseen, tmp_path, data=str(other)).pairs


@pytest.mark.parametrize("what", ["target", "dictionary"])
def test_a_target_or_a_dictionary_that_is_another_is_refused(foreseen, monkeypatch, what):
    opened = open_preferences(foreseen)
    monkeypatch.setattr(opened.store, "facts", replace(opened.store.facts, **{what: "x"}))
    with pytest.raises(UnweaveError, match=f"is of x: bring that {what} back"):
        getattr(opened, what)


def test_a_run_that_is_not_finished_or_read_nothing_is_refused(foreseen, tmp_path):
    unfinished = tmp_path / "unfinished"
    shutil.copytree(foreseen, unfinished)
    state = json.loads((unfinished / "run.json").read_text()) | {"status": "failed"}
    (unfinished / "run.json").write_text(json.dumps(state))
    with pytest.raises(UnweaveError, match="is failed: it can be looked at when it is finished"):
        open_preferences(unfinished)
    with pytest.raises(UnweaveError, match="is not a run"):
        open_preferences(tmp_path)
    shutil.rmtree(unfinished / "survey" / "pairs")
    (unfinished / "run.json").write_text(json.dumps(state | {"status": "finished"}))
    with pytest.raises(UnweaveError, match="read 0 datasets of pairs"):
        open_preferences(unfinished)


def test_a_table_that_was_changed_is_refused_and_a_missing_one_is_not(foreseen, tmp_path):
    copy = changed(foreseen, tmp_path)
    for name in ("rows", "topics", "removed", "row-map", "feature-map"):
        (copy.run.path / "tables" / f"{name}.csv").unlink()
    bare = open_preferences(copy.run.path).tables
    assert not bare.rows
    assert not bare.topics
    assert not bare.removed
    assert not bare.topic_of
    assert len(bare.columns) == 5
    table = copy.run.path / "tables" / "predictions.csv"
    table.write_text(table.read_text().replace("1.5", "2.5"))
    with pytest.raises(UnweaveError, match="was changed after it was saved"):
        _ = open_preferences(copy.run.path).tables.columns
