from __future__ import annotations

import json
from dataclasses import replace

import pyarrow.parquet as pq
import pytest
from planted_features import TRUTHS

from unweave.base.errors import UnweaveError
from unweave.base.progress import Silent
from unweave.read.harvest import Harvest
from unweave.read.labels import Labels, export_labels, label_harvest
from unweave.read.labels.statistical import StatisticalLabeler


@pytest.fixture(scope="module")
def made(features_harvest, tmp_path_factory):
    folder = tmp_path_factory.mktemp("labels")
    return folder, label_harvest(features_harvest, StatisticalLabeler(), out=folder, progress=Silent())


def test_what_is_saved_comes_back(made, features_harvest):
    folder, labels = made
    again = Labels.load(folder)
    assert again == labels
    again.check_harvest(features_harvest)
    assert again[0].name == features_harvest.name(0) == "mix:0"
    assert again.get(10**6) is None
    with pytest.raises(UnweaveError, match="has no label here"):
        _ = again[10**6]
    assert sorted(path.name for path in folder.iterdir()) == ["labels.json", "labels.parquet"]


def test_totals_say_how_good_labels_are_and_what_chance_gives(made):
    totals = made[1].facts.totals
    assert totals["labelled"] == len(TRUTHS)
    assert sum(totals["confidence"].values()) == len(TRUTHS)
    detection = totals["detection"]
    assert detection["features"] == len(TRUTHS)
    assert detection["median_without_unclear"]["value"] > 0.95
    assert detection["control"]["low"] < 0.5 < detection["control"]["high"] + 0.05
    assert detection["unclear"] == totals["confidence"]["unclear"]
    assert totals["intruder_control"]["mean"]["low"] < 0.2 < totals["intruder_control"]["mean"]["high"] + 0.02


def test_the_same_call_gives_the_same_labels_and_a_part_gives_a_part(made, features_harvest, tmp_path):
    few = label_harvest(features_harvest, StatisticalLabeler(), rows=[3, 20, 0], out=tmp_path, progress=Silent())
    assert set(few.rows) == {0, 3, 20}
    assert all(few[row] == made[1][row] for row in few.rows)


class Counting(StatisticalLabeler):
    """Stops after some labels, as a killed process does."""

    def __init__(self, stop=None):
        self.stop, self.made = stop, 0

    def label(self, evidence):
        if self.made == self.stop:
            raise KeyboardInterrupt
        self.made += 1
        return super().label(evidence)


def cut_short(path, text, **_):
    """Writes as a process does that is killed at it."""
    path.write_bytes(text[:50].encode())
    raise KeyboardInterrupt


def test_an_interrupted_labelling_goes_on_where_it_was(made, features_harvest, tmp_path, monkeypatch):
    with pytest.raises(KeyboardInterrupt):
        label_harvest(features_harvest, Counting(7), out=tmp_path, progress=Silent())
    (journal,) = tmp_path.glob("labels.*.partial.jsonl")
    # The last line is cut short, as by a kill.
    journal.write_text(journal.read_text(encoding="utf-8")[:-9], encoding="utf-8")
    kept = journal.read_bytes()
    # A kill while it is opened again loses none of it.
    monkeypatch.setattr("unweave.read.labels.journal.Path.write_text", cut_short)
    with pytest.raises(KeyboardInterrupt):
        label_harvest(features_harvest, Counting(), out=tmp_path, progress=Silent())
    monkeypatch.undo()
    assert journal.read_bytes() == kept
    rest = Counting()
    labels = label_harvest(features_harvest, rest, out=tmp_path, progress=Silent())
    assert rest.made == len(TRUTHS) - 6
    assert labels.rows == made[1].rows
    assert not journal.exists()


