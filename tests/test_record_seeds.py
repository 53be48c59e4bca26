from __future__ import annotations

import pytest

from unweave.record.aggregate import Aggregate
from unweave.record.claims import check_claims
from unweave.record.run import Run
from unweave.record.seeds import all_seeds, logged_seeds, names_seeds, planned_seeds
from unweave.record.table import Table

LEVELS = (0.9547, 0.9312, 0.9125, 0.971, 0.9421)


def made(root, planned=None, kept=(), logged=(), rows=(), plan=None):
    run = Run.create("s", {}, root=root, name="one", about={"seeds": planned, "plan": plan})
    for seed in kept:
        run.put_cell("cells", f"factor/{seed}", {"method": "factor", "seed": seed, "level": LEVELS[seed]})
    for seed in logged:
        run.log(seed=seed, loss=0.1)
    run.save_table(Table("cells", ("method", "seed", "level"), tuple(("factor", s, LEVELS[s]) for s in rows)))
    return run


def verdict(run, where=None, sentence="At most it is {value}."):
    over = Aggregate("cells", "level", {"method": "factor", **(where or {})}, "max")
    run.claim(sentence, over=over)
    (checked,) = check_claims(run)
    return checked.verdict, checked.reason


def test_planned_are_the_runs_own_seeds_else_its_plans(tmp_path):
    assert planned_seeds(made(tmp_path / "a", planned=[1, 0])) == ["0", "1"]
    assert planned_seeds(made(tmp_path / "b", plan={"seeds": [3]})) == ["3"]
    assert planned_seeds(made(tmp_path / "c")) == []


def test_logged_are_those_of_cells_and_metrics_that_may_be_of_the_arm(tmp_path):
    run = made(tmp_path, kept=[0, 1], logged=[2])
    run.put_cell("cells", "lora/3", {"method": "lora", "seed": 3})
    assert logged_seeds(run) == ["0", "1", "2", "3"]
    assert logged_seeds(run, where={"method": "factor", "seed": [0]}) == ["0", "1", "2"]
    assert logged_seeds(run, where={"method": ["lora"]}) == ["2", "3"]
    assert logged_seeds(run, "draw") == []


@pytest.mark.parametrize(
    ("planned", "kept", "logged", "rows", "where", "reason"),
    [
        ([0, 1, 2, 3, 4], (), (), [3], None, "reports seeds 3, and seeds 0, 1, 2, 3, 4 were to be run"),
        (None, [0, 1, 2, 3, 4], (), [3], None, "reports seeds 3, and seeds 0, 1, 2, 3, 4 were run"),
        (None, (), [0, 1, 2, 3, 4], [3], None, "reports seeds 3, and seeds 0, 1, 2, 3, 4 were run"),
        (None, (), (), [0, 1, 2, 3, 4], {"seed": 3}, "reports seeds 3, and seeds 0, 1, 2, 3, 4 were run"),
        (None, (), (), [0, 1, 2, 3, 4], {"seed": [2, 3]}, "reports seeds 2, 3, and seeds 0, 1, 2, 3, 4 were run"),
        ([0, 1], (), (), [0, 1, 3], None, "reports seeds 0, 1, 3, and seeds 0, 1 were to be run"),
        ([0, 1], [0, 1, 3], (), [0, 1], None, "reports seeds 0, 1, and seeds 0, 1, 3 were run"),
    ],
)
def test_seeds_reported_must_be_those_planned_and_those_run(tmp_path, planned, kept, logged, rows, where, reason):
    assert verdict(made(tmp_path, planned, kept, logged, rows), where) == ("failed", reason)


def test_all_seeds_reported_hold(tmp_path):
    assert verdict(made(tmp_path, [0, 1], [0, 1], [0, 1], [0, 1]))[0] == "held"


def test_one_seed_among_several_must_be_named(tmp_path):
    run = made(tmp_path, [0, 1, 2], rows=[0, 1, 2])
    run.claim("Spanish is at {value} ln V.", "cells", {"seed": 2}, "level", digits=2)
    run.claim("With seed 2 Spanish is at {value} ln V.", "cells", {"seed": 2}, "level", digits=2)
    run.claim("With seed 20 Spanish is at {value} ln V.", "cells", {"seed": 2}, "level", digits=2)
    checked = check_claims(run)
    assert [one.verdict for one in checked] == ["failed", "held", "failed"]
    assert checked[0].reason.startswith("reports seed 2 alone of 0, 1, 2, and does not say so")


def test_some_seeds_may_be_reported_by_their_names_alone(tmp_path):
    run = made(tmp_path, [0, 1, 2, 3], rows=[0, 1, 2, 3])
    over = Aggregate("cells", "level", {"seed": [0, 2]}, "mean")
    for of in ("Over seeds 0, 2", "Over seeds 0 and 2", "Over seeds 0, 2, 3", "Over seeds 0, 2 and 3", "Over seed 0"):
        run.claim(f"{of} it is {{value}}.", over=over)
    assert [one.verdict for one in check_claims(run)] == ["held", "held", "failed", "failed", "failed"]


