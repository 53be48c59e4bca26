from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from lab_places import ANN, BOB, CARL, EVE

from unweave.base.errors import UnweaveError
from unweave.lab import Lab
from unweave.lab.audit import audit
from unweave.lab.bundle import import_bundle
from unweave.lab.people import NotAllowed
from unweave.lab.replication import judge_replication, judging, read_paper, replicate, replications, start_replication
from unweave.lab.replication.markdown import replication_markdown, replication_tables
from unweave.lab.replication.paper import Tolerance, paper_of
from unweave.lab.replication.planned import planned_runs
from unweave.lab.threads import Review
from unweave.lab.threads.conclusions import grounds
from unweave.lab.threads.events import ThreadRun
from unweave.record import Run
from unweave.studies.papers import papers

CELL = {"table": "seeds", "column": "level", "where": {"method": "ours"}}


def row(id, **changes):
    found = {
        "id": id,
        "statement": f"The statement of {id}.",
        "where": "section 2",
        "known": "published",
        "number": 1.0,
        "unit": "ln V",
        "tolerance": {"kind": "absolute", "by": 0.05},
        "study": "planted",
        "cell": CELL,
        **changes,
    }
    return {name: value for name, value in found.items() if value is not None}


ROWS = [
    row("level"),
    row("too-high", number=1.2),
    row("better", number=0.0, tolerance={"kind": ">="}, cell={**CELL, "minus": {"method": "theirs"}}),
    row("shares", number=0.5, tolerance={"kind": "relative", "by": 0.1}, unit="of the parts",
        cell={"table": "parts", "column": "share", "how": "share>=0.5", "by": "part", "digits": 2}),
    row("other-settings", number=2.0, settings={"level": 2.0}),
    row("lost", number=None, tolerance=None, known="not recovered", unknowable="The number was not readable."),
    row("nothing", number=None, tolerance=None, study=None, cell=None, known="not recovered", unknowable="No text."),
    row("drawn", number=0, tolerance={"kind": "<="}, unit="", cell={"audit": "figure"}),
    row("fails", settings={"fails": True}),
    row("no-column", cell={**CELL, "column": "loudness"}),
]  # fmt: skip