def test_a_journal_of_other_settings_is_not_gone_on_with(features_harvest, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        label_harvest(features_harvest, Counting(5), out=tmp_path, progress=Silent())
    rest = Counting()
    label_harvest(features_harvest, rest, out=tmp_path, seed=1, progress=Silent())
    assert rest.made == len(TRUTHS)
    # And it is still there to go on with.
    rest = Counting()
    label_harvest(features_harvest, rest, out=tmp_path, progress=Silent())
    assert rest.made == len(TRUTHS) - 5


class Paid(StatisticalLabeler):
    """Counts what it spends, as a language model's labeler does."""

    name = "paid"

    def __init__(self, stop=None, price=0.5):
        self.stop, self.made, self.price = stop, 0, price

    def label(self, evidence):
        if self.made == self.stop:
            raise KeyboardInterrupt
        self.made += 1
        return super().label(evidence)

    def spent(self):
        return {"calls": self.made, "price": None if self.price is None else self.price * self.made}


@pytest.mark.parametrize(("price", "all_of_it"), [(0.5, 0.5 * 8), (None, None)])
def test_what_was_spent_before_a_stop_is_not_forgotten(features_harvest, tmp_path, price, all_of_it):
    for stop in (3, 2):
        with pytest.raises(KeyboardInterrupt):
            label_harvest(features_harvest, Paid(stop), rows=range(8), out=tmp_path, progress=Silent())
    labels = label_harvest(features_harvest, Paid(None, price), rows=range(8), out=tmp_path, progress=Silent())
    assert labels.facts.spent["labeler"] == {"calls": 8, "price": all_of_it}


def test_labels_that_say_more_or_something_else_are_replaced_only_when_told_so(features_harvest, tmp_path):
    def label(labeler=None, **settings):
        return label_harvest(
            features_harvest, labeler or StatisticalLabeler(), out=tmp_path, progress=Silent(), **settings
        )

    label(rows=[0, 1, 2])
    label(rows=[0, 1, 2, 3])
    before = (tmp_path / "labels.parquet").read_bytes()
    with pytest.raises(UnweaveError, match=r"4 labels of 2 more features, .* give another --out, or --replace"):
        label(rows=[0, 1])
    with pytest.raises(UnweaveError, match="by the statistical labeler"):
        label(Paid(), rows=range(8))
    other = StatisticalLabeler()
    other.settings = lambda: {"depth": 9}
    with pytest.raises(UnweaveError, match="of other settings"):
        label(other, rows=range(8))
    again = Harvest.load(features_harvest.folder)
    again.digest = "another"
    with pytest.raises(UnweaveError, match="of another harvest"):
        label_harvest(again, StatisticalLabeler(), out=tmp_path, progress=Silent())
    assert (tmp_path / "labels.parquet").read_bytes() == before
    assert set(label(rows=[0, 1], replace=True).rows) == set(Labels.load(tmp_path).rows) == {0, 1}


def test_a_limit_of_the_control_holds_for_intruders_too(made, features_harvest, tmp_path):
    labels = label_harvest(features_harvest, StatisticalLabeler(), out=tmp_path, control=4, progress=Silent())
    assert sum(each.intruder_control is not None for each in labels) == 4
    assert all(each.intruder == made[1][each.row].intruder for each in labels)
    assert made[1].facts.totals["intruder_control"]["features"] == len(TRUTHS)


def test_labels_of_another_harvest_are_refused(made):
    facts = replace(made[1].facts, harvest="another")
    with pytest.raises(UnweaveError, match="labels are of harvest another"):
        Labels(facts, {}).check_harvest(type("Fake", (), {"digest": "this"})())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / "labels.json").unlink(), "has no labels"),
        (lambda folder: (folder / "labels.json").write_text("{"), "not valid JSON"),
        (lambda folder: (folder / "labels.json").write_text('{"format": 99}'), "format 99"),
        (lambda folder: (folder / "labels.json").write_text('{"format": 1}'), "damaged|is not the table"),
        (lambda folder: (folder / "labels.parquet").write_bytes(b"PAR1"), "is not the table"),
        (lambda folder: (folder / "labels.parquet").unlink(), "does not exist"),
    ],
)
def test_damage_is_said(made, tmp_path, damage, said):
    made[1].save(tmp_path)
    damage(tmp_path)
    with pytest.raises(UnweaveError, match=said):
        Labels.load(tmp_path)


def test_export_has_labels_and_statistics_together(made, features_harvest, tmp_path):
    table, listed = export_labels(made[1], features_harvest, tmp_path)
    rows = pq.read_table(table).to_pylist()
    described = json.loads(listed.read_text(encoding="utf-8"))
    assert described["features"] == rows
    assert described["labels"]["labeler"] == "statistical"
    first = next(row for row in rows if row["row"] == 0)
    assert first["text"] == made[1][0].text
    assert first["density"] == features_harvest.density[0]
    assert first["site"] == "mix"
    assert {f"density_{label}" for label in features_harvest.facts.labels} <= set(first)
    assert set(first["input_tokens"]) == {features_harvest.vocabulary.text[token] for token in TRUTHS[0].tokens}


def test_a_harvest_in_which_nothing_fires_is_refused(features_harvest, tmp_path):
    quiet = Harvest.load(features_harvest.folder)
    quiet.firing = quiet.firing * 0
    with pytest.raises(UnweaveError, match="no feature"):
        label_harvest(quiet, StatisticalLabeler(), out=tmp_path, progress=Silent())
