from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from planted_concept import TEMPLATES

from unweave.base.configs import config_fields, plain_config
from unweave.base.errors import UnweaveError
from unweave.record.audit import audit_run
from unweave.record.life import RunCancelled
from unweave.record.run import Run
from unweave.shapes.concepts import states as concept_states
from unweave.studies.concept_geometry import ConceptGeometry, concept_geometry
from unweave.studies.concept_needs import concept_needs
from unweave.studies.concept_report import chosen_families, order_alone
from unweave.studies.registry import find_study

QUICK = {"shuffles": 39, "surrogates": 19, "seeds": 2, "layers": (0, 1, 3)}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("concepts")
    head = f"templates = {json.dumps(TEMPLATES)}\n"
    row = "\n".join(f"{letter} = {place}" for place, letter in enumerate("abcdefgh"))
    (folder / "ring.toml").write_text(
        'name = "ring"\nmetric = { name = "circular", period = 8 }\nfamilies = ["circle"]\n' + head + "[values]\n" + row
    )
    (folder / "loose.toml").write_text(
        'name = "loose"\nfamilies = ["circle"]\n' + head + "values = " + json.dumps(list("stuvwxyz"))
    )
    return [str(folder / "ring.toml"), str(folder / "loose.toml")]


def started(root, config):
    return Run.create("concept-geometry", plain_config(config), Path(root), "one")


@pytest.fixture(scope="module")
def made(tmp_path_factory, pristine, files, decomposed):
    target = pristine["llama"]
    folder = tmp_path_factory.mktemp("pieces")
    decomposed(target, "model.layers.1.mlp.down_proj", count=12).save(folder / "pieces")
    config = ConceptGeometry(concepts=tuple(files), dictionary=str(folder / "pieces"), **QUICK)
    run = started(tmp_path_factory.mktemp("runs"), config)
    with run:
        result = concept_geometry(config, run, target)
    return config, run, result


def test_everything_that_was_found_is_in_the_tables(made):
    _, run, result = made
    assert [(each.concept, each.seed) for each in result.shapes] == [
        ("ring", 0),
        ("ring", 1),
        ("loose", 0),
        ("loose", 1),
    ]
    scores = run.load_table("scores").records()
    shape = result.shapes[1]
    kept = [row for row in scores if (row["concept"], row["seed"]) == ("ring", 1)]
    assert [(row["score"], row["value"], row["p"]) for row in kept] == [
        (each.name, each.value, each.p) for each in shape.scores
    ]
    summary = run.load_table("summary").records()
    mean = next(row for row in summary if (row["concept"], row["score"]) == ("ring", "distance r"))
    values = [each.score("distance r").value for each in result.shapes[:2]]
    assert mean["mean"] == pytest.approx(sum(values) / 2)
    assert (mean["lowest split"], mean["highest split"]) == (min(values), max(values))
    assert mean["adjusted p"] >= mean["largest p"] >= max(each.score("distance r").p for each in result.shapes[:2])
    values = run.load_table("values").records()
    assert [row["known 1"] for row in values] == [*range(8), *[None] * 8]
    assert [row["label"] for row in values[8:]] == list("stuvwxyz")
    centroids = run.load_table("centroids").records()
    assert {row["layer"] for row in centroids} == {0, 1, 3}
    assert len([row for row in centroids if row["layer"] == 1]) == 16
    assert {row["family"] for row in run.load_table("curve").records() if row["concept"] == "ring"} >= {"closed spline"}
    chosen = [row for row in run.load_table("families").records() if row["chosen"]]
    assert [(row["concept"], row["family"]) for row in chosen] == [
        (each.concept, each.chosen) for each in result.shapes
    ]
    assert all(0 <= row["explained"] <= 1 for row in run.load_table("axes").records())


def test_claims_and_figures_are_bound_to_tables_and_the_audit_agrees(made):
    _, run, result = made
    assert audit_run(run) == []
    assert [claim.table for claim in run.claims()][:3] == ["summary"] * 3
    assert {"distance-r", "ring-r", "r-by-depth-1", "plane-ring", "plane-loose"} <= set(run.figures())
    report = Path(result.report).read_text()
    assert "r of ways round the middle of that plane" in report
    assert re.search("ring.*, r</dt>.*null 95 %: .* \\(Holm\\)", report)
    assert "no curve or surface is known to tell a left-out value better" in report
    assert not any("The ring" in claim.sentence for claim in run.claims())
    bars = run.load_table("distance-r").records()
    alone = next(row for row in run.load_table("summary").records() if row["score"] == "distance r, last token alone")
    assert [row["value"] for row in bars if row["what"] == "last token alone"] == [alone["mean"]]
    assert any("already where the last token enters the first block" in claim.sentence for claim in run.claims())
    assert "Fewer than three splits" in report


