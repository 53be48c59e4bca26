"""Attacks on what a lab's runs claim, by their numbers in the list of attacks that the lab must withstand."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from audited import CONFIG, LEVELS, OVER, claimed, finished, held_out, one_seed, plan, started

from unweave.base.files import file_hash, write_json
from unweave.lab.audit import complete_plan
from unweave.lab.audit.process import audit
from unweave.lab.audit.text import check_text, cited_claims
from unweave.lab.lab import Lab
from unweave.record.aggregate import Aggregate
from unweave.record.evidence import Evidence
from unweave.record.run import Run
from unweave.record.seal import seal_run
from unweave.record.table import Table
from unweave.studies.discover import load_source

STUDY = Path(__file__).with_name("seeded_study.py")


@pytest.fixture
def lab(tmp_path):
    lab = Lab(tmp_path / "runs")
    yield lab
    lab.queue.close()
    lab.close()


def kinds(found):
    return {one.kind for one in found.findings if one.grave}


def marked(lab, name="one"):
    """The audit's verdict, which the lab must remember."""
    found = audit(lab, name)
    assert lab.runs.get(name).valid == (found.verdict == "valid")
    return found


def forge(run, change):
    """Changes a finished run as its maker could: every file it likes, and a new seal over all of them."""
    (run.path / "seal.json").unlink()
    change(run)
    seal_run(run)


def rewrite(path, old, new):
    content = path.read_text(encoding="utf-8")
    assert old in content
    path.write_text(content.replace(old, new), encoding="utf-8")


def test_f3_30_a_finished_runs_numbers_are_edited(lab):
    run = finished(lab.root)
    assert marked(lab).verdict == "valid"
    rewrite(run.path / "tables" / "summary.csv", "0.9421", "0.9921")
    found = marked(lab)
    assert kinds(found) >= {"seal", "table", "figure"}
    assert found.claims[0].verdict == "not checkable"


def test_f3_30_a_finished_runs_numbers_are_edited_with_every_hash_that_goes_with_them(lab):
    """Table, figure, claim and seal all agree with each other; only what the lab saw first does not."""
    run = finished(lab.root)
    assert marked(lab).verdict == "valid"

    def change(run):
        rows = tuple(("factor", seed, level + 0.02) for seed, level in LEVELS.items())
        run.save_table(Table("cells", ("method", "seed", "level"), rows))
        run.save_table(Table("summary", ("method", "tokens", "level"), (("factor", 4, 0.9621),), caption="Median."))
        for name in ("levels.svg", "levels.narrow.svg", "levels.json"):
            (run.path / "figures" / name).unlink()
        (run.path / "claims.json").unlink()
        claimed(run)

    forge(run, change)
    found = marked(lab)
    assert kinds(found) == {"seal"}
    assert found.claims[0].verdict == "held"


def test_f3_30_the_seed_list_is_edited(lab):
    run = started(lab.root, levels={3: 0.971})
    run.claim("One factor leaves Spanish at {value}.", "summary", {"method": "factor"}, "level", over=OVER)
    run.finish()
    assert marked(lab).verdict == "invalid"
    other = started(lab.root, "other", levels={3: 0.971}, about={"plan": plan(), "seeds": list(LEVELS)})
    other.claim("One factor leaves Spanish at {value}.", "summary", {"method": "factor"}, "level", over=OVER)
    write_json(other.path / "run.json", {**other.state(), "seeds": [3]})
    other.finish()
    assert "planned seeds 0, 1, 2, 3, 4, launched with 3" in str(marked(lab, "other").reasons)


def test_f3_30_the_seed_list_and_the_plan_in_the_folder_are_edited_while_the_run_works(lab):
    load_source(STUDY)
    planned = complete_plan({"study": "seeded", "seeds": [0, 1, 2]})
    job = lab.queue.submit("seeded", {}, name="one", source=STUDY, seeds=[0, 1, 2], plan=planned)
    run = lab.runs.open(job.run)
    write_json(run.path / "run.json", {**run.state(), "seeds": [2], "plan": {**planned, "seeds": [2]}})
    found = audit(lab, "one")
    assert {one.where for one in found.findings if one.grave and one.kind == "plan"} == {"plan", "seeds"}


