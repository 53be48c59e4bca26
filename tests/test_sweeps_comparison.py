from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest

from unweave.base.errors import UnweaveError
from unweave.lab.audit.auditor import audit_folder
from unweave.lab.audit.process import audit
from unweave.lab.lab import Lab
from unweave.lab.sweeps.arms import Arm, Grouped
from unweave.lab.sweeps.comparison import compare, compare_arms, compare_runs
from unweave.lab.sweeps.comparison_record import (
    comparison_digits,
    comparison_lines,
    comparison_table,
    keep_comparison,
    save_comparison,
    values_table,
)
from unweave.lab.sweeps.measure import Measure, Reading
from unweave.record import Run, Table, audit_run
from unweave.record.claims import check_claims
from unweave.studies import registry

LEVEL = Measure.parse("summary.level", "lower")


@dataclass(frozen=True)
class Config:
    tokens: int = 4
    rate: float = 0.1
    first_seed: int = 0
    seeds: int = 1


@pytest.fixture(autouse=True)
def _study(monkeypatch):
    registry.all_studies()  # imported under the patch they would be lost with it
    known = {**registry._STUDIES, "pure": registry.Study("pure", "?", Config, lambda config, run=None: None)}
    monkeypatch.setattr(registry, "_STUDIES", known)


def made(root, config, rows, finish=True, study="pure"):
    run = Run.create(study, config, root)
    run.save_table(Table.from_records("summary", rows))
    if finish:
        run.finish()
    return run


def by_seed(root, tokens, values, **config):
    return [
        made(root, {"tokens": tokens, "first_seed": seed, **config}, [{"seed": seed, "level": value}])
        for seed, value in enumerate(values)
    ]


def arms(*values):
    found = []
    for number, one in enumerate(values):
        readings = [Reading("run", seed, value, "level") for seed, value in enumerate(one)]
        found.append(Arm({"arm": number}, tuple(readings)))
    return Grouped(tuple(found), ("arm",))


def verdicts(*values, better="higher"):
    found = compare_arms("pure", Measure("level", better=better), arms(*values))
    return [row.verdict for row in found.rows[1:]]


@pytest.mark.parametrize("seeds", [3, 5, 8])
def test_equal_arms_are_called_better_or_worse_in_at_most_one_of_twenty_repeats(seeds):
    # Of three arms at once: a family, so that the rate is of any of them.
    wrong = 0
    for repeat in range(300):
        draw = np.random.default_rng([seeds, repeat])
        found = verdicts(*(draw.normal(size=seeds) for _ in range(4)))
        wrong += any(verdict in ("better", "worse") for verdict in found)
    assert wrong / 300 <= 0.05


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [3, 4, 5, 6, 8, 10])
@pytest.mark.parametrize("kind", ["normal", "uniform", "exponential", "heavy", "steps"])
def test_equal_arms_of_any_noise_are_seldom_called_different(seeds, kind):
    draws = {
        "normal": lambda draw: draw.normal(size=seeds),
        "uniform": lambda draw: draw.uniform(size=seeds),
        "exponential": lambda draw: draw.exponential(size=seeds),
        "heavy": lambda draw: draw.standard_t(3, seeds),
        "steps": lambda draw: draw.binomial(20, 0.3, seeds) / 20,
    }
    wrong = 0
    for repeat in range(1000):
        draw = np.random.default_rng([seeds, repeat, len(kind)])
        found = verdicts(*(draws[kind](draw) for _ in range(2)))
        wrong += any(verdict in ("better", "worse") for verdict in found)
    assert wrong / 1000 <= 0.05


@pytest.mark.parametrize(("seeds", "effect", "power"), [(3, 6.0, 0.8), (5, 3.0, 0.8), (8, 2.0, 0.8), (10, 2.0, 0.9)])
def test_a_true_effect_is_found_with_the_power_that_the_guide_states(seeds, effect, power):
    seen = wrong = 0
    for repeat in range(300):
        draw = np.random.default_rng([seeds, repeat])
        (found,) = verdicts(draw.normal(size=seeds), draw.normal(effect, size=seeds))
        seen += found == "better"
        wrong += found == "worse"
    assert seen / 300 >= power
    assert wrong == 0