def written(folder, rows=ROWS, **changes):
    """A paper in a file of its own."""
    content = {
        "schema": 1,
        "id": "planted-paper",
        "title": "On levels",
        "authors": "A. Author",
        "published": "2026",
        "sources": ["the journal"],
        "question": "What are the levels?",
        "known": "All of it could be read.",
        "source": "lab_study.py",
        "deviations": [{"what": "size", "theirs": "large", "ours": "small"}],
        "corrections": [{"what": "a bar", "where": "a reply", "effect": "none"}],
        "rows": rows,
        **changes,
    }
    path = folder / f"{len(list(folder.iterdir()))}.json"
    path.write_text(json.dumps(content))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Papers, with the study that they name beside them."""
    folder = tmp_path_factory.mktemp("papers")
    shutil.copy(Path(__file__).with_name("lab_study.py"), folder)
    return folder


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """One lab for all tests, whose workers stay warm."""
    with Lab(tmp_path_factory.mktemp("lab") / "runs") as lab:
        yield lab
        lab.queue.close()


@pytest.fixture(scope="module")
def replicated(lab, folder):
    """A paper replicated through the real queue, once for the tests that only look at it."""
    return lab, replicate(lab, written(folder), by=BOB, seconds=120)


def test_every_row_has_the_verdict_that_was_planted(replicated):
    _, found = replicated
    assert {id: one.verdict for id, one in found.verdicts.items()} == {
        "level": "reproduced",
        "too-high": "not reproduced",
        "better": "reproduced",
        "shares": "reproduced",
        "other-settings": "reproduced",
        "lost": "not testable",
        "nothing": "not testable",
        "drawn": "reproduced",
        "fails": "not testable",
        "no-column": "not testable",
    }
    level = found.verdicts["level"].ours
    assert (level["value"], level["low"], level["high"], level["count"]) == (1.0, 0.99, 1.01, 3)
    assert found.verdicts["better"].ours["value"] == pytest.approx(0.5)
    assert found.verdicts["shares"].ours["value"] == 0.5
    assert found.verdicts["lost"].ours["value"] == 1.0
    assert found.verdicts["lost"].reason == "The number was not readable."
    assert found.verdicts["drawn"].ours["value"] == 0
    assert "this one was to fail" in found.verdicts["fails"].reason
    assert "no column 'loudness'" in found.verdicts["no-column"].reason


def test_rows_with_the_same_study_and_settings_share_a_run(replicated):
    lab, found = replicated
    thread = lab.threads.get(found.thread)
    studies = [lab.runs.open(one.run).study for one in thread.runs]
    assert sorted(studies) == ["planted"] * 3 + ["replication"]
    assert len(thread.plan.content["runs"]) == 3
    assert {one.name: one.predicted for one in thread.hypotheses}["level"] == "1.000 ± 0.050 ln V"
    assert "nothing" not in {one.name for one in thread.hypotheses}
    # What was expected stands before any run.
    assert max(one.seq for one in thread.hypotheses) < thread.plan.seq < min(one.seq for one in thread.runs)


def test_the_numbers_are_claims_that_the_auditor_recomputes_from_cited_cells(replicated):
    lab, found = replicated
    judged = lab.runs.open(found.verdicts["level"].run)
    assert judged.study == "replication"
    cited = judged.load_table("evidence").records()
    source = lab.runs.open(next(one["run"] for one in cited if one["item"] == "level"))
    assert {one["sha256"] for one in cited if one["item"] == "level"} == {source.load_table("seeds").sha256}
    claim = judged.claims()[found.verdicts["better"].ours["claim"]]
    assert claim.sentence == "better: 0.500 ln V."
    thread = lab.threads.get(found.thread)
    assert thread.conclusions[0].text.startswith("Reproduced: level, better, shares, other-settings, drawn. Not repro")
    assert {ground.verdict for ground in grounds(lab.root, thread.conclusions[0])} == {"held"}
    assert thread.tried[0].what == "rows fails"


def test_the_thread_tells_everything_as_tables(replicated):
    lab, found = replicated
    tables = {table.name: table for table in replication_tables(lab, found.thread)}
    rows = {one["row"]: one for one in tables["rows"].records()}
    assert rows["too-high"] == {
        "row": "too-high",
        "statement": "The statement of too-high.",
        "where": "section 2",
        "reported": "1.200 ± 0.050 ln V",
        "known": "published",
        "ours": "1.000 ln V (0.990 to 1.010, of 3)",
        "verdict": "not reproduced",
    }
    assert rows["lost"]["reported"] == "–"
    assert tables["rows"].caption == "5 reproduced, 1 not reproduced, 4 not testable"
    assert {one["text"] for one in tables["remarks"].records()} >= {"No text.", "The number was not readable."}
    assert sorted(one["status"] for one in tables["runs"].records()) == ["failed", "finished", "finished"]
    text = replication_markdown(lab, found.thread)
    assert "| size | large | small |" in text
    assert "a reply" in text
    assert [one for one in replications(lab) if one.thread == found.thread] == [found]


def test_another_may_review_it_and_its_author_may_not(replicated):
    lab, found = replicated
    lab.threads.add(found.thread, Review("revise", "more seeds"), ANN)
    with pytest.raises(UnweaveError, match="'bob' planned, ran or concluded"):
        lab.threads.add(found.thread, Review("accept", "good"), BOB)


def test_going_on_with_a_thread_makes_only_the_runs_that_it_lacks(lab, folder):
    first = replicate(lab, written(folder, ROWS[:2]), by=ANN, seconds=60)
    before = [one.run for one in lab.threads.get(first.thread).runs]
    second = replicate(lab, written(folder, ROWS[:3] + ROWS[4:5]), by=ANN, thread=first.thread, seconds=60)
    thread = lab.threads.get(first.thread)
    added = [one.run for one in thread.runs if one.run not in before]
    assert sorted(lab.runs.open(run).study for run in added) == ["planted", "replication"]
    assert {id: one.verdict for id, one in second.verdicts.items()}["other-settings"] == "reproduced"
    assert len(thread.plans) == 2
    other = written(folder, ROWS[:1], id="another")
    with pytest.raises(UnweaveError, match="replicates 'planted-paper'"):
        start_replication(lab, other, by=ANN, thread=first.thread)


CHANGED = {
    "wider": {"tolerance": {"kind": "absolute", "by": 0.3}},
    "number": {"number": 1.0},
    "reading": {"reading": "Something else."},
    "summary": {"cell": {**CELL, "how": "max"}},
}


def test_rows_that_were_changed_after_their_run_say_so_wherever_they_are_shown(lab, folder):
    before = [*(row(id, number=1.2) for id in CHANGED), row("too-high", number=1.3)]
    first = replicate(lab, written(folder, before), by=ANN, seconds=60)
    assert not any("moved" in first.verdicts[id].ours for id in CHANGED)
    after = [row(id, **{"number": 1.2, **changes}) for id, changes in CHANGED.items()]
    after.append(row("too-high", number=1.3, notes="Told in other words."))
    second = replicate(lab, written(folder, after), by=ANN, thread=first.thread, seconds=60)
    tables = {table.name: table for table in replication_tables(lab, first.thread)}
    shown = dict(zip(tables["rows"].column("row"), tables["rows"].column("verdict"), strict=True))
    remarks = {(one["row"], one["about"]) for one in tables["remarks"].records()}
    for id in CHANGED:
        assert "it may have been fitted to the run" in second.verdicts[id].reason
        assert str(shown[id]).endswith("by a row that is newer than its run")
        assert (id, "moved") in remarks
    assert "fitted" not in second.verdicts["too-high"].reason
    assert shown["too-high"] == "not reproduced"
    said = lab.threads.get(first.thread).conclusions[-1].text
    assert said.endswith(f"By rows that are newer than their runs: {', '.join(CHANGED)}.")


def test_an_older_run_that_is_put_into_a_new_thread_is_older_than_its_rows(lab, folder):
    path = written(folder, [row("level", settings={"level": 1.01})])
    first = replicate(lab, path, by=ANN, seconds=60)
    made = next(one for one in lab.threads.get(first.thread).runs if lab.runs.open(one.run).study == "planted")
    other = lab.threads.create("Again?", by=ANN)
    lab.threads.add(other.id, ThreadRun(made.run, "replication"), ANN)
    found = replicate(lab, path, by=ANN, thread=other.id, seconds=60)
    assert "fitted to the run" in found.verdicts["level"].reason


def test_equal_arms_do_not_reproduce_a_direction(lab, folder):
    """The difference is not below the bound in the median, and changes sign with the seed."""
    less = {**CELL, "minus": {"method": "theirs"}}
    direction = {"number": 0.0, "tolerance": {"kind": ">="}, "cell": less}
    rows = [row("equal", settings={"other": 1.0}, **direction), row("better", **direction)]
    rows.append(row("alone", settings={"seeds": 2}, **direction))
    found = replicate(lab, written(folder, rows), by=ANN, seconds=60).verdicts
    assert {id: one.verdict for id, one in found.items()} == {
        "equal": "not reproduced", "better": "reproduced", "alone": "not testable",
    }  # fmt: skip
    assert found["equal"].ours["value"] == pytest.approx(0.0)
    assert (found["equal"].ours["p"], found["better"].ours["p"]) == (pytest.approx(1.0), pytest.approx(0.0, abs=1e-3))
    assert found["alone"].reason == "a direction needs 3 seeds or more that differ"


def test_settings_replace_the_papers_own_and_not_a_rows(lab, folder):
    path = written(folder, [row("one"), row("two", settings={"level": 3.0})], settings={"level": 1.0})
    made = replicate(lab, path, by=ANN, seconds=60, settings={"level": 5.0})
    found = next(one for one in replications(lab) if one.thread == made.thread)
    assert {id: one.ours["value"] for id, one in found.verdicts.items()} == {"one": 5.0, "two": 3.0}
    assert found.settings == {"level": 5.0}
    with pytest.raises(UnweaveError, match="has a setting 'colour'"):
        start_replication(lab, path, by=ANN, settings={"colour": 1})
    with pytest.raises(UnweaveError, match=r"row 'one' of paper .*seeds"):
        start_replication(lab, path, by=ANN, settings={"seeds": "many"})


def finished(lab, path):
    """A thread of the paper with its runs finished and nothing judged."""
    started = start_replication(lab, path, by=CARL)
    lab.queue.wait(started.jobs, seconds=60)
    return started.thread, lab.runs.open(lab.threads.get(started.thread).runs[0].run)


def test_f3_30_a_run_whose_numbers_were_edited_gives_no_verdict(lab, folder):
    thread, run = finished(lab, written(folder, ROWS[:1]))
    table = run.path / "tables" / "seeds.csv"
    table.write_text(table.read_text().replace("0.99", "1.04"))
    verdict = judge_replication(lab, thread, CARL)["level"]
    assert (verdict.verdict, verdict.run) == ("not testable", "")
    assert "the auditor finds run" in verdict.reason
    assert not lab.runs.get(run.id).valid
    assert lab.threads.get(thread).conclusions == ()
    assert lab.threads.get(thread).state == "open"


def test_f3_31_a_number_other_than_the_cited_ones_gives_no_verdict(lab, folder, monkeypatch):
    thread, _ = finished(lab, written(folder, ROWS[:1]))
    real = judging.cite_rows

    def wishful(*arguments):
        run = real(*arguments)
        claims = run.path / "claims.json"
        claims.write_text(claims.read_text().replace("1.0,", "1.02,").replace("1.000", "1.020"))
        return run

    monkeypatch.setattr(judging, "cite_rows", wishful)
    verdict = judge_replication(lab, thread, CARL)["level"]
    assert verdict.verdict == "not testable"
    assert "the auditor does not confirm" in verdict.reason


def test_roles_and_threads_that_are_none(lab, folder):
    path = written(folder, ROWS[:1])
    with pytest.raises(NotAllowed):
        start_replication(lab, path, by=EVE)
    plain = lab.threads.create("A question?", by=ANN)
    with pytest.raises(UnweaveError, match="replicates no paper"):
        judge_replication(lab, plain.id, ANN)
    assert plain.id not in {one.thread for one in replications(lab)}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"schema": 2}, "not a paper of schema 1"),
        ({"colour": 1}, "has 'colour'"),
        ({"id": "../x"}, "paper name"),
        ({"title": ""}, "title of paper"),
        ({"rows": []}, "no rows"),
        ({"rows": [row("a"), row("a")]}, "row 'a' twice"),
        ({"rows": ["a"]}, "give an object"),
        ({"rows": {"a": 1}}, "no list"),
        ({"rows": [row("a", colour=1)]}, "row 'a' has 'colour'"),
        ({"rows": [row("a", statement=None)]}, "row 'a' is not complete"),
        ({"rows": [row("a", number=None)]}, "without a number|a number without a tolerance"),
        ({"rows": [row("a", number=True)]}, "has the number True"),
        ({"rows": [row("a", study=None)]}, "a cell without a study"),
        ({"rows": [row("a", number=None, tolerance=None)]}, "say in 'unknowable'"),
        ({"rows": [row("a", known="guessed")]}, "known as 'guessed'"),
        ({"rows": [row("a", known="qualitative")]}, "say in 'reading'"),
        ({"rows": [row("a", tolerance={"kind": "about"})]}, "tolerance 'about'"),
        ({"rows": [row("a", tolerance={"kind": "absolute", "by": -1})]}, "by -1"),
        ({"rows": [row("a", cell={"table": "seeds"})]}, "names no column"),
        ({"rows": [row("a", cell={**CELL, "how": "mode"})]}, "aggregate by 'mode'"),
        ({"rows": [row("a", cell={**CELL, "where": {"seed": [0, 1]}})]}, "of every seed that was run"),
        ({"rows": [row("a", cell={**CELL, "minus": {"seed": 0}})]}, "of every seed that was run"),
        ({"rows": [row("a", cell={"audit": "vibes"})]}, "not of 'vibes'"),
        ({"rows": [row("a", cell={**CELL, "table": "../x"})]}, "table name"),
        ({"deviations": [{"what": "a"}]}, "not complete"),
    ],
)
def test_a_paper_that_is_none_is_refused_and_says_where(folder, changes, says):
    with pytest.raises(UnweaveError, match=says):
        read_paper(written(folder, **changes))


def test_a_source_is_beside_the_paper_and_nowhere_else(lab, folder):
    before = lab.threads.list()
    for source in ("../lab_study.py", "/etc/passwd", "a\\b.py", ".hidden.py"):
        with pytest.raises(UnweaveError, match="put it beside"):
            start_replication(lab, written(folder, source=source), by=ANN)
    assert lab.threads.list() == before


def test_tolerances_allow_what_they_say():
    assert Tolerance("absolute", 0.05).allows(1.05, 1.0)
    assert not Tolerance("absolute", 0.05).allows(1.0501, 1.0)
    assert Tolerance("relative", 0.1).allows(-2.2, -2.0)
    assert not Tolerance("relative", 0.1).allows(-2.21, -2.0)
    assert Tolerance(">=").allows(2.0, 2.0)
    assert not Tolerance(">=").allows(1.99, 2.0)
    assert Tolerance("<=").allows(1.99, 2.0)
    assert [Tolerance(kind, 0.1).words(2.0) for kind in ("absolute", "relative", ">=", "<=")] == [
        "2.000 ± 0.100", "2.000 ± 10%", "≥ 2.000", "≤ 2.000",
    ]  # fmt: skip


def test_the_papers_that_come_with_it_can_be_planned_and_say_where_each_number_is_from():
    assert list(papers()) == ["german-removal"]
    paper = read_paper("german-removal")
    assert paper.corrections
    assert paper.deviations
    planned = planned_runs(paper)
    assert sorted(id for one in planned for id in one.rows) == sorted(row.id for row in paper.rows if row.study)
    assert {one.config["target"] for one in planned} == {"polyglot"}
    assert {one.config["target"] for one in planned_runs(paper, {"target": "smollm2"})} == {"smollm2"}
    for each in paper.rows:
        assert (each.known == "not recovered") <= bool(each.unknowable)
        assert each.where
    with pytest.raises(UnweaveError, match=r"no paper 'german-removel'.*nearest: 'german-removal'"):
        read_paper("german-removel")


def test_the_replication_that_is_shipped_is_imported_and_every_claim_holds_again(lab):
    shipped = Path(__file__).parents[1] / "docs" / "results" / "replication-german-removal.zip"
    import_bundle(lab, shipped)
    (thread,) = (row.thread for row in replications(lab) if row.paper.id == "german-removal")
    found = [audit(lab, one.run) for one in lab.threads.get(thread).runs]
    assert len(found) == 2
    assert {one.verdict for one in found} == {"valid"}
    assert {claim.verdict for one in found for claim in one.claims} == {"held"}
    kept = lab.threads.get(thread)
    assert kept.verdicts["level"].verdict == "reproduced"
    assert "| level |" in replication_markdown(lab, thread)


def test_a_paper_in_a_thread_that_was_imported_is_read_with_no_more_trust(lab):
    with pytest.raises(UnweaveError, match="not a paper of schema"):
        paper_of(["a"])
    with pytest.raises(UnweaveError, match="not a paper"):
        paper_of({"schema": 1.5})


def test_nothing_is_judged_while_a_run_is_at_work(lab, folder):
    started = start_replication(lab, written(folder, ROWS[:1]), by=ANN)
    verdict = judge_replication(lab, started.thread, ANN)["level"]
    assert verdict.verdict == "not testable"
    assert verdict.reason.split(" is ")[-1] in ("waiting", "running")
    lab.queue.wait(started.jobs, seconds=60)
    assert judge_replication(lab, started.thread, ANN)["level"].verdict == "reproduced"
    assert lab.threads.get(started.thread).verdicts["level"].verdict == "reproduced"
    assert Run.open(lab.root / started.jobs[0]).status == "finished"
