from __future__ import annotations

import json

import pytest

from unweave.base.errors import UnweaveError
from unweave.record import Run, Table, check_claims

ROWS = (("factor", "de", 7.2041, 4), ("factor", "en", -0.0042, 4), ("lora", "de", None, 4))


@pytest.fixture
def run(tmp_path):
    run = Run.create("s", {}, root=tmp_path)
    run.save_table(Table("effects", ("method", "language", "change", "tokens"), ROWS, {"change": "nats"}))
    return run


def claim(run, sentence="German rose by {value:+} nats.", row=None, column="change", **more):
    return run.claim(sentence, "effects", row or {"method": "factor", "language": "de"}, column, **more)


def verdicts(run):
    return [checked.verdict for checked in check_claims(run)]


def test_the_sentence_gets_its_number_from_the_table_and_holds(run):
    assert claim(run, digits=2).sentence == "German rose by +7.20 nats."
    assert claim(run, "English: {value}.", {"language": "en"}, digits=3).sentence == "English: -0.004."
    assert claim(run, "It took {value} tokens.", {"language": "en"}, "tokens").value == 4
    assert claim(run, "The method was {value}.", {"language": "en"}, "method").value == "factor"
    assert verdicts(run) == ["held"] * 4


def test_a_given_value_must_be_the_tables(run):
    claim(run, "German rose by 7.20 nats.", value=7.2, digits=2)
    with pytest.raises(UnweaveError, match=r"claimed 7.21, but 'effects' holds 7.2041"):
        claim(run, "German rose by 7.21 nats.", value=7.21, digits=2)


@pytest.mark.parametrize(
    "sentence", ["German rose.", "It rose by 17.20.", "It rose by 7.201.", "It moved by -7.20.", "It moved by −7.20."]
)
def test_a_sentence_without_its_number_is_refused(run, sentence):
    with pytest.raises(UnweaveError, match="does not state its value"):
        claim(run, sentence, digits=2)


def test_a_typographic_minus_counts_as_a_minus(run):
    claim(run, "English moved by −0.004 nats.", {"language": "en"}, digits=3)
    with pytest.raises(UnweaveError, match="does not state its value"):
        claim(run, "English moved by 0.004 nats.", {"language": "en"}, digits=3)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"method": "factor"}, "2 rows of 'effects' match"),
        ({"method": "fctor"}, "0 rows .* nearest: 'factor'"),
        ({"method": "lora"}, "is missing: nothing to claim"),
        ({"metod": "lora"}, "nearest: 'method'"),
    ],
)
def test_a_claim_needs_exactly_one_cell(run, row, words):
    with pytest.raises(UnweaveError, match=words):
        claim(run, row=row)


def test_a_table_saved_again_fails_its_claims_until_they_are_made_again(run):
    claim(run, digits=2)
    run.save_table(Table("effects", ("method", "language", "change"), (("factor", "de", 7.2141),)))
    (checked,) = check_claims(run)
    assert checked.verdict == "failed"
    assert "saved again" in checked.reason
    claim(run, digits=2)
    assert verdicts(run) == ["held"]
    assert run.claims()[0].sentence == "German rose by +7.21 nats."


def test_a_claim_edited_on_disk_fails(run):
    claim(run, digits=2)
    path = run.path / "claims.json"
    honest = path.read_text()
    for old, new in (("+7.20", "+7.30"), ("7.2041", "7.3041"), ('"language": "de"', '"language": "en"')):
        path.write_text(honest.replace(old, new))
        assert verdicts(run) == ["failed"]
    path.write_text(honest.replace("7.2041", "7.3041").replace("+7.20", "+7.30"))
    assert verdicts(run) == ["failed"]


def test_a_lost_or_damaged_table_makes_a_claim_not_checkable(run):
    claim(run)
    path = run.path / "tables" / "effects.csv"
    path.write_bytes(path.read_bytes().replace(b"7.2041", b"7.2042"))
    assert verdicts(run) == ["not checkable"]
    path.unlink()
    assert verdicts(run) == ["not checkable"]


@pytest.mark.parametrize("content", ["[1]", "3", '[{"sentence": "x"}]'])
def test_a_damaged_claims_file_is_one_line(run, content):
    (run.path / "claims.json").write_text(content)
    with pytest.raises(UnweaveError, match=r"claims.json holds an entry that is not a claim"):
        check_claims(run)


def test_claims_are_plain_json_bound_to_the_bytes_of_the_table(run):
    claim(run, digits=2)
    (entry,) = json.loads((run.path / "claims.json").read_text())
    assert entry["sha256"] == run.load_table("effects").sha256
    assert entry["row"] == {"method": "factor", "language": "de"}