@pytest.mark.parametrize("seeds", [3, 5, 8])
def test_the_best_of_equal_arms_is_told_from_the_others_in_at_most_one_of_twenty_repeats(seeds):
    wrong = 0
    for repeat in range(100):
        draw = np.random.default_rng([seeds, repeat])
        others = [draw.normal(size=seeds) for _ in range(6)]
        found = compare_arms("pure", Measure("level"), arms(draw.normal(-30, size=seeds), *others))
        assert found.best is not found.baseline
        wrong += len(found.best.alike) < 5
    assert wrong / 100 <= 0.05


def test_the_best_is_told_from_an_arm_far_below_it():
    noise = np.random.default_rng(0).normal(size=(4, 5))
    found = compare_arms("pure", Measure("level"), arms(noise[0], noise[1] + 50, noise[2] + 100, noise[3] + 100))
    assert found.best.alike == tuple({"arm=2", "arm=3"} - {found.best.arm.name})


@pytest.mark.parametrize("values", [([1.0] * 3, [1.0000001] * 3), ([1.0] * 8, [2.0] * 8), ([0.1 + 0.2] * 3, [0.3] * 3)])
def test_seeds_that_change_nothing_give_no_verdict(values):
    assert verdicts(*values) == ["no verdict: the seed changes nothing"]
    assert verdicts([1.0, 1.0, 1.0], [2.0, 2.1, 2.2]) == ["better"]


def test_two_seeds_never_suffice():
    assert verdicts([0.0, 0.0], [9.0, 9.0]) == ["too few seeds"]
    lonely = compare_arms(
        "pure",
        LEVEL,
        arms(
            [0.0, 0.1, 0.2],
            [9.0],
        ),
    )
    assert lonely.rows[1].verdict == "too few seeds"
    assert lonely.rows[1].note == "1 shared with the baseline, and a comparison needs 3"


def test_only_shared_seeds_are_paired():
    one = Arm({"a": 1}, tuple(Reading("r", seed, float(seed), "level") for seed in (0, 1, 2, 3)))
    two = Arm({"a": 2}, tuple(Reading("r", seed, float(seed) + 0.5, "level") for seed in (1, 2, 3, 9)))
    row = compare_arms("pure", LEVEL, Grouped((one, two), ("a",))).rows[1]
    assert (row.pairs, row.difference.mean, row.mean.n) == (3, pytest.approx(0.5), 4)


def test_a_steady_difference_below_the_seeds_own_spread_is_not_called_better():
    noise = np.random.default_rng(0).normal(size=8)
    row = compare_arms("pure", Measure("x"), arms(noise, noise + 0.1)).rows[1]
    assert row.verdict == f"no difference seen (noise floor {row.floor:.3g})"
    assert row.adjusted < 0.05
    assert row.note.startswith("of one sign over the seeds")


def test_a_difference_past_the_floor_that_is_not_steady_is_not_called_better():
    row = compare_arms("pure", Measure("x"), arms([0.0, 0.01, 0.02], [0.0, 5.0, 1.0])).rows[1]
    assert row.verdict.startswith("no difference seen")
    assert row.note.startswith("past the floor, but not steady")


def test_lower_may_be_better():
    assert verdicts([1.0, 1.1, 1.2], [0.1, 0.2, 0.31], better="lower") == ["better"]
    assert verdicts([1.0, 1.1, 1.2], [0.1, 0.2, 0.31], better="higher") == ["worse"]


