from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from unweave.base.errors import UnweaveError
from unweave.lab.audit.auditor import audit_folder
from unweave.lab.lab import Lab
from unweave.lab.sweeps.halving import Halving
from unweave.lab.sweeps.measure import Measure
from unweave.lab.sweeps.plan import SweepPlan, estimate_cost
from unweave.lab.sweeps.space import Space
from unweave.lab.sweeps.sweep import runs_of, submit_sweep
from unweave.record import Run, audit_run
from unweave.studies.discover import forget_sources

SOURCE = str(Path(__file__).with_name("sweep_study.py"))
LEVEL = Measure.parse("summary.level", "lower")
NEEDS = {"memory_gb": 1.0, "disk_gb": 0.01, "threads": 0.5}


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """One for all tests here, so that its workers are warm."""
    lab = Lab(tmp_path_factory.mktemp("lab") / "runs")
    yield lab
    lab.queue.close()
    lab.close()


@pytest.fixture(autouse=True)
def _forgetting():
    yield
    forget_sources()


def planned(grid=None, **more):
    space = more.pop("space", None) or Space(grid or {"x": [0, 2]}, fixed=more.pop("fixed", {}))
    return SweepPlan("curve", space, **{"measure": LEVEL, "source": SOURCE, "needs": NEEDS, **more})


def done(lab, plan, seconds=60.0, **more):
    job = submit_sweep(lab, plan, **more)
    (ended,) = lab.queue.wait([job.id], seconds)
    return ended, Run.open(lab.root / job.run)


def test_a_sweep_runs_every_config_at_every_seed_and_compares(lab):
    job, run = done(lab, planned({"x": "0,1.5,2"}, baseline={"x": 0}))
    assert (job.state, job.note) == ("finished", None)
    trials = run.load_table("trials").records()
    assert [(row["arm"], row["seeds"], row["state"]) for row in trials] == [
        (arm, "0,1,2", "finished") for arm in range(3)
    ]
    found = run.load_table("comparison").records()
    assert [(row["arm"], row["verdict"]) for row in found] == [
        ("x=0.0", "baseline"), ("x=1.5", "better"), ("x=2.0", "better"),
    ]  # fmt: skip
    assert run.claims()[0].sentence.startswith("x=2.0 is better than x=0.0, and not told from x=1.5: summary.level ")
    assert [one.verdict for one in audit_folder(run.path).claims] == ["held"] * len(run.claims())
    assert audit_run(run) == []
    state = run.state()
    assert (state["study"], state["seeds"], state["plan"]["runs"]) == ("sweep", [0, 1, 2], 3)
    assert SweepPlan.from_json(state["config"]) == planned({"x": "0,1.5,2"}, baseline={"x": 0})
    for row in trials:
        trial = Run.open(lab.root / row["run"]).state()
        assert (trial["parents"], trial["tags"], trial["seeds"]) == ([run.id], [run.id], [0, 1, 2])
        assert trial["plan"]["config"] == trial["config"]
    (left,) = [row for row in run.load_table("arms").records() if row["x"] == 2.0]
    assert (left["verdict"], left["rung"]) == ("better", 0)


def test_its_audit_is_valid_and_an_edited_source_fails_it(lab):
    _, run = done(lab, planned({"x": "0,2"}))
    found = audit_folder(run.path, lab.root)
    assert found.verdict == "valid", [finding for finding in found.findings if finding.grave]
    assert all(claim.verdict == "held" for claim in found.claims)
    source = lab.root / str(run.load_table("values").records()[0]["run"]) / "tables" / "summary.csv"
    source.write_text(source.read_text().replace("0,", "0,9", 1))
    assert audit_folder(run.path, lab.root).verdict == "invalid"


def test_halving_drops_the_worse_configs_on_fresh_seeds(lab):
    halving = Halving("effort", ("1", "4", "16"), keep=3)
    space = Space(random={"x": "float:-10:10"}, draws=7, seed=5)
    job, run = done(lab, planned(space=space, halving=halving))
    assert (job.state, job.note) == ("finished", None)
    trials = run.load_table("trials").records()
    by_rung = {rung: [row for row in trials if row["rung"] == rung] for rung in (0, 1, 2)}
    assert [len(by_rung[rung]) for rung in (0, 1, 2)] == [7, 3, 2]
    assert [{row["seeds"] for row in by_rung[rung]} for rung in (0, 1, 2)] == [{"0"}, {"1"}, {"2,3,4"}]
    configs = {row["run"]: Run.open(lab.root / row["run"]).config for row in trials}
    assert [{configs[row["run"]]["effort"] for row in by_rung[rung]} for rung in (0, 1, 2)] == [{1}, {4}, {16}]
    plan = SweepPlan.from_json(run.config)
    closest = min(range(7), key=lambda arm: abs(plan.arms[arm]["x"] - 2))
    assert closest in {row["arm"] for row in by_rung[2]}
    assert run.load_table("comparison").records()[0]["seeds"] == 3
    assert plan.runs == len(trials)
    found = audit_folder(run.path, lab.root)
    assert found.verdict == "valid", [finding.what for finding in found.findings if finding.grave]