@pytest.mark.parametrize(
    ("sentence", "seeds", "named"),
    [
        ("Accuracy is {value} over seeds 0, 1 and 2.", [0], False),
        ("On all seeds 0 to 2 accuracy is {value}.", [0], False),
        ("Over seeds 2, 0 and 1 accuracy is {value}.", [2], False),
        ("Over seeds 2 and the others accuracy is {value}.", [2], False),
        ("Over seed 2 and the others accuracy is {value}.", [2], False),
        ("Over seed 2 (and all others) accuracy is {value}.", [2], False),
        ("With seed 1, seed 0 and seed 2 accuracy is {value}.", [2], False),
        ("With seed 1 and with seed 2 accuracy is {value}.", [2], False),
        ("Over seeds 1, 2 and all the rest accuracy is {value}.", [1, 2], False),
        ("Over seeds 0–3 accuracy is {value}.", [0, 3], False),
        ("Over seeds 2 accuracy is {value}.", [2], False),
        ("Over seeds 2 to 1 accuracy is {value}.", [1, 2], False),
        ("With seed 2, accuracy is {value}.", [2], True),
        ("Accuracy (seed 2) is {value}.", [2], True),
        ("Accuracy falls with seed 2 to {value}.", [2], True),
        ("Over seeds 2, 1, and 0 accuracy is {value}.", [0, 1, 2], True),
        ("Over seeds 0 to 2 accuracy is {value}.", [0, 1, 2], True),
        ("Over seeds 0–1 and 3 accuracy is {value}.", [0, 1, 3], True),
        ("With seed 0 and with seed 1 accuracy is {value}.", [0, 1], True),
        ("With seed -1 accuracy is {value}.", [-1], True),
        ("With seed first accuracy is {value}.", ["first"], True),
    ],
)
def test_seeds_are_named_by_exactly_those_of_the_number(sentence, seeds, named):
    assert names_seeds(sentence.format(value="0.31"), [str(seed) for seed in seeds]) is named


def test_the_seeds_of_a_run_are_read_once_and_only_where_they_matter(tmp_path, monkeypatch):
    run, read = made(tmp_path, [0, 1, 2], rows=[0, 1, 2]), []
    monkeypatch.setattr("unweave.record.claims.all_seeds", lambda run: read.append(run) or all_seeds(run))
    run.save_table(Table("summary", ("method", "verdict"), (("factor", "removed"),)))
    run.claim("Spanish is {value}.", "summary", {"method": "factor"}, "verdict")
    run.claim("With seed 2 Spanish is at {value} ln V.", "cells", {"seed": 2}, "level", digits=2)
    assert [one.verdict for one in check_claims(run)] == ["held", "held"]
    assert not read
    run.claim("Spanish is at {value} ln V.", "cells", {"seed": 1}, "level", digits=2)
    run.claim("Spanish is at {value} ln V, too.", "cells", {"seed": 0}, "level", digits=2)
    assert [one.verdict for one in check_claims(run)] == ["held", "held", "failed", "failed"]
    assert len(read) == 1


@pytest.mark.parametrize("how", ["last", "max", "mean"])
def test_a_metric_of_one_seed_must_name_it(tmp_path, how):
    run = made(tmp_path, [0, 1, 2], logged=[0, 1, 2])
    for sentence in ("At most {value} was lost.", "At most {value} was lost with seed 1."):
        run.claim_metric(sentence, "loss", how, {"seed": 1})
    checked = check_claims(run)
    assert [one.verdict for one in checked] == ["failed", "held"]
    assert checked[0].reason.startswith("reports seed 1 alone of 0, 1, 2, and does not say so")


def test_the_last_value_of_several_seeds_is_that_of_one(tmp_path):
    run = made(tmp_path, [0, 1, 2], logged=[0, 1, 2])
    run.claim_metric("{value} was lost.", "loss")
    run.claim_metric("{value} was lost in the mean.", "loss", "mean")
    assert [one.verdict for one in check_claims(run)] == ["failed", "held"]


def test_a_number_of_no_seed_cannot_be_checked_where_several_were_planned(tmp_path):
    run = made(tmp_path, [0, 1, 2], rows=[0, 1, 2])
    run.save_table(Table("summary", ("method", "level", "verdict"), (("factor", 0.99, "removed"),)))
    run.log(accuracy=0.99)
    run.claim("Spanish is at {value} ln V.", "summary", {"method": "factor"}, "level", digits=2)
    run.claim("Spanish was at {value} ln V.", over=Aggregate("summary", "level", how="mean", seed=None), digits=2)
    run.claim_metric("It was {value}.", "accuracy", digits=2)
    run.claim("Spanish is {value}.", "summary", {"method": "factor"}, "verdict")
    checked = check_claims(run)
    assert [one.verdict for one in checked] == ["not checkable"] * 3 + ["held"]
    assert "give `over`, the rows by seed" in checked[0].reason


def test_one_seed_where_there_is_one_need_not_be(tmp_path):
    run = made(tmp_path, [2], rows=[2])
    run.claim("Spanish is at {value} ln V.", "cells", {"seed": 2}, "level", digits=2)
    assert check_claims(run)[0].verdict == "held"