def test_many_comparisons_make_each_harder():
    draw = np.random.default_rng(3)
    base, good = [0.0, 0.3, -0.3, 0.1, -0.1], [1.4, 0.9, 1.7, 1.0, 0.2]
    alone = compare_arms("pure", Measure("x"), arms(base, good)).rows[1]
    among = compare_arms("pure", Measure("x"), arms(base, good, *(draw.normal(size=5) for _ in range(20)))).rows[1]
    assert alone.verdict == "better"
    assert among.adjusted > alone.adjusted
    assert among.verdict.startswith("no difference seen")


def test_runs_are_grouped_by_what_differs_and_paired_by_seed(tmp_path):
    runs = by_seed(tmp_path, 4, [1.0, 1.1, 1.2, 1.3]) + by_seed(tmp_path, 16, [0.2, 0.31, 0.4, 0.5])
    found = compare_runs(runs, LEVEL)
    assert found.by == ("tokens",)
    assert [(row.arm.name, row.mean.n) for row in found.rows] == [("tokens=4", 4), ("tokens=16", 4)]
    assert found.rows[1].verdict == "better"
    assert found.notes[0] == "compared with the arm that was made first: tokens=4"
    turned = compare_runs(runs, LEVEL, baseline={"tokens": "16"})
    assert [row.verdict for row in turned.rows] == ["baseline", "worse"]


def test_a_run_may_hold_several_seeds_and_several_arms(tmp_path):
    rows = [
        {"method": method, "seed": seed, "level": value + 0.01 * seed}
        for method, value in (("factor", 0.1), ("lora", 0.9))
        for seed in range(5)
    ]
    run = made(tmp_path, {"tokens": 4, "seeds": 5}, rows)
    found = compare_runs([run], LEVEL, by=["method"], baseline={"method": "lora"})
    assert [(row.arm.name, row.verdict) for row in found.rows] == [
        ("method=lora", "baseline"),
        ("method=factor", "better"),
    ]
    with pytest.raises(UnweaveError, match="rows 0 and 5 of 'summary' are both of seed 0; select one by method"):
        compare_runs([run], LEVEL)


def test_runs_that_differ_in_more_than_what_is_compared_are_refused(tmp_path):
    runs = by_seed(tmp_path, 4, [1.0], rate=0.1) + by_seed(tmp_path, 4, [1.0], rate=0.2)
    with pytest.raises(UnweaveError, match="differ in rate, not only in the seed: compare by that too"):
        compare_runs(runs, LEVEL, by=["tokens"])


def test_a_repeated_seed_counts_once_and_the_first_one_made_does(tmp_path):
    first = by_seed(tmp_path, 4, [1.0, 1.1, 1.2])
    again = by_seed(tmp_path, 4, [9.0])
    found = compare_runs(again + first, LEVEL)
    assert found.rows[0].arm.values == {0: 1.0, 1: 1.1, 2: 1.2}
    assert found.left_out == {again[0].id: f"repeats seed 0 of the same config in run {first[0].id}, which counts"}


def test_runs_without_the_number_are_named(tmp_path):
    runs = by_seed(tmp_path, 4, [1.0, 1.1, 1.2])
    other = made(tmp_path, {"tokens": 16}, [{"seed": 0, "level": None}])
    found = compare_runs([*runs, other], LEVEL)
    assert list(found.left_out) == [other.id]
    assert "has None in 'level'" in found.left_out[other.id]
    with pytest.raises(UnweaveError, match=r"none of 1 runs has summary\.level"):
        compare_runs([other], LEVEL)


def test_what_else_differs_between_runs_is_said(tmp_path):
    runs = by_seed(tmp_path, 4, [1.0])
    other = Run.create("pure", {"tokens": 16}, tmp_path)
    other.save_table(Table.from_records("summary", [{"seed": 0, "level": 1.0}]))
    for run, digest in ((Run.create("pure", {"first_seed": 1}, tmp_path), "a" * 64), (other, "b" * 64)):
        run.identify("data", "text", digest)
    notes = compare_runs([*runs, other], LEVEL).notes
    assert not any("data" in note for note in notes)
    both = made(tmp_path, {"tokens": 4, "first_seed": 2}, [{"seed": 2, "level": 1.0}], finish=False)
    both.identify("data", "text", "a" * 64)
    assert "the runs used 2 versions of data 'text'" in compare_runs([*runs, other, both], LEVEL).notes


