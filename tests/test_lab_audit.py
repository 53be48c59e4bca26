from __future__ import annotations

import hashlib
import json
import shutil
import time

import pytest
from audited import CONFIG, LEVELS, OVER, claimed, findings, finished, held_out, one_seed, plan, started
from hypothesis import given, settings
from hypothesis import strategies as st

from unweave.base.files import file_hash, write_json
from unweave.lab.audit import sources
from unweave.lab.audit.auditor import audit_folder
from unweave.lab.audit.finding import Audit, Ledger
from unweave.record.aggregate import Aggregate
from unweave.record.environment import code_tree
from unweave.record.evidence import Evidence, cite
from unweave.record.report import Headline, Section, write_report
from unweave.record.run import Run
from unweave.record.seal import read_seal, seal_run
from unweave.record.table import Table

WORDS = ("run", "table", "column", "where", "how", "seed", "name", "kind", "path", "sha256", "file", "code", "config")
CLAIMED = ("sentence", "table", "sha256", "row", "column", "value", "digits", "over", "lengths")


def audited(run, **ledger):
    return audit_folder(run.path, ledger=Ledger(**ledger))


def notes(audit, *kinds):
    return [str(one) for one in audit.findings if not one.grave and (not kinds or one.kind in kinds)]


def edited(path, old, new):
    content = path.read_text(encoding="utf-8")
    assert old in content
    path.write_text(content.replace(old, new), encoding="utf-8")


def restate(run, **changes):
    """Changes what a finished run says of itself and seals it again, as somebody would who hides it."""
    (run.path / "seal.json").unlink()
    write_json(run.path / "run.json", {**run.state(), **changes})
    seal_run(run)


def test_an_honest_run_is_valid_and_its_claim_holds(tmp_path):
    audit = audited(finished(tmp_path))
    assert (audit.verdict, audit.findings) == ("valid", ())
    assert [one.verdict for one in audit.claims] == ["held"]


def test_an_audit_comes_back_from_json(tmp_path):
    run = finished(tmp_path)
    edited(run.path / "claims.json", "0.94 ln", "0.95 ln")
    audit = audited(run)
    assert Audit.from_json(json.loads(json.dumps(audit.to_json()))) == audit
    assert audit.to_json()["verdict"] == "invalid"


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("tables/summary.csv", "0.9421", "0.9521"),
        ("metrics.jsonl", '"seed": 3', '"seed": 5'),
        ("cells/cells.jsonl", "0.9125", "0.9925"),
        ("figures/levels.svg", "0.942", "0.952"),
        ("claims.json", "0.94 ln", "0.95 ln"),
        ("run.json", '"tokens": 4', '"tokens": 5'),
    ],
)
def test_a_finished_runs_files_cannot_change_unseen(tmp_path, file, old, new):
    run = finished(tmp_path)
    edited(run.path / file, old, new)
    audit = audited(run)
    assert audit.verdict == "invalid"
    assert f"{file}: {file} was changed" in findings(audit, "seal")


def test_a_run_sealed_again_differs_from_the_ledger_only(tmp_path):
    run = finished(tmp_path)
    first = str(read_seal(run.path))
    restate(run, note="better than it was")
    assert audited(run).verdict == "valid"
    audit = audited(run, seals={"one": first})
    assert findings(audit) == ["seal.json: seal.json is another one than when this run was first seen"]


def test_a_seal_that_is_gone_and_a_run_that_takes_back_its_end_are_found(tmp_path):
    run = finished(tmp_path)
    digest = str(read_seal(run.path))
    (run.path / "seal.json").unlink()
    assert findings(audited(run)) == ["seal.json: seal.json is missing"]
    write_json(run.path / "run.json", {**run.state(), "status": "cancelled"})
    assert audited(run).verdict == "not finished"
    assert findings(audited(run, seals={"one": digest})) == [
        "seal.json: the run was finished and sealed, and now says that it is cancelled"
    ]


def test_a_run_at_work_and_one_from_before_seals_are_told_of_and_not_invalid(tmp_path):
    audit = audited(started(tmp_path))
    assert audit.verdict == "not finished"
    assert notes(audit) == ["seal.json: the run is running, so nothing is sealed yet"]
    old = finished(tmp_path, "old")
    (old.path / "seal.json").unlink()
    state = old.state()
    write_json(old.path / "run.json", {**state, "environment": {"unweave": "0.1.0", "commit": None}})
    audit = audited(old)
    assert audit.verdict == "valid"
    assert "the run finished before runs were sealed" in notes(audit)[0]