def test_a_known_order_is_not_called_a_ring_and_a_flat_that_is_chosen_is_said():
    rows = [
        {"concept": concept, "score": score, "adjusted p": p}
        for concept, ring, order in (("days", 0.46, 0.01), ("hues", 0.01, 0.01), ("letters", 0.9, 0.4))
        for score, p in (("ring score", ring), ("ring r", order))
    ]
    (told,) = order_alone(rows)
    assert "not that it is a ring: days (0.46). " in told
    assert order_alone(rows[2:]) == []
    shapes = [("days", "plane"), ("days", "plane"), ("days", "circle"), ("few", "")]
    found = [SimpleNamespace(shape=SimpleNamespace(concept=concept, chosen=name)) for concept, name in shapes]
    assert chosen_families(found)[0] == "Chosen, with the number of splits: days plane (2), circle (1)."
    assert chosen_families(found[3:]) == []


def test_a_run_that_was_stopped_goes_on_and_reads_no_concept_twice(tmp_path, pristine, files, monkeypatch):
    config = ConceptGeometry(concepts=tuple(files), **QUICK)
    run = started(tmp_path, config)
    read, plain = [], concept_states.read_states

    def reading(target, concept, *rest):
        read.append(concept.name)
        if concept.name == "loose":
            run.cancel()
        return plain(target, concept, *rest)

    monkeypatch.setattr(concept_states, "read_states", reading)
    with pytest.raises(RunCancelled), run:
        concept_geometry(config, run, pristine["llama"])
    assert read == ["ring", "loose"]
    assert list(run.cells("shapes")) == ["ring-0", "ring-1", "loose-0"]
    again = Run.resume(run.path)
    with again:
        found = concept_geometry(config, again, pristine["llama"])
    assert read == ["ring", "loose", "loose"]
    whole = concept_geometry(config, None, pristine["llama"])
    assert found.shapes == whole.shapes


def test_what_units_carry_is_kept_and_not_measured_again(made, pristine, monkeypatch, tmp_path):
    config, run, result = made
    kept = run.load_table("discovery").records() if "discovery" in run.tables() else []
    assert [row["concept"] for row in kept] == [each.concept for each in result.carried]
    from unweave.studies.concept_reading import open_concepts, open_dictionary, read_carried

    other = started(tmp_path, config)
    for key, row in run.cells("carried").items():
        other.put_cell("carried", key, row)
    monkeypatch.setattr("unweave.read.dictionaries.load_dictionary", None)
    dictionary = open_dictionary(config, pristine["llama"], other, other.progress)
    assert (
        tuple(read_carried(config, open_concepts(config), pristine["llama"], [], dictionary, other, other.progress))
        == result.carried
    )


def test_a_dictionary_that_is_not_there_is_refused_before_any_text_is_read(made, pristine, monkeypatch):
    monkeypatch.setattr("unweave.shapes.concepts.states.read_states", None)
    with pytest.raises(UnweaveError, match="nowhere is no folder"):
        concept_geometry(replace(made[0], dictionary="nowhere"), target=pristine["llama"])


def test_templates_of_ones_own_take_the_place_of_the_others(tmp_path, files):
    from unweave.studies.concept_reading import open_concepts

    path = tmp_path / "templates.txt"
    path.write_text("\n".join(f"{word} was {{}}" for word in "abcdefgh") + "\n\n")
    concepts = open_concepts(ConceptGeometry(concepts=tuple(files), templates=path))
    assert concepts[0].templates[0] == "a was {}"
    assert len(concepts[1].templates) == 8
    path.write_text("only {}\n")
    with pytest.raises(UnweaveError, match=r"templates.txt: .*has 1 templates"):
        open_concepts(ConceptGeometry(concepts=tuple(files), templates=path))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"concepts": ()}, "no concept is named"),
        ({"concepts": ("months", "months")}, "give each once"),
        ({"seeds": 0}, "0 seeds"),
        ({"shuffles": 5}, "shuffles is 5"),
        ({"layers": ()}, "layers is"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes, message):
    with pytest.raises(UnweaveError, match=message):
        ConceptGeometry(**changes)


def test_two_concepts_of_one_name_are_refused(tmp_path, files):
    from unweave.studies.concept_reading import open_concepts

    (tmp_path / "other.toml").write_text(Path(files[0]).read_text())
    with pytest.raises(UnweaveError, match="two concepts are named 'ring'"):
        open_concepts(ConceptGeometry(concepts=(files[0], str(tmp_path / "other.toml"))))


def test_it_is_registered_with_a_meaning_for_every_setting_but_the_usual_ones():
    found = find_study("concept-geometry")
    assert [each.name for each in config_fields(found.config) if not each.meaning] == ["first_seed", "dtype"]
    assert found.configure({"concepts": "weekdays, months", "layers": "1,2"}).layers == (1, 2)


def test_needs_grow_with_concepts_splits_and_targets():
    one = concept_needs(ConceptGeometry(concepts=("weekdays",), seeds=1))
    more = concept_needs(ConceptGeometry())
    assert more.seconds > 5 * one.seconds
    assert more.memory_gb > one.memory_gb
    assert concept_needs(ConceptGeometry(target="owner/model-1b")).memory_gb > 2 * more.memory_gb