def test_runs_that_fail_are_listed_and_the_rest_is_compared(lab):
    job, run = done(lab, planned({"kind": "plain,broken,empty"}, fixed={"x": 7}))
    assert job.state == "finished"
    states = {row["arm"]: row for row in run.load_table("trials").records()}
    assert (states[1]["state"], states[1]["left out"]) == ("failed", "failed: out of luck at seed 1")
    assert (states[2]["state"], states[2]["left out"]) == (
        "finished", "there is no table 'summary' in " + states[2]["left out"].split(" in ")[1],
    )  # fmt: skip
    assert len(run.load_table("left-out").rows) == 2
    assert [row["arm"] for row in run.load_table("comparison").records()] == ["kind=plain"]


def test_a_sweep_of_which_nothing_succeeds_fails_with_the_reason(lab):
    job, run = done(lab, planned({"kind": "broken"}))
    assert job.state == "failed"
    assert "no run of the sweep gave summary.level" in job.note
    assert "out of luck at seed 1" in job.note
    assert run.load_table("trials").column("left out") == ("failed: out of luck at seed 1",)
    assert run.load_table("left-out").column("reason") == ("failed: out of luck at seed 1",)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"grid": {"x": "1,200"}}, "x is 200.0, and it must be at most 100"),
        ({"grid": {"y": "1"}}, "has no field 'y'"),
        ({"grid": {"first_seed": "1,2"}}, "'first_seed' is for seeds"),
        ({"fixed": {"seeds": 3}}, "'seeds' is for seeds"),
        ({"seeds": 0}, "0 seeds from 0 on"),
        ({"baseline": {"kind": "plain"}}, "the baseline sets 'kind', which does not vary here"),
        ({"halving": Halving("efort", (1, 2))}, "has no field 'efort'; nearest: 'effort'"),
        ({"halving": Halving("x", (1, 2))}, "'x' is what halving raises"),
        ({"halving": Halving("effort", (1, 2)), "measure": None}, "halving chooses by a number"),
        ({"halving": Halving("effort", (1, "two"))}, "effort is 'two'"),
        ({"halving": Halving("effort", (1, 2)), "seed_field": "none"}, "has no field 'none' for seeds"),
        ({"grid": {"x": [1]}, "halving": Halving("effort", (1, 2))}, "halving needs two configs or more"),
        ({"seeds": 20_001, "seed_field": "first_seed"}, "40,002 runs, and at most 20,000 are taken"),
    ],
)
def test_a_plan_that_cannot_be_run_is_refused_before_the_first_run(lab, change, line):
    before = lab.queue.list()
    with pytest.raises(UnweaveError, match=line):
        submit_sweep(lab, planned(**change))
    assert lab.queue.list() == before


def test_the_cost_is_known_before_it_starts(lab, tmp_path):
    unknown = estimate_cost(Lab(tmp_path / "empty"), planned({"x": "0,1,2"}))
    assert unknown.line().startswith("3 runs, ")
    assert "for how long nobody knows yet" in unknown.line()
    done(lab, planned({"x": "0,1"}))
    known = estimate_cost(lab, planned({"x": "0,1,2"}, halving=Halving("effort", (1, 2))))
    assert known.runs == 5
    assert 0 < known.wall <= known.seconds < 60