def test_a_folder_that_is_no_run_is_a_finding_and_no_traceback(tmp_path):
    (tmp_path / "empty").mkdir()
    assert audit_folder(tmp_path / "empty").verdict == "invalid"
    run = finished(tmp_path)
    (run.path / "run.json").write_text("{")
    assert findings(audited(run), "run")


@pytest.mark.parametrize("content", ["{", "[1]", '[{"sentence": "x"}]'])
def test_damaged_claims_are_a_finding(tmp_path, content):
    run = started(tmp_path)
    (run.path / "claims.json").write_text(content)
    run.finish()
    assert findings(audited(run), "claim")


def test_a_figure_and_a_report_that_show_something_else_are_found(tmp_path):
    run = started(tmp_path)
    claimed(run)
    headline = Headline("Spanish", "summary", {"method": "factor"}, "level", 2)
    section = Section("All", ["The prose says 0.942, and 0.777 of nothing."], figures=["levels"], tables=["summary"])
    write_report(run, "Title", "Lead", [section], [headline])
    edited(run.path / "figures" / "levels.svg", "0.942", "0.952")
    edited(run.path / "report.html", "One factor leaves Spanish at 0.94", "One factor leaves Spanish at 0.99")
    run.finish()
    audit = audited(run)
    assert {one.kind for one in audit.findings} == {"figure", "report", "number"}
    assert any("shows a claim that the run does not make" in one for one in findings(audit, "report"))
    (note,) = notes(audit, "number")
    assert "states 0.777" in note


def test_a_number_beside_the_claimed_one_fails_the_claim(tmp_path):
    run = started(tmp_path)
    row = {"method": "factor"}
    run.claim(
        "One factor tuned on 4 tokens leaves Spanish at {value}, all 5 seeds.", "summary", row, "level", over=OVER
    )
    run.claim("It leaves Spanish at {value}, or 0.99 on a good day.", "summary", row, "level", over=OVER)
    run.finish()
    audit = audited(run)
    assert [one.verdict for one in audit.claims] == ["held", "failed"]
    assert "states 0.99" in audit.claims[1].reason
    assert audit.verdict == "invalid"


def test_numbers_of_a_written_report_must_be_claims(tmp_path):
    run = started(tmp_path)
    claimed(run)
    (run.path / "report.md").write_text("# 1. Result\n\nSpanish is at 0.94 ln V with 4 tokens; seeds 0 to 4.\n")
    run.finish()
    assert audited(run).verdict == "valid"
    other = started(tmp_path, "other")
    claimed(other)
    (other.path / "report.md").write_text("Spanish is at 0.942 ln V, and 97 % of it is gone.")
    other.finish()
    assert [one.partition(" in “")[0] for one in findings(audited(other), "number")] == [
        "report.md: states 0.942",
        "report.md: states 97",
    ]


def test_a_written_report_may_refer_to_other_runs_whose_claims_hold(tmp_path):
    source = finished(tmp_path, "source")
    run = started(tmp_path)
    (run.path / "report.md").write_text("Spanish is at {{source#0}}: {{source#0:sentence}}\n{{source/summary}}\n")
    run.finish()
    assert audited(run).verdict == "valid"
    digest = str(read_seal(source.path))
    restate(source, note="another")
    assert "whose seal is broken" in findings(audited(run, seals={"source": digest}), "evidence")[0]
    edited(source.path / "claims.json", "0.94 ln", "0.95 ln")
    assert "refers to claim source#0, which is failed" in findings(audited(run), "evidence")[0]
    shutil.rmtree(source.path)
    assert "refers to {{source#0}}, and there is no such claim" in findings(audited(run), "number")[0]


