from __future__ import annotations

import json

import pytest

from unweave.base.errors import UnweaveError
from unweave.record.claims import check_claims
from unweave.record.metric import metric_digest, metric_lengths, metric_rows, read_metric
from unweave.record.run import Run

LOSSES = (3.0, 2.5, 2.25, 2.5)


@pytest.fixture
def run(tmp_path):
    run = Run.create("training", {}, root=tmp_path, name="one")
    for step, loss in enumerate(LOSSES):
        run.log(step=step, loss=loss, split="train")
        run.log(step=step, loss=loss + 1, split="validation")
    run.log(tokens=7)
    return run


def claim(run, how="last", where=None, **more):
    word = {"max": "At most the", "min": "At least the"}.get(how, "The")
    return run.claim_metric(f"{word} loss was {{value}}.", "loss", how, where or {"split": "train"}, **more)


def verdict(run):
    (checked,) = check_claims(run)
    return checked.verdict, checked.reason


@pytest.mark.parametrize(
    ("how", "value"), [("last", 2.5), ("first", 3.0), ("max", 3.0), ("min", 2.25), ("mean", 2.5625)]
)
def test_a_claim_reads_the_metric_in_each_way_and_holds(run, how, value):
    made = claim(run, how)
    assert made.value == value
    assert (made.table, made.column, made.metric) == (f"metrics:{how}", "loss", how)
    assert verdict(run) == ("held", f"{how} of metric 'loss' = {value:.3f}")


def test_steps_can_be_bounded_and_a_whole_number_stays_one(run):
    assert claim(run, "last", {"split": "train", "step<=": 2}).value == 2.25
    assert claim(run, "max", {"split": "train", "step>=": 1, "step<=": 2}).value == 2.5
    assert run.claim_metric("It read {value} tokens.", "tokens").sentence == "It read 7 tokens."
    assert [one.verdict for one in check_claims(run)] == ["held"] * 3


def test_an_edited_line_fails_the_claim_and_so_does_an_edited_claim(run):
    claim(run)
    path = run.path / "metrics.jsonl"
    honest = path.read_text()
    path.write_text(honest.replace('"loss": 3.0', '"loss": 3.1'))
    assert verdict(run) == ("failed", "the metrics were changed after the claim was made")
    path.write_text(honest)
    claims = run.path / "claims.json"
    claims.write_text(claims.read_text().replace('"value": 2.5', '"value": 2.4').replace("2.500", "2.400"))
    assert verdict(run) == ("failed", "the metrics hold 2.5, the claim 2.4")


def test_a_run_that_went_on_after_the_claim_fails_it_where_the_number_moved(run):
    claim(run, "last")
    run.log(step=4, loss=2.5, split="train")
    run.log(step=5, loss=9.0, split="validation")
    assert verdict(run)[0] == "held"
    run.log(step=5, loss=2.75, split="train")
    assert verdict(run) == ("failed", "the run went on after the claim: last 'loss' is 2.75 at its end")


def test_lines_that_are_gone_make_it_not_checkable(run):
    claim(run)
    path = run.path / "metrics.jsonl"
    path.write_bytes(path.read_bytes()[:-200])
    assert verdict(run)[0] == "not checkable"
    path.unlink()
    assert verdict(run)[0] == "not checkable"


def test_what_several_processes_logged_is_read_in_the_order_of_time(run):
    (run.path / "metrics.host-1.jsonl").write_text(
        json.dumps({"time": "2000-01-01", "loss": 8.0, "split": "train"})
        + "\n"
        + json.dumps({"time": "2999-01-01", "loss": 0.5, "split": "train"})
        + "\n"
    )
    assert claim(run, "first").value == 8.0
    assert claim(run, "last").value == 0.5
    assert set(metric_lengths(run.path)) == {"metrics.jsonl", "metrics.host-1.jsonl"}
    assert [one.verdict for one in check_claims(run)] == ["held", "held"]
    (run.path / "metrics.host-1.jsonl").unlink()
    assert [one.verdict for one in check_claims(run)] == ["not checkable", "not checkable"]


def test_a_torn_last_line_is_not_part_of_it(run):
    digest = metric_digest(run.path, lengths := metric_lengths(run.path))
    with open(run.path / "metrics.jsonl", "ab") as file:
        file.write(b'{"loss": 1')
    assert metric_digest(run.path, metric_lengths(run.path)) == digest
    assert len(metric_rows(run.path)) == len(metric_rows(run.path, lengths)) == 2 * len(LOSSES) + 1


def test_a_value_that_is_not_finite_cannot_be_claimed(run):
    run.log(step=9, loss=float("nan"), split="train")
    with pytest.raises(UnweaveError, match="'loss' at step 9 is None, not a finite number"):
        claim(run)
    with pytest.raises(UnweaveError, match="not a finite number"):
        claim(run, "min")
    assert claim(run, "first").value == 3.0


@pytest.mark.parametrize(
    ("metric", "how", "where", "words"),
    [
        ("los", "last", {}, "no row logged 'los'; nearest: 'loss'"),
        ("loss", "last", {"split": "test"}, "no row logged 'loss' with"),
        ("loss", "last", {"step>=": 99}, "no row logged"),
        ("loss", "median", {}, "use one of last, first"),
        ("split", "last", {}, "is 'train', not a finite number|is 'validation', not a finite number"),
    ],
)
def test_what_is_not_there_is_named(run, metric, how, where, words):
    with pytest.raises(UnweaveError, match=words):
        read_metric(metric_rows(run.path), metric, how, where)