def test_a_cancelled_sweep_stops_its_runs_and_a_resumed_one_runs_only_what_had_not_finished(lab, tmp_path):
    plan = planned({"x": "0,1,2,3"}, fixed={"gate": str(tmp_path / "gate")}, seeds=1)
    job = submit_sweep(lab, plan, name="mine")

    def trials():
        return [one for one in lab.queue.list() if one.id.startswith("mine.")]

    until = time.monotonic() + 30
    while not any(one.state == "finished" for one in trials()):
        lab.queue.wait([job.id], 0.02)
        assert time.monotonic() < until
    lab.queue.cancel(job.id)
    (ended,) = lab.queue.wait([job.id], 30)
    assert ended.state == "cancelled"
    lab.queue.wait([one.id for one in trials()], 30)
    finished = [one.id for one in trials() if one.state == "finished"]
    assert finished == ["mine.0001"]
    started = lab.queue.get("mine.0001").started
    (tmp_path / "gate").touch()
    lab.queue.resume(job.id)
    (ended,) = lab.queue.wait([job.id], 60)
    assert (ended.state, ended.note) == ("finished", None)
    assert lab.queue.get("mine.0001").started == started
    assert [(one.state, one.note) for one in trials()] == [("finished", None)] * 4
    assert [one.id for one in trials()] == [f"mine.{number:04d}" for number in (1, 2, 3, 4)]
    assert len(Run.open(lab.root / "mine").load_table("comparison").rows) == 4


def test_a_sweep_whose_worker_is_killed_goes_on_and_runs_nothing_twice(lab, tmp_path):
    mark = tmp_path / "mark"
    plan = planned({"x": "0,1,2,3"}, fixed={"gate": str(tmp_path / "gate"), "mark": str(mark)})
    job = submit_sweep(lab, plan)
    until = time.monotonic() + 30
    while not mark.exists():
        lab.queue.wait([job.id], 0.02)
        assert time.monotonic() < until
    os.kill(int(lab.queue.get(job.id).worker["pid"]), signal.SIGKILL)
    (tmp_path / "gate").touch()
    (ended,) = lab.queue.wait([job.id], 60)
    assert (ended.state, ended.losses) == ("finished", 1)
    trials = [(one.state, one.note) for one in lab.queue.list() if one.id.startswith(f"{job.id}.")]
    assert trials == [("finished", None)] * 4
    assert sorted(line.split()[0] for line in mark.read_text().splitlines()) == ["0.0", "1.0", "2.0", "3.0"]
    assert len(Run.open(lab.root / job.run).load_table("comparison").rows) == 4


def test_a_sweep_that_is_repeated_names_the_runs_of_the_one_before(lab):
    first, _ = done(lab, planned({"x": "50,51"}))
    _, run = done(lab, planned({"x": "50,51"}))
    assert {row["run"] for row in run.load_table("left-out").records()} == {f"{first.id}.0001", f"{first.id}.0002"}


def test_a_sweep_without_a_verdict_does_not_call_its_baseline_unbeaten(lab):
    _, run = done(lab, planned({"x": "0,2"}, baseline={"x": 0}, seeds=1))
    (first, *_) = run.claims()
    assert first.sentence.startswith("No verdict is given of the other configs; x=0.0: summary.level ")


def test_a_sweep_is_compared_again_by_its_own_name(lab):
    from unweave.lab.operations.comparing import comparison_of

    job, run = done(lab, planned({"x": "30,31"}, halving=Halving("effort", (1, 2))))
    assert runs_of(run) == [f"{job.id}.0003", f"{job.id}.0004"]
    found = comparison_of(lab, [job.id], None, None, [], [])
    assert [row.mean.n for row in found.rows] == [3, 3]
    assert {row["mean"] for row in run.load_table("comparison").records()} == {row.mean.mean for row in found.rows}


def test_without_a_measure_there_are_runs_and_no_comparison(lab):
    job, run = done(lab, planned({"x": "0,1"}, measure=None))
    assert job.state == "finished"
    assert run.tables() == ["arms", "trials"]


def test_a_plan_is_the_same_after_it_was_written_down():
    plan = planned({"x": "0,1"}, halving=Halving("effort", ("1", "2"), keep=2), baseline={"x": "1"}, priority=3)
    again = SweepPlan.from_json(json.loads(json.dumps(plan.to_json())))
    assert [again.arms, again.rungs, again.runs] == [plan.arms, plan.rungs, plan.runs]
    assert again.rungs[0].settings == {"effort": 1}


def test_a_baseline_that_is_not_of_the_space_is_one_more_arm():
    plan = planned(space=Space(random={"x": "float:5:9"}, draws=3), baseline={"x": 0})
    assert next(iter(plan.arms))["x"] == 0.0
    assert (len(plan.arms), plan.baseline_arm) == (4, 0)
    assert planned({"x": "0,1,2"}, baseline={"x": "2"}).baseline_arm == 2