def test_what_was_launched_must_be_what_was_planned(tmp_path):
    run = started(tmp_path, about={"plan": plan(), "seeds": list(LEVELS)})
    run.finish()
    assert audited(run).verdict == "valid"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"study": "other"}, "study: planned 'other', launched 'removal'"),
        ({"config": {**CONFIG, "tokens": 64}}, "config.tokens: planned 64, launched 4"),
        ({"config": {"language": "es", "tokens": 4}}, "config.seeds: is 5, and the plan does not say so"),
        ({"config": {**CONFIG, "rank": 1}}, "config.rank: planned 1, and the run has no such setting"),
        ({"seeds": [0, 1, 2]}, "seeds: planned seeds 0, 1, 2, launched with 0, 1, 2, 3, 4"),
        ({"data": {"text": "0" * 64}}, "data.text: was planned, and the run recorded no such data"),
        ({"identities": {"target": "0" * 64}}, "identities.target: was planned, and the run recorded none"),
        ({"code": "0" * 64}, "code: is other code than planned"),
        (
            {"metric": {"table": "summary", "column": "loss"}},
            "metric: planned to be judged by 'loss' of table 'summary'",
        ),
        ({"metric": "accuracy"}, "metric: planned to be judged by 'accuracy'"),
    ],
)
def test_every_difference_from_the_plan_is_found_and_may_be_declared(tmp_path, changes, words):
    about = {"plan": plan(**changes), "seeds": list(LEVELS)}
    run = started(tmp_path, about=about)
    run.finish()
    audit = audited(run)
    (told,) = findings(audit, "plan", "data")
    assert told.startswith(words)
    assert told.endswith("; not declared")
    where = words.partition(":")[0]
    other = started(tmp_path, "other", about=about)
    other.deviate(where, "the disk was too small")
    other.finish()
    audit = audited(other)
    assert audit.verdict == "valid"
    assert notes(audit, "plan", "data") == [told.replace("not declared", "declared: the disk was too small")]


@pytest.mark.parametrize("metric", [{"table": "summary", "column": "level"}, "loss", "level"])
def test_a_planned_metric_that_is_there_is_no_deviation(tmp_path, metric):
    run = started(tmp_path, about={"plan": plan(metric=metric), "seeds": list(LEVELS)})
    run.finish()
    assert audited(run).verdict == "valid"


@pytest.mark.parametrize(("ran", "verdict"), [([0], "valid"), ([3], "invalid"), ([0, 3], "invalid")])
def test_only_the_first_seed_stands_for_those_of_a_run_that_draws_nothing(tmp_path, ran, verdict):
    run = started(tmp_path, levels={seed: LEVELS[seed] for seed in ran}, about={"seeds": list(LEVELS), "plan": plan()})
    run.use_seeds(list(LEVELS), unseeded=True)
    run.finish()
    found = audited(run)
    assert found.verdict == verdict
    assert ("seeds" in {one.kind for one in found.findings if one.grave}) is (verdict == "invalid")


def test_seeds_run_besides_the_planned_ones_and_seeds_not_run_are_found(tmp_path):
    run = started(tmp_path, about={"plan": plan(seeds=[0, 1, 2]), "seeds": [0, 1, 2]})
    run.finish()
    assert any("seeds 3, 4 were run besides" in one for one in findings(audited(run), "seeds"))
    some = started(tmp_path, "some", levels={0: 0.5, 1: 0.6})
    some.finish()
    (told,) = findings(audited(some), "seeds")
    assert told == "seeds: was to use seeds 0, 1, 2, 3, 4, and seeds 2, 3, 4 were not run"


