from __future__ import annotations

import json
from dataclasses import replace

import pytest

from unweave.base.errors import UnweaveError
from unweave.base.files import write_json
from unweave.record import Aggregate, Run, Table, check_claims
from unweave.record.claims import Claim, stated

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


SEEDS = ((0, 0.9547), (1, 0.9312), (2, 0.9125), (3, 0.971), (4, 0.9421))


def seeded(root, rows=SEEDS, summary=0.9421, name="seeded", **about):
    run = Run.create("s", {}, root=root, name=name, about={"seeds": [0, 1, 2, 3, 4], **about})
    run.save_table(Table("cells", ("method", "seed", "level"), tuple(("factor", *row) for row in rows)))
    run.save_table(Table("summary", ("method", "level"), (("factor", summary),)))
    return run


def claim_over(run, sentence="It is {value}.", over=None, digits=2):
    over = over or Aggregate("cells", "level", {"method": "factor"})
    return run.claim(sentence, "summary", {"method": "factor"}, "level", digits=digits, over=over)


def reason(run):
    (checked,) = check_claims(run)
    return checked.verdict, checked.reason


def test_a_summed_up_cell_is_recomputed_from_its_rows(tmp_path):
    run = seeded(tmp_path)
    made = claim_over(run)
    assert made.sentence == "It is 0.94."
    assert made.over is not None
    assert made.over.sha256 == run.load_table("cells").sha256
    assert run.claims() == [made]
    assert reason(run) == ("held", "median of 'level' in table 'cells' over seeds 0, 1, 2, 3, 4 = 0.94")


def test_an_aggregate_that_no_table_holds_can_be_claimed(tmp_path):
    run = seeded(tmp_path)
    made = run.claim("{value} of five pass.", over=Aggregate("cells", "level", how="share>=0.93"), digits=1)
    assert (made.sentence, made.table, made.aggregated) == ("0.8 of five pass.", "cells", True)
    assert reason(run)[0] == "held"


def test_a_cell_that_its_rows_do_not_give_is_refused_and_found(tmp_path):
    with pytest.raises(UnweaveError, match=r"holds 0.95 .* but median of 'level' in 'cells' is 0.9421"):
        claim_over(seeded(tmp_path, summary=0.95))
    run = seeded(tmp_path, name="other")
    claim_over(run)
    run.save_table(Table("cells", ("method", "seed", "level"), tuple(("factor", *row) for row in SEEDS[1:])))
    assert reason(run) == ("failed", "table 'cells' was saved again after the claim was made")
    path = run.path / "claims.json"
    path.write_text(path.read_text().replace(json.loads(path.read_text())[0]["over"]["sha256"], "0" * 64))
    rebound = json.loads(path.read_text())
    rebound[0]["over"]["sha256"] = run.load_table("cells").sha256
    path.write_text(json.dumps(rebound))
    assert reason(run)[0] == "failed"
    assert "is 0.93665, the claim 0.9421" in reason(run)[1]


def test_an_aggregate_of_the_tables_own_rows_proves_nothing(tmp_path):
    run = seeded(tmp_path)
    with pytest.raises(UnweaveError, match="cannot prove its own cell"):
        run.claim("{value}", "cells", {"seed": 4}, "level", over=Aggregate("cells", "level", {"seed": 4}, seed="seed"))
    with pytest.raises(UnweaveError, match="needs a table, a row and a column, or `over` and none of them"):
        run.claim("{value}", "cells")
    with pytest.raises(UnweaveError, match="needs a table, a row and a column, or `over` and none of them"):
        run.claim("{value}", "cells", over=Aggregate("cells", "level"))


@pytest.mark.parametrize("unseeded", [True, False])
def test_an_arm_that_draws_nothing_has_one_row_however_many_seeds(tmp_path, unseeded):
    run = seeded(tmp_path, rows=SEEDS[:1], summary=0.9547)
    claim_over(run, over=Aggregate("cells", "level", {"method": "factor"}, unseeded=unseeded))
    assert reason(run)[0] == ("held" if unseeded else "failed")
    run.put_cell("cells", "factor/1", {"method": "factor", "seed": 1, "level": 0.2})
    assert reason(run)[0] == "failed"


def test_a_column_of_seeds_cannot_be_kept_silent(tmp_path):
    run = seeded(tmp_path, rows=SEEDS[:1], summary=0.9547)
    claim_over(run, over=Aggregate("cells", "level", {"method": "factor"}, seed=None))
    assert reason(run) == (
        "failed",
        "does not name the column of seeds of 'cells': seeds 0, 1, 2, 3, 4 were to be run",
    )


def test_a_claim_without_the_newer_fields_is_read_as_before(run):
    claim(run, digits=2)
    (entry,) = json.loads((run.path / "claims.json").read_text())
    assert set(entry) == {"sentence", "table", "sha256", "row", "column", "value", "digits"}
    assert verdicts(run) == ["held"]