def test_a_logged_metric_is_compared_too(tmp_path):
    runs = []
    for rate, shift in ((0.1, 0.0), (0.2, 3.0)):
        for seed in range(4):
            run = Run.create("tracked", {"rate": rate, "seed": seed}, tmp_path)
            run.log(step=1, loss=99.0)
            run.log(step=2, loss=shift + 0.1 * seed + 0.01 * rate * seed)
            run.log(step=3, other=1.0)
            runs.append(run)
    found = compare_runs(runs, Measure.parse("loss", "lower"))
    assert [(row.arm.name, row.verdict) for row in found.rows] == [("rate=0.1", "baseline"), ("rate=0.2", "worse")]
    assert found.rows[0].arm.readings[1].step == 2
    with pytest.raises(UnweaveError, match="'loos'; nearest: 'loss'"):
        compare_runs(runs, Measure.parse("loos", "lower"))


def test_a_baseline_that_is_no_arm_is_refused(tmp_path):
    runs = by_seed(tmp_path, 4, [1.0]) + by_seed(tmp_path, 16, [1.0])
    with pytest.raises(UnweaveError, match="0 arms are tokens=5; nearest: 'tokens=4'"):
        compare_runs(runs, LEVEL, baseline={"tokens": 5})
    with pytest.raises(UnweaveError, match="names 'rate', which the arms do not differ in"):
        compare_runs(runs, LEVEL, baseline={"rate": 5})


@pytest.mark.parametrize(
    ("text", "table", "column", "where"),
    [
        ("summary.level[method=factor,budget=4]", "summary", "level", {"method": "factor", "budget": "4"}),
        ("left-out.worst other", "left-out", "worst other", {}),
        ("val/loss", None, "val/loss", {}),
        ("logged:a.b", None, "a.b", {}),
    ],
)
def test_a_measure_is_read_from_text_and_written_as_it(text, table, column, where):
    measure = Measure.parse(text, "lower")
    assert (measure.table, measure.column, measure.where) == (table, column, where)
    assert measure.text == text


@pytest.mark.parametrize("text", ["", "a.b[", "a.[x=1]", "[x]", ".x"])
def test_what_is_no_measure_is_refused(text):
    with pytest.raises(UnweaveError, match="is not a number of a run"):
        Measure.parse(text, "lower")
    with pytest.raises(UnweaveError, match="say higher or lower"):
        Measure.parse("a.b", "upper")


def test_conditions_take_the_kind_of_their_column_and_fields_of_the_config(tmp_path):
    rows = [
        {"budget": 4, "strict": False, "language": "de", "level": 1.0},
        {"budget": 4, "strict": True, "language": "de", "level": 2.0},
        {"budget": 16, "strict": False, "language": "de", "level": 3.0},
    ]
    run = made(tmp_path, {"tokens": 16}, rows)
    for where, value in (("budget=4,strict=no", 1.0), ("strict=true", 2.0), ("budget={tokens}", 3.0)):
        (reading,) = Measure.parse(f"summary.level[{where}]", "lower").read(run, (7,))
        assert (reading.value, reading.seed, reading.table) == (value, 7, "summary")
        assert run.load_table("summary").rows[reading.row][3] == value
    for where, line in (
        ("budget={token}", "names a field that the config lacks; nearest: 'tokens'"),
        ("budget={tokens:>99999999999}", "no row"),
        ("budget=5", "no row"),
        ("budgets=5", "no column 'budgets'"),
        ("budget=4", "select one by strict, level"),
    ):
        with pytest.raises(UnweaveError, match=line):
            Measure.parse(f"summary.level[{where}]", "lower").read(run, (0,))