def test_f3_30_the_metric_is_edited(lab, tmp_path):
    """The person's own study that measures: before the run, against the plan; after it, in the run's own copy."""
    source = tmp_path / "mine.py"
    source.write_text("def metric(x): return x\n")
    about = {"source": str(source), "seeds": list(LEVELS), "plan": plan(code=file_hash(source))}
    run = started(lab.root, about=about)
    run.finish()
    assert marked(lab).verdict == "valid"
    rewrite(run.path / "code" / "mine.py", "return x", "return 2 * x")
    assert kinds(marked(lab)) >= {"code", "seal"}
    source.write_text("def metric(x): return 2 * x\n")
    other = started(lab.root, "other", about=about)
    other.finish()
    assert "code: is other code than planned" in str(marked(lab, "other").reasons)


def test_f3_30_another_metric_than_the_planned_one_is_reported(lab):
    about = {"seeds": list(LEVELS), "plan": plan(metric={"table": "summary", "column": "forgotten"})}
    started(lab.root, about=about).finish()
    assert "judged by 'forgotten'" in str(marked(lab).reasons)


def test_f3_30_the_held_out_set_is_edited(lab, tmp_path):
    text = tmp_path / "held-out.txt"
    text.write_text("el gato\nla casa\n")
    run = started(lab.root)
    held_out(run, text)
    run.finish()
    assert marked(lab).verdict == "valid"
    text.write_text("el gato\n")
    assert kinds(marked(lab)) == {"data"}


def test_f3_31_a_number_without_an_artefact(lab):
    run = started(lab.root)
    claimed(run)
    (run.path / "report.md").write_text("Spanish is left at 0.94 ln V, and accuracy falls to 12 %.\n")
    run.finish()
    found = marked(lab)
    assert kinds(found) == {"number"}
    assert "states 12" in found.reasons[0]
    text = "One number leaves Spanish at {{one#0}}, so 97 of 100 sentences are gone."
    stray = check_text(text, cited_claims(text, lab.root), [CONFIG])
    assert [one.what.partition(" in “")[0] for one in stray] == ["states 97", "states 100"]


def test_f3_31_a_claim_on_a_table_that_is_not_there(lab):
    run = finished(lab.root)
    forge(run, lambda run: (run.path / "tables" / "summary.csv").unlink())
    found = audit(lab, "one")
    assert found.claims[0].verdict == "not checkable"
    assert found.verdict == "invalid"


@pytest.mark.parametrize(("value", "fair", "better"), [(0.9449, "0.94", "0.95"), (0.125, "0.12", "0.13")])
def test_f3_31_a_number_rounded_in_ones_favour(lab, value, fair, better):
    run = started(lab.root, levels={0: value}, about={"seeds": [0]})
    made = claimed(run)
    assert f"at {fair} ln" in made.sentence
    rewrite(run.path / "claims.json", f"at {fair} ln", f"at {better} ln")
    run.finish()
    (checked,) = marked(lab).claims
    assert (checked.verdict, checked.reason) == ("failed", f"the sentence does not state {fair}")


def test_f3_31_the_honest_number_hidden_beside_a_better_one(lab):
    run = started(lab.root, levels={0: 0.9449}, about={"seeds": [0]})
    claimed(run)
    rewrite(run.path / "claims.json", "at 0.94 ln V", "at 0.95 ln V (0.94 by another count)")
    run.finish()
    (checked,) = marked(lab).claims
    assert checked.verdict == "failed"
    assert "states 0.95" in checked.reason


@pytest.mark.parametrize("where", ["the rows", "the selector", "a plain cell", "an edited claim"])
def test_f3_31_one_seed_of_five_is_reported(lab, where):
    best = {3: LEVELS[3]}
    if where == "the rows":
        run = started(lab.root, levels=best)
        claimed(run)
    else:
        run = started(lab.root)
        if where == "the selector":
            run.claim("Spanish is at {value}.", over=Aggregate("cells", "level", {"seed": [3]}), digits=2)
        elif where == "a plain cell":
            run.claim("Spanish is at {value}.", "cells", {"seed": 3}, "level", digits=2)
        else:
            claimed(run)
            claims = json.loads((run.path / "claims.json").read_text())
            claims[0]["over"]["where"]["seed"] = [3]
            claims[0] |= {"value": 0.971, "sentence": "One factor leaves Spanish at 0.97 ln V."}
            (run.path / "claims.json").write_text(json.dumps(claims))
    run.finish()
    (checked,) = marked(lab).claims
    assert checked.verdict == "failed"
    if where in ("the rows", "the selector"):
        assert "reports seeds 3, and seeds 0, 1, 2, 3, 4 were" in checked.reason