def test_the_same_sentence_on_another_aggregate_is_another_claim(tmp_path):
    run = seeded(tmp_path)
    for how in ("median", "mean", "median"):
        run.claim("It is {value}.", over=Aggregate("cells", "level", how=how), digits=4)
    assert [one.sentence for one in run.claims()] == ["It is 0.9423.", "It is 0.9421."]


@pytest.mark.parametrize(
    "content",
    [
        '[{"sentence": "1", "table": "t", "sha256": "", "row": {}, "column": "c", "value": 1, "digits": 0, "over": 3}]',
        '[{"sentence": "1", "table": "t", "sha256": "", "row": {}, "column": "c", "value": 1, "digits": 0, '
        '"over": {"table": "t", "column": "c", "how": "magic"}}]',
        '[{"sentence": "1", "table": "t", "sha256": "", "row": {}, "column": "c", "value": 1, "digits": 0, '
        '"lengths": 3}]',
        '[{"sentence": 1, "table": "t", "sha256": "", "row": {}, "column": "c", "value": 1, "digits": 0}]',
    ],
)
def test_a_damaged_claim_of_the_newer_kinds_is_one_line_too(run, content):
    (run.path / "claims.json").write_text(content)
    with pytest.raises(UnweaveError, match=r"claims.json holds an entry that is not a claim"):
        check_claims(run)


RUN_OF_FIVE = {0: 0.58, 1: 0.6, 2: 0.55, 3: 0.99, 4: 0.5}


def of_five(tmp_path, **config):
    run = Run.create("s", config, root=tmp_path, name="five", about={"seeds": list(RUN_OF_FIVE)})
    rows = tuple(("factor", seed, 1e-3, level) for seed, level in RUN_OF_FIVE.items())
    run.save_table(Table("seeds", ("method", "seed", "rate", "level"), rows))
    return run


def reasons(run):
    return [(one.verdict, one.reason) for one in check_claims(run)]


def forged(run, sentence, over):
    """A claim on an aggregate as somebody writes it into the file whom ``Run.claim`` refuses it."""
    raw = run.load_table(over.table)
    value, bound = over.recompute(raw), replace(over, sha256=raw.sha256)
    made = Claim(sentence, raw.name, raw.sha256, over.where, over.column, value, 3, bound)
    write_json(run.path / "claims.json", [{**made.to_json(), "sentence": sentence.format(value=stated(value, 3))}])


@pytest.mark.parametrize(
    ("how", "sentence", "verdict"),
    [
        ("max", "The factor leaves Spanish at {value} ln V.", "failed"),
        ("max", "The factor leaves Spanish at {value} ln V at the lowest.", "failed"),
        ("max", "The highest level of Spanish is {value} ln V.", "held"),
        ("max", "Spanish is at most at {value} ln V.", "held"),
        ("max", "The level of Spanish never exceeds {value} ln V.", "held"),
        ("max", "The level of Spanish stays below {value} ln V.", "held"),
        ("max", "Spanish is left at no more than {value} ln V.", "held"),
        ("max", "The strongest effect is {value} ln V.", "held"),
        ("max", "On the latest test the level of Spanish is {value} ln V.", "failed"),
        ("min", "Spanish is left at no less than {value} ln V.", "held"),
        ("min", "The weakest effect is {value} ln V.", "held"),
        ("min", "The highest level of Spanish is {value} ln V.", "failed"),
        ("min", "The factor leaves Spanish at {value} ln V.", "failed"),
        ("min", "The factor leaves Spanish at {value} ln V or more, in the worst seed.", "held"),
        ("median", "The factor leaves Spanish at {value} ln V.", "held"),
    ],
)
def test_the_best_of_several_is_called_that(tmp_path, how, sentence, verdict):
    run, over = of_five(tmp_path), Aggregate("seeds", "level", how=how)
    if verdict == "held":
        run.claim(sentence, over=over)
    else:
        with pytest.raises(UnweaveError, match=rf"the claim .* states the {how} of several .*: write “(high|low)est”"):
            run.claim(sentence, over=over)
        forged(run, sentence, over)
    assert reasons(run)[0][0] == verdict


def test_the_largest_of_one_number_is_that_number(tmp_path):
    run = Run.create("s", {}, root=tmp_path, name="one")
    run.save_table(Table("t", ("seed", "level"), ((0, 0.5),)))
    run.log(loss=0.25)
    run.claim("It is {value}.", over=Aggregate("t", "level", how="max"))
    run.claim_metric("The loss is {value}.", "loss", "max")
    assert verdicts(run) == ["held", "held"]
    run.log(loss=0.5)
    with pytest.raises(UnweaveError, match="states the max of several numbers"):
        run.claim_metric("The loss is {value}.", "loss", "max")