def test_the_plan_is_compared_with_the_data_that_was_read(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("el gato\n")
    run = started(tmp_path, about={"plan": plan(data={"text": file_hash(text)}), "seeds": list(LEVELS)})
    run.identify("data", "text", file_hash(text))
    run.finish()
    assert audited(run).verdict == "valid"
    more = started(tmp_path, "more", about={"plan": plan(data={"text": file_hash(text)}), "seeds": list(LEVELS)})
    more.identify("data", "text", file_hash(text))
    more.identify("data", "made-up", "1" * 64)
    more.finish()
    assert findings(audited(more), "data") == [
        "data.made-up: was read (111111111111), and is not in the plan; not declared"
    ]


def test_what_was_read_must_be_of_the_planned_kind_and_hash(tmp_path):
    about = {"plan": plan(identities={"target": "1" * 64, "data": "2" * 64}), "seeds": list(LEVELS)}
    run = started(tmp_path, about=about)
    run.identify("target", "smollm2", "1" * 64)
    for part, digit in (("training", "2"), ("selection", "3")):
        run.identify("data", part, digit * 64)
    run.finish()
    assert audited(run).verdict == "valid"
    other = started(tmp_path, "other", about=about)
    other.identify("target", "smollm2", "4" * 64)
    other.identify("data", "training", "2" * 64)
    other.finish()
    assert findings(audited(other)) == [
        "identities.target: is another than planned: 444444444444, not 111111111111; not declared"
    ]


def test_held_out_text_is_hashed_again_where_it_lies(tmp_path):
    folder = tmp_path / "text"
    folder.mkdir()
    (folder / "es.txt").write_text("el gato\n")
    run = started(tmp_path)
    held_out(run, folder)
    run.finish()
    assert audited(run).verdict == "valid"
    (folder / "es.txt").write_text("el gato!\n")
    (told,) = findings(audited(run))
    assert told.startswith("held-out evaluation: text has other bytes now")
    shutil.rmtree(folder)
    audit = audited(run)
    assert audit.verdict == "valid"
    assert notes(audit, "data") == ["held-out evaluation: text cannot be read now, and not be compared"]


def test_bundled_text_that_was_edited_is_found(tmp_path):
    run = started(tmp_path)
    run.identify("held-out", "declaration/evaluation", "a" * 64, bundled="declaration.json.xz", bytes="b" * 64)
    run.finish()
    (told,) = findings(audited(run))
    assert told.startswith("held-out declaration/evaluation: declaration.json.xz has other bytes now")
    restate(run, environment={**run.state()["environment"], "unweave": "0.0.1"})
    assert audited(run).verdict == "valid"


def test_other_data_that_changed_since_is_a_note(tmp_path):
    text = tmp_path / "train.txt"
    text.write_text("a")
    run = started(tmp_path)
    run.identify("data", "training", file_hash(text), path=str(text))
    run.finish()
    text.write_text("b")
    audit = audited(run)
    assert audit.verdict == "valid"
    assert notes(audit, "data")


def test_a_persons_own_study_is_compared_with_what_ran(tmp_path):
    source = tmp_path / "mine.py"
    source.write_text("METRIC = 1\n")
    run = started(tmp_path, about={"source": str(source), "seeds": list(LEVELS)})
    run.finish()
    assert audited(run).verdict == "valid"
    (run.path / "code" / "mine.py").write_text("METRIC = 2\n")
    assert [one.partition(":")[0] for one in findings(audited(run))] == ["code/mine.py", "code/mine.py"]
    (run.path / "code" / "mine.py").unlink()
    assert any("gone" in one for one in findings(audited(run), "code"))


def test_a_plan_binds_the_persons_own_code(tmp_path):
    source = tmp_path / "mine.py"
    source.write_text("METRIC = 1\n")
    planned = plan(code=hashlib.sha256(b"METRIC = 1\n").hexdigest())
    run = started(tmp_path, about={"source": str(source), "plan": planned, "seeds": list(LEVELS)})
    run.finish()
    assert audited(run).verdict == "valid"
    source.write_text("METRIC = 2\n")
    changed = started(tmp_path, "changed", about={"source": str(source), "plan": planned, "seeds": list(LEVELS)})
    changed.finish()
    assert any("is other code than planned" in one for one in findings(audited(changed), "plan"))


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """The package as pip would install it: a copy with no checkout around it."""
    package = tmp_path / "site-packages" / "unweave"
    module = package / "lab" / "audit" / "sources.py"
    module.parent.mkdir(parents=True)
    module.write_text("")
    (package / "metric.py").write_text("METRIC = 1\n")
    monkeypatch.setattr(sources, "__file__", str(module))
    return package


def made_by(run, package, **changes):
    made = {**run.state()["environment"], "commit": None, "code": {"tree": code_tree(package)}, **changes}
    restate(run, environment=made)


def test_an_installed_package_changed_in_place_makes_a_run_invalid(tmp_path, installed):
    run = finished(tmp_path)
    made_by(run, installed)
    assert audited(run).verdict == "valid"
    (installed / "metric.py").write_text("METRIC = 2\n")
    (told,) = findings(audited(run))
    assert told.startswith("environment: the installed unweave")
    for changes in ({"unweave": "0.0.9"}, {"commit": "abc", "modified": False}):
        made_by(run, installed, code={"tree": "0" * 64}, **changes)
        audit = audited(run)
        assert audit.verdict == "valid"
        assert notes(audit, "code")


def test_a_checkout_with_other_code_is_a_note(tmp_path, installed, monkeypatch):
    run = finished(tmp_path)
    made_by(run, installed)
    checkout = tmp_path / "src"
    shutil.copytree(installed, checkout / "unweave")
    (tmp_path / ".git").mkdir()
    (checkout / "unweave" / "metric.py").write_text("METRIC = 3\n")
    monkeypatch.setattr(sources, "__file__", str(checkout / "unweave" / "lab" / "audit" / "sources.py"))
    audit = audited(run)
    assert audit.verdict == "valid"
    assert notes(audit, "code")


def test_what_the_lab_queued_must_be_what_the_run_says(tmp_path):
    run = finished(tmp_path)
    assert audited(run, submitted={"study": "removal", "config": CONFIG, "seeds": list(LEVELS)}).verdict == "valid"
    audit = audited(run, submitted={"config": {**CONFIG, "tokens": 64}})
    assert findings(audit)[0].startswith("config: the lab queued {'language': 'es', 'tokens': 64, 'seeds': 5}")


@pytest.fixture
def comparing(tmp_path):
    """A comparison of two arms of three seeds each, with a claim over its evidence."""
    for arm, more in (("a", 0.0), ("b", 0.1)):
        for seed, level in enumerate((0.5, 0.6, 0.7)):
            one_seed(tmp_path, seed, level + more, arm)

    def make(name, runs, finish=True):
        run = Run.create("comparison", {}, root=tmp_path, name=name, about={"thread": "t"})
        cited = [(Run.open(tmp_path / one), {"arm": one[0]}) for one in runs]
        run.save_table(Evidence.from_runs(cited, "cells", "level").table())
        over = Aggregate("evidence", "value", {"arm": "b"}, "mean", minus={"arm": "a"})
        run.claim("Arm b less arm a is {value:+} over the seeds of both.", over=over, digits=2)
        if finish:
            run.finish()
        return run

    return make


ALL = ("a-0", "a-1", "a-2", "b-0", "b-1", "b-2")


def test_a_comparison_made_of_other_runs_numbers_holds_to_their_bytes(comparing):
    audit = audited(comparing("all", ALL))
    assert (audit.verdict, audit.findings) == ("valid", ())
    assert audit.claims[0].verdict == "held"


def test_a_cited_run_that_changed_fails_the_claim_and_one_that_is_gone_makes_it_not_checkable(comparing, tmp_path):
    run = comparing("all", ALL)
    shutil.move(tmp_path / "b-2", tmp_path.parent / f"{tmp_path.name}-away")
    audit = audited(run)
    assert (audit.claims[0].verdict, audit.verdict) == ("not checkable", "valid")
    assert any("there is no run 'b-2' here" in one for one in notes(audit, "evidence"))
    edited(tmp_path / "a-1" / "tables" / "cells.csv", "0.6", "0.9")
    audit = audited(run)
    assert (audit.claims[0].verdict, audit.verdict) == ("failed", "invalid")
    assert any("a-1" in one for one in findings(audit, "evidence"))


def test_evidence_that_cannot_be_checked_at_all_makes_a_run_invalid(comparing, monkeypatch):
    """Whatever stops the check, no claim on what it would have found holds."""
    run = comparing("all", ALL)

    def check(*_):
        raise RecursionError("too deep")

    monkeypatch.setattr("unweave.lab.audit.auditor.check_evidence", check)
    audit = audited(run)
    assert (audit.claims[0].verdict, audit.verdict) == ("not checkable", "invalid")
    assert findings(audit) == ["tables: cannot be held against what it cites (too deep)"]


def test_an_edited_value_is_found_beside_a_metric_that_was_no_number(comparing, tmp_path):
    source = Run.create("training", {}, root=tmp_path, name="logged")
    for loss in (float("nan"), 0.5, 0.6):
        source.log(loss=loss)
    source.finish()
    run = comparing("all", ALL, finish=False)
    table = run.load_table("evidence")
    records = [{**record, "value": 0.99} if record["run"] == "b-1" else record for record in table.records()]
    records.append(cite(source, "metrics:last", "loss", {}, arm="c"))
    run.save_table(Table.from_records("evidence", records, table.columns))
    over = Aggregate("evidence", "value", {"arm": "b"}, "mean", minus={"arm": "a"})
    run.claim("Arm b less arm a is {value:+} over the seeds of both.", over=over, digits=2)
    run.finish()
    audit = audited(run)
    assert (audit.claims[0].verdict, audit.verdict) == ("failed", "invalid")


def test_a_cited_run_that_was_sealed_again_is_found_by_the_ledger(comparing, tmp_path):
    run = comparing("all", ALL)
    digest = str(read_seal(tmp_path / "a-1"))
    restate(Run.open(tmp_path / "a-1"), note="another")
    assert audited(run).verdict == "valid"
    assert audited(run, seals={"a-1": digest}).verdict == "invalid"
    assert audited(run, invalid={"a-1": "its metric was edited"}).verdict == "invalid"


def test_runs_of_an_arm_that_are_not_reported_are_found(comparing, tmp_path):
    one_seed(tmp_path, 3, 0.1, "b")
    one_seed(tmp_path, 4, 0.2, "b")
    one_seed(tmp_path, 5, 0.2, "b", status="failed")
    one_seed(tmp_path, 9, 0.2, "b", thread="another", name="elsewhere")
    one_seed(tmp_path, 9, 0.2, "b", name="other-setting", rank=2)
    run = comparing("some", ALL)
    audit = audited(run)
    assert findings(audit) == ["table evidence: seeds 3, 4 of arm 'b' were run and are not reported: b-3, b-4"]
    assert notes(audit) == ["table evidence: run b-5 of arm 'b' is failed, and not reported"]
    audit = audited(run, invalid={"b-3": "x", "b-4": "x"})
    assert audit.verdict == "valid"
    assert len(notes(audit)) == 3


def test_runs_left_out_with_a_reason_are_notes(comparing, tmp_path):
    one_seed(tmp_path, 3, 0.1, "b")
    run = comparing("some", ALL, finish=False)
    run.save_table(Table("left-out", ("run", "reason"), (("b-3", "its disk was full"),)))
    run.finish()
    audit = audited(run)
    assert audit.verdict == "valid"
    assert notes(audit) == ["table evidence: run b-3 of arm 'b' is left out; declared: its disk was full"]


def test_stages_and_arms_of_a_plan_are_told_apart(tmp_path):
    runs = []
    for stage, seed in (("screen", 0), ("confirm", 1), ("confirm", 2)):
        about = {"seeds": [seed], "plan": {"arm": "a", "stage": stage, "seeds": [seed]}}
        run = Run.create("removal", {"first_seed": seed}, root=tmp_path, name=f"{stage}-{seed}", about=about)
        run.save_table(Table("cells", ("seed", "level"), ((seed, 0.5),)))
        run.finish()
        runs.append(run)
    report = Run.create("comparison", {}, root=tmp_path, name="report")
    report.save_table(Evidence.from_runs(runs[1:], "cells", "level").table())
    report.finish()
    assert audited(report).verdict == "valid"
    worse = Run.create("comparison", {}, root=tmp_path, name="worse")
    worse.save_table(Evidence.from_runs(runs[1:2], "cells", "level").table())
    worse.finish()
    assert findings(audited(worse)) == ["table evidence: seeds 2 were run and are not reported: confirm-2"]


def test_auditing_a_run_of_fifty_tables_takes_less_than_a_second(tmp_path):
    run = started(tmp_path)
    for number in range(50):
        rows = tuple((seed, seed * 0.1 + number) for seed in range(200))
        run.save_table(Table(f"table-{number}", ("seed", "level"), rows))
        run.claim("With seed 7 it is {value}.", f"table-{number}", {"seed": 7}, "level")
    run.use_seeds(list(LEVELS))
    run.finish()
    begun = time.process_time()
    audit = audited(run)
    assert time.process_time() - begun < 1.0
    assert len(audit.claims) == 50


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False) | st.text(max_size=4) | st.just("one"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    return finished(tmp_path_factory.mktemp("runs"))


@given(
    st.sampled_from(
        ["plan", "seeds", "identities", "deviations", "source", "resumed", "environment", "thread", "note"]
    ),
    anything,
)
@settings(max_examples=25, deadline=None)
def test_whatever_a_run_says_of_itself_the_audit_ends(honest, key, value):
    kept = (honest.path / "run.json").read_bytes()
    try:
        (honest.path / "run.json").write_text(json.dumps({**json.loads(kept), key: value}))
        assert audited(honest).verdict == "invalid"
    finally:
        (honest.path / "run.json").write_bytes(kept)


@given(st.sampled_from(CLAIMED), anything)
@settings(max_examples=25, deadline=None)
def test_whatever_a_claim_says_the_audit_ends(honest, key, value):
    path = honest.path / "claims.json"
    kept = path.read_bytes()
    try:
        (claim,) = json.loads(kept)
        path.write_text(json.dumps([{**claim, key: value}]))
        assert audited(honest).verdict == "invalid"
    finally:
        path.write_bytes(kept)


@pytest.mark.parametrize("file", ["run.json", "claims.json", "tables/cells.json", "figures/levels.json"])
def test_nesting_without_end_is_a_finding(tmp_path, file):
    run = finished(tmp_path)
    (run.path / file).write_text("[" * 100_000)
    assert audited(run).verdict == "invalid"