def test_f3_31_one_run_of_five_is_reported(lab):
    for seed, level in LEVELS.items():
        one_seed(lab.root, seed, level)
    run = Run.create("comparison", {}, root=lab.root, name="one", about={"thread": "t"})
    best = [(Run.open(lab.root / "factor-3"), {"arm": "factor"})]
    run.save_table(Evidence.from_runs(best, "cells", "level").table())
    over = Aggregate("evidence", "value", {"arm": "factor"})
    run.claim("One factor leaves Spanish at {value} ln V.", over=over, digits=2)
    run.finish()
    found = marked(lab)
    assert found.reasons == (
        "table evidence: seeds 0, 1, 2, 4 of arm 'factor' were run and are not reported: "
        "factor-0, factor-1, factor-2, factor-4",
    )


def test_f3_31_evidence_of_a_run_that_never_was(lab):
    run = Run.create("comparison", {}, root=lab.root, name="one")
    made_up = {"run": "nobody", "table": "cells", "sha256": "0" * 64, "row": "{}", "column": "level", "value": 0.99}
    run.save_table(Table.from_records("evidence", [{"arm": "x", "seed": 0, **made_up}]))
    run.claim("It is {value}.", over=Aggregate("evidence", "value"), digits=2)
    run.finish()
    (checked,) = marked(lab).claims
    assert (checked.verdict, checked.reason) == (
        "not checkable",
        "row 0 of 'evidence': there is no run 'nobody' here",
    )


def test_f3_32_synthetic_data_in_the_place_of_the_planned(lab, tmp_path):
    real, synthetic = tmp_path / "real.txt", tmp_path / "synthetic.txt"
    real.write_text("el gato duerme\n")
    synthetic.write_text("good good good\n")
    about = {"seeds": list(LEVELS), "plan": plan(data={"text": file_hash(real)})}
    run = started(lab.root, about=about)
    run.identify("data", "text", file_hash(synthetic))
    run.finish()
    found = marked(lab)
    assert kinds(found) == {"data"}
    assert "data.text: is other data than planned" in found.reasons[0]
    silent = started(lab.root, "silent", about=about)
    silent.finish()
    assert "the run recorded no such data" in marked(lab, "silent").reasons[0]


def run_seeded(lab, name, **settings):
    load_source(STUDY)
    planned = complete_plan({"study": "seeded", "config": settings, "seeds": [0, 1, 2]})
    return lab.queue.submit("seeded", settings, name=name, source=STUDY, plan=planned)


def test_f3_40_the_same_plan_and_seeds_give_the_same_numbers_and_so_does_a_run_that_was_killed(lab):
    """Three runs by worker processes: two of one plan, and one that is killed before its last seed and goes on."""
    names = ("once", "again", "killed")
    for name in names:
        run_seeded(lab, name, **({"killed_at": 2} if name == "killed" else {}))
    ended = lab.queue.wait(names, seconds=120)
    assert [(job.state, job.note) for job in ended] == [("finished", None)] * 3
    once, again, killed = (lab.runs.open(name) for name in names)
    assert len(killed.state()["resumed"]) == 1
    assert os.listdir(once.path / "tables") == os.listdir(killed.path / "tables")
    for other in (again, killed):
        for table in once.tables():
            assert other.load_table(table).csv == once.load_table(table).csv
        assert other.claims() == once.claims()
        assert [row["loss"] for row in other.metrics()] == [row["loss"] for row in once.metrics()]
    for name in names:
        found = marked(lab, name)
        assert (found.verdict, [one.verdict for one in found.claims]) == ("valid", ["held"]), found.reasons