def test_rows_are_not_chosen_by_what_came_out(tmp_path):
    run = of_five(tmp_path, rates=[1e-3])
    sentence = "Over seeds 1 and 3 the mean is {value}."
    good = Aggregate("seeds", "level", {"method": "factor", "level": [0.99, 0.6]}, "mean")
    for refused in ({"over": good}, {"table": "seeds", "row": {"level": 0.99}, "column": "level"}):
        with pytest.raises(UnweaveError, match="selects rows of 'seeds' by 'level', the number that is claimed"):
            run.claim(sentence, **refused)
    forged(run, sentence, good)
    assert reasons(run) == [("failed", "selects rows of 'seeds' by 'level', the number that is claimed")]
    made = run.claim("With seed 3 it is {value}.", "seeds", {"seed": 3}, "level")
    write_json(run.path / "claims.json", [{**made.to_json(), "row": {"level": 0.99}}])
    assert verdicts(run) == ["failed"]


def test_rows_are_chosen_by_a_fraction_that_is_a_setting(tmp_path):
    run, other = of_five(tmp_path, rates=[1e-3]), of_five(tmp_path / "other")
    over = Aggregate("seeds", "level", {"rate": 1e-3}, "mean")
    run.claim("The mean is {value}.", over=over)
    assert verdicts(run) == ["held"]
    with pytest.raises(UnweaveError, match=r"'rate', a number that the run's config does not have: if it is a setting"):
        other.claim("The mean is {value}.", over=over)
    forged(other, "The mean is {value}.", over)
    ((verdict, reason),) = reasons(other)
    assert (verdict, "a number that the run's config does not have" in reason) == ("failed", True)


def test_a_script_is_told_at_once_that_its_setting_is_not_in_the_config(tmp_path):
    run = Run.create("s", {}, root=tmp_path, name="one")
    run.save_table(Table("rates", ("lr", "loss"), ((0.1, 0.5), (0.01, 0.25))))
    with pytest.raises(UnweaveError, match="put it into the config when the run is made"):
        run.claim("At lr 0.01 the loss is {value}.", "rates", {"lr": 0.01}, "loss")
    run.log(step=2, epoch=2.0, share=0.5, loss=0.25)
    with pytest.raises(UnweaveError, match="put it into the config when the run is made"):
        run.claim_metric("The loss is {value}.", "loss", where={"share": 0.5})
    run.claim_metric("The loss after two epochs is {value}.", "loss", where={"epoch": 2.0})
    run.save_table(Table("epochs", ("epoch", "loss"), ((1.0, 0.5), (2.0, 0.25))))
    run.claim("The loss after two epochs is {value}.", "epochs", {"epoch": 2.0}, "loss")
    assert verdicts(run) == ["held", "held"]


def test_differences_are_not_chosen_by_what_came_out(tmp_path):
    run = of_five(tmp_path)
    over = Aggregate("seeds", "level", {}, "mean", minus={"level": list(RUN_OF_FIVE.values())})
    with pytest.raises(UnweaveError, match="by 'level', the number that is claimed"):
        run.claim("The mean differs by {value}.", over=over)
    forged(run, "The mean differs by {value}.", over)
    assert reasons(run)[0][0] == "failed"


@pytest.mark.parametrize(
    ("value", "digits", "shown"),
    [
        (0.58, 0, "0.6"),
        (0.4, 0, "0.4"),
        (0.04, 0, "0.04"),
        (0.00058, 3, "0.0006"),
        (0.0002, 3, "0.000"),
        (1.4, 0, "1"),
        (0.0, 0, "0"),
        (-0.58, 0, "-0.6"),
    ],
)
def test_so_few_digits_that_another_number_stands_there_become_more(tmp_path, value, digits, shown):
    run = Run.create("s", {}, root=tmp_path, name="one")
    run.save_table(Table("t", ("level",), ((value,),)))
    assert run.claim("It is {value} ln V.", "t", {}, "level", digits=digits).sentence == f"It is {shown} ln V."
    assert reasons(run)[0][0] == "held"


def test_a_forged_rounding_fails(tmp_path):
    run = Run.create("s", {}, root=tmp_path, name="one")
    run.save_table(Table("t", ("level",), ((0.58,),)))
    made = run.claim("It is {value} ln V.", "t", {}, "level")
    write_json(run.path / "claims.json", [{**made.to_json(), "sentence": "It is 1 ln V.", "digits": 0}])
    assert reasons(run) == [("failed", "1 is no rounding of 0.58 to go by: give more digits")]
    with pytest.raises(UnweaveError, match=r"does not state its value 0\.6"):
        run.claim("It is 1 ln V.", "t", {}, "level", digits=0)