def test_a_kept_comparison_cites_every_number_and_its_claims_hold(tmp_path):
    runs = by_seed(tmp_path, 4, [1.0, 1.1, 1.2, 1.3]) + by_seed(tmp_path, 16, [0.2, 0.31, 0.4, 0.5])
    found = compare_runs(runs, LEVEL)
    kept = Run.create("comparison", {}, tmp_path)
    keep_comparison(found, kept)
    assert audit_run(kept) == []
    sentences = [claim.sentence for claim in kept.claims()]
    assert sentences == [
        "summary.level: tokens=16 less tokens=4 is -0.80 over 4 seeds.",
        "tokens=16 against tokens=4: better.",
    ]
    for row in kept.load_table("values").records():
        source = Run.open(tmp_path / row["run"]).load_table(row["table"])
        assert source.sha256 == row["sha256"]
        assert source.records()[row["row"]][row["column"]] == row["value"]
        assert source.records()[row["row"]]["seed"] == row["seed"]


def test_claims_on_some_of_the_planned_seeds_name_them_and_hold(tmp_path):
    runs = by_seed(tmp_path, 4, [1.0, 1.1, 1.2, 1.3]) + by_seed(tmp_path, 16, [0.2, 0.31, 0.4])
    found = compare_runs(runs, LEVEL)
    kept = Run.create("comparison", {"tokens": [4, 16]}, tmp_path, about={"seeds": [0, 1, 2, 3]})
    keep_comparison(found, kept, ("tokens=16", found.rows[1]))
    kept.finish()
    assert [claim.sentence for claim in kept.claims()] == [
        "tokens=16: summary.level 0.30 over seeds 0, 1, 2.",
        "summary.level: tokens=16 less tokens=4 is -0.80 over seeds 0, 1, 2.",
        "tokens=16 against tokens=4: better.",
    ]
    assert [one.verdict for one in audit_folder(kept.path).claims] == ["held"] * 3


def test_the_claim_on_an_arm_of_one_seed_among_several_names_it(tmp_path):
    found = compare_runs(by_seed(tmp_path, 4, [1.0, 1.1, 1.2]) + by_seed(tmp_path, 16, [0.2]), LEVEL)
    kept = Run.create("comparison", {"tokens": [4, 16]}, tmp_path, about={"seeds": [0, 1, 2]})
    keep_comparison(found, kept, ("tokens=16", found.rows[1]))
    assert kept.claims()[0].sentence.endswith(" over seed 0.")
    assert check_claims(kept)[0].verdict == "held"


def kept_comparison(lab):
    """A comparison of three arms as a finished run."""
    runs = by_seed(lab.root, 4, [1.0, 1.1, 1.2, 1.3]) + by_seed(lab.root, 16, [0.2, 0.31, 0.4, 0.5])
    runs += by_seed(lab.root, 64, [0.9, 1.3, 1.1, 1.2])
    return save_comparison(lab, compare(lab, [run.id for run in runs], LEVEL))


def test_the_auditor_makes_every_number_and_verdict_of_a_comparison_again(tmp_path):
    with Lab(tmp_path / "runs") as lab:
        kept = kept_comparison(lab)
        found = audit(lab, kept.id)
        assert (found.verdict, {one.verdict for one in found.claims}) == ("valid", {"held"}), found.reasons


@pytest.mark.parametrize("study", ["comparison", "sweep"])
def test_a_persons_own_study_of_that_name_is_not_judged_by_the_labs_tables(tmp_path, study):
    run = Run.create(study, {}, tmp_path)
    run.save_table(Table("values", ("arm", "value"), (("a", 1.0), ("b", 2.0))))
    run.save_table(Table("comparison", ("arm", "mean"), (("a", 1.0), ("b", 2.0))))
    run.finish()
    assert audit_folder(run.path).reasons == ()


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("verdict", "better"),
        ("p", 0.01),
        ("adjusted", 0.01),
        ("low", 1.19),
        ("floor", 0.0),
        ("to", -0.01),
        ("seeds", 9),
        ("against", "tokens=16"),
        ("note", "steady"),
        ("not told from", "tokens=16"),
    ],
)
def test_a_verdict_a_p_value_or_an_interval_that_does_not_follow_is_found(tmp_path, column, value):
    with Lab(tmp_path / "runs") as lab:
        honest = kept_comparison(lab)
        values, stated = honest.load_table("values"), honest.load_table("comparison")
        forged = Run.create("comparison", honest.config, lab.root)
        forged.save_table(values)
        rows = [{**row, column: value} if row["arm"] == "tokens=64" else row for row in stated.records()]
        forged.save_table(Table.from_records("comparison", rows))
        forged.finish()
        (reason,) = audit_folder(forged.path).reasons
        assert reason.startswith(f"comparison, row 2: tokens=64, {column}: {value!r} instead of ")


def test_digits_follow_the_uncertainty(tmp_path):
    found = compare_arms("pure", LEVEL, arms([1.0, 1.001, 1.002], [2.0, 2.001, 2.002]))
    assert comparison_digits(found) == 4
    assert comparison_table(found).digits["mean"] == 4
    assert comparison_digits(compare_arms("pure", LEVEL, arms([100.0, 300.0, 550.0]))) == 0
    assert comparison_digits(compare_arms("pure", LEVEL, arms([1.0]))) == 3


def test_a_lab_leaves_out_what_is_invalid_or_unfinished_and_keeps_the_comparison_as_a_run(tmp_path):
    lab = Lab(tmp_path / "runs")
    runs = by_seed(lab.root, 4, [1.0, 1.1, 1.2]) + by_seed(lab.root, 16, [0.2, 0.31, 0.4])
    bad = made(lab.root, {"tokens": 4, "first_seed": 8}, [{"seed": 8, "level": 0.0}])
    unfinished = made(lab.root, {"tokens": 4, "first_seed": 9}, [{"seed": 9, "level": 0.0}], finish=False)
    lab.runs.sync()
    lab.runs.invalidate(bad.id, "its metrics were edited")
    ids = [run.id for run in (*runs, bad, unfinished)]
    found = compare(lab, ids, LEVEL)
    assert found.left_out == {bad.id: "it is invalid: its metrics were edited", unfinished.id: "it is running"}
    kept = save_comparison(lab, found)
    assert kept.state()["parents"] == [run.id for run in runs]
    assert kept.load_table("left-out").column("run") == (bad.id, unfinished.id)
    audited = audit_folder(kept.path, lab.root)
    assert audited.verdict == "valid", [finding.what for finding in audited.findings if finding.grave]
    assert f"left out: {bad.id}: it is invalid: its metrics were edited" in comparison_lines(found)
    with pytest.raises(UnweaveError, match="there is nothing to compare"):
        compare(lab, [bad.id], LEVEL)


def test_a_kept_comparison_names_the_runs_of_the_same_configs_that_were_not_chosen(tmp_path):
    lab = Lab(tmp_path / "runs")
    runs = by_seed(lab.root, 4, [1.0, 1.1, 1.2, 9.0]) + by_seed(lab.root, 16, [0.2, 0.31, 0.4])
    by_seed(lab.root, 64, [0.2])
    chosen = [run.id for run in runs if run is not runs[3]]
    with pytest.raises(UnweaveError, match=f"{runs[3].id} has the same config .* say with --because why"):
        save_comparison(lab, compare(lab, chosen, LEVEL))
    kept = save_comparison(lab, compare(lab, chosen, LEVEL), because="its log says that the disk was full")
    assert kept.load_table("left-out").records() == [
        {"run": runs[3].id, "reason": "its log says that the disk was full"}
    ]


def test_one_arm_is_no_comparison(tmp_path):
    found = compare_runs(by_seed(tmp_path, 4, [1.0, 2.0]), LEVEL)
    assert comparison_lines(found) == ["one arm alone, all runs: there is nothing to compare it with"]
    assert len(values_table(found).rows) == 2
    assert math.isnan(found.rows[0].floor)
