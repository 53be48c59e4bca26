"""Sessions in a real lab: its queue, its workers, its auditor, its threads."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from agents import ANY, RIGHT, SOURCE, carrier, studies

from unweave.base.configs import plain_config
from unweave.base.errors import UnweaveError
from unweave.base.files import write_json
from unweave.lab.agent import closing
from unweave.lab.agent.builtin import design
from unweave.lab.agent.builtin.planner import BuiltinPlanner
from unweave.lab.agent.closing import CRITIC
from unweave.lab.agent.critic import Objection, Remains, criticise
from unweave.lab.agent.excused import excused
from unweave.lab.agent.job import AgentConfig, conduct, start_agent, stop_agent
from unweave.lab.agent.journal import State
from unweave.lab.agent.lab_hands import LabHands
from unweave.lab.agent.plan import Plan
from unweave.lab.agent.planner import CannotPlan
from unweave.lab.agent.tables import open_in
from unweave.lab.agent.view import lab_view
from unweave.lab.audit import audit, audit_several
from unweave.lab.lab import Lab
from unweave.lab.queue.budget import Budget
from unweave.lab.threads.events import Approval
from unweave.record.run import Run
from unweave.record.table import Table

ONE = f"Does {RIGHT} of model 2 carry the first output without harming the others?"
PAIR = f"Does way whole do better than also at removing {RIGHT} of model 2?"


def opened(folder):
    return Lab(folder)


def asked(lab, question, **options):
    """A session to its end: the thread and the agent's run."""
    thread, job = start_agent(lab, question, source=SOURCE, **options)
    (done,) = lab.queue.wait([job.id], seconds=200)
    assert done.state == "finished", done.note
    return lab.threads.get(thread), lab.runs.open(done.id)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A lab in which one question was asked and answered.

    A run is reckoned to take 60 seconds, so that two at once would have more set aside than there is.
    """
    lab = opened(tmp_path_factory.mktemp("agent") / "runs")
    asked(lab, ONE, budget={"runs": 20.0, "seconds": 100.0})
    lab.queue.close()
    lab.close()
    return lab.root


@pytest.fixture
def lab(folder):
    found = opened(folder)
    yield found
    found.close()


@pytest.fixture
def copied(folder, tmp_path):
    """A copy of that lab, to be damaged."""
    shutil.copytree(folder, tmp_path / "runs")
    found = opened(tmp_path / "runs")
    yield found
    found.queue.close()
    found.close()


def of_lab(lab):
    """The agent's run and its thread."""
    (job,) = [job for job in lab.queue.list() if job.kind == "agent"]
    return lab.runs.open(job.id), lab.threads.get(str(job.thread))


def remains(lab):
    """What the critic is given, gathered anew from the disk."""
    run, _thread = of_lab(lab)
    state = State.of([dict(row) for row in run.cells("journal").values()])
    names = list(state.runs)
    found = audit_several(lab, names)
    return Remains(
        run=run,
        plan=state.plan,
        approved=None,
        launched=state.runs,
        of_thread=frozenset(names),
        audits=dict(zip(names, found, strict=True)),
        registered=lab_view(lab, SOURCE).studies["tiny-removal"],
        open_run=open_in(lab.root),
    )


@pytest.fixture(scope="module")
def honest(folder):
    """What the critic is given of that lab, to be changed in one thing."""
    with opened(folder) as lab:
        return remains(lab)


def test_the_question_is_answered_with_claims_that_the_auditor_holds(lab):
    run, thread = of_lab(lab)
    found = audit(lab, run.id)
    assert (found.verdict, found.reasons) == ("valid", ())
    assert {one.verdict for one in found.claims} == {"held"}
    sentences = [one.claim.sentence for one in found.claims]
    assert sentences[0].startswith(f"The answer is: yes. `{RIGHT}` does it")
    assert any(one.claim.over is not None for one in found.claims)
    (conclusion,) = thread.conclusions
    assert conclusion.text.startswith(f"{ONE} Yes.")
    assert {one.run for one in conclusion.claims} == {run.id}


def test_the_thread_holds_the_plan_the_predictions_and_every_run(lab):
    run, thread = of_lab(lab)
    (plan,) = thread.plans
    assert plan.sha256 == Plan.from_json(dict(plan.content)).sha256
    assert [one.name for one in thread.hypotheses] == ["effect", "null", "control"]
    assert "reached" in thread.hypotheses[0].predicted
    first_run = min(event.seq for event in thread.events if event.kind == "run")
    assert all(one.seq < first_run for one in (*thread.hypotheses, plan))
    parts = sorted(one.part for one in thread.runs)
    assert parts == ["confirm"] * 5 + ["control"] * 3 + ["null"] * 3
    assert {one.run for one in thread.runs} == set(map(str, run.load_table("runs").column("run")))
    assert thread.state == "concluded"
    assert [note.by for note in thread.notes][-1] == CRITIC.name


def test_each_run_carries_what_was_planned_and_was_launched_so(lab):
    run, thread = of_lab(lab)
    for one in thread.runs:
        state = lab.runs.open(one.run).state()
        assert state["plan"]["sha256"] == thread.plans[0].sha256
        assert state["plan"]["config"] == state["config"]
        assert state["plan"]["seeds"] == state["seeds"]
        assert state["plan"]["code"] == state["source"]["sha256"]
        assert state["parents"] == [run.id]


def test_the_report_shows_expectation_and_observation_and_what_the_critic_says(lab):
    run, _ = of_lab(lab)
    rows = run.load_table("predictions").records()
    assert [(row["hypothesis"], row["expected"], row["observed"], row["as expected"]) for row in rows] == [
        ("effect", "reached", "reached", "yes"),
        ("effect", "reached", "reached", "yes"),
        ("null", "not reached", "not reached", "yes"),
        ("control", "not reached", "not reached", "yes"),
    ]
    assert run.load_table("critic").rows == ()
    page = (run.path / "report.html").read_text(encoding="utf-8")
    assert "What was expected" in page
    assert "What the critic says" in page
    text = (run.path / "report.md").read_text(encoding="utf-8")
    assert "over 5 fresh seeds, reached." in text


def test_the_budget_of_the_session_is_what_it_spent(lab):
    run, thread = of_lab(lab)
    line = Budget(lab, f"agent:{run.id}").lines()["runs"]
    assert (line.granted, line.spent, line.reserved) == (20.0, len(thread.runs), 0.0)


def test_the_critic_finds_nothing_in_an_honest_session(honest):
    assert criticise(honest) == []


def conducted(root, question, runs=1.0):
    """A session in this process over a lab's own queue: the lab, its run and its thread."""
    lab = opened(root)
    thread = lab.threads.create(question).id
    config = AgentConfig(question, thread, budget={"runs": runs}, source=str(SOURCE))
    with Run.create("agent", asdict(config), root=lab.root, about={"thread": thread, "person": "tester"}) as run:
        conduct(lab, run)
    return lab, run, lab.threads.get(thread)


def test_a_question_that_is_asked_again_says_so_and_is_judged_on_its_own_runs(copied):
    """In one thread the arms recur: the first session's runs are told of, and make nothing invalid."""
    first, kept = of_lab(copied)
    _, run = asked(copied, ONE, budget={"runs": 1.0}, thread=kept.id)
    found = audit(copied, run.id)
    assert found.verdict == "valid", found.reasons
    assert any("of another session's plan, and not reported" in one.what for one in found.findings)
    (row,) = [row for row in run.load_table("critic").records() if row["about"] == "question"]
    assert row["severity"] == "note"
    assert f"run {first.id} of thread {kept.id} answered 'yes'" in row["objection"]
    thread, again = asked(copied, f" {ONE}?", budget={"runs": 1.0})
    assert thread.id != kept.id
    assert any("asked 2 time(s) before" in note.text for note in thread.notes)
    assert again.claims()[0].value == "undecided"


@pytest.mark.slow
def test_seeds_that_others_ran_meanwhile_are_replaced_and_the_answer_is_believed(tmp_path, monkeypatch):
    monkeypatch.setattr(LabHands, "used", lambda hands, study: [range(2, 6)])
    lab, run, thread = conducted(tmp_path / "runs", ONE, runs=20.0)
    first, second = thread.plans
    assert first.sha256 != second.sha256
    assert run.claims()[0].value == "yes"
    assert audit(lab, run.id).verdict == "valid"
    assert thread.state == "concluded"
    lab.queue.close()
    lab.close()


def test_what_is_gravely_objected_to_is_not_concluded(tmp_path, monkeypatch):
    monkeypatch.setattr(closing, "criticise", lambda remains: [Objection("seeds", "they are not fresh")])
    lab, run, thread = conducted(tmp_path / "runs", ONE)
    assert audit(lab, run.id).verdict == "valid"
    assert thread.conclusions[0].text.startswith("Not to be believed: the critic objects gravely")
    assert thread.state == "open"
    lab.queue.close()
    lab.close()


def test_an_invalid_report_is_not_concluded_from(tmp_path, monkeypatch):
    written = closing.write_up

    def with_a_made_up_number(run, *rest):
        written(run, *rest)
        with (run.path / "report.md").open("a", encoding="utf-8") as file:
            file.write("\nIt also works at 97.3 % on everything else.\n")

    monkeypatch.setattr(closing, "write_up", with_a_made_up_number)
    lab, _, thread = conducted(tmp_path / "runs", ONE)
    assert (thread.conclusions, thread.state) == ((), "open")
    assert thread.notes[-1].text.startswith("Not to be believed: the auditor calls the session's own run")
    assert "97.3" in thread.notes[-1].text
    lab.queue.close()
    lab.close()


def test_f3_31_a_number_that_is_rounded_in_its_favour_makes_the_report_invalid(copied):
    run, _ = of_lab(copied)
    path = run.path / "report.md"
    text = path.read_text(encoding="utf-8")
    claim = next(one for one in run.claims() if one.column == "mean")
    shown = f"{claim.value:.{claim.digits}f}"
    assert shown in text
    path.write_text(text.replace(shown, f"{float(claim.value) + 0.1:.{claim.digits}f}"), encoding="utf-8")
    assert audit(copied, run.id).verdict == "invalid"


def test_f3_31_a_number_with_no_artefact_makes_the_report_invalid(copied):
    run, _ = of_lab(copied)
    with (run.path / "report.md").open("a", encoding="utf-8") as file:
        file.write("\nIt also works at 97.3 % on everything else.\n")
    found = audit(copied, run.id)
    assert any("97.3" in reason for reason in found.reasons)


def edit_table(run, name, change):
    """Saves a table of a finished run again, with its own description, as somebody with the files could."""
    table = run.load_table(name)
    Table.from_records(name, [change(row) for row in table.records()], table.columns, table.units).save(
        run.path / "tables"
    )


def test_f3_30_a_finished_run_whose_numbers_were_edited_counts_for_nothing(copied):
    run, thread = of_lab(copied)
    victim = copied.runs.open(thread.runs[0].run)
    edit_table(victim, "outcome", lambda row: {**row, "rise": 9.0})
    assert audit(copied, victim.id).verdict == "invalid"
    found = criticise(remains(copied))
    assert any(one.about == f"run {victim.id}" and one.severity == "grave" for one in found)
    assert audit(copied, run.id).verdict == "invalid"


def test_f3_30_a_plan_that_judges_by_another_metric_than_the_study_is_objected_to(honest):
    criterion = honest.plan.criterion
    for changed, told in (
        (replace(criterion, effect=replace(criterion.effect, bar=0.01)), "another effect than the study's"),
        (replace(criterion, harms=()), "leaves out or changes what the study calls a harm"),
        (replace(criterion, harms=(replace(criterion.harms[0], bar=9.0),)), "leaves out or changes"),
    ):
        found = criticise(replace(honest, plan=replace(honest.plan, criterion=changed)))
        assert any(told in one.what and one.severity == "grave" for one in found)


def test_f3_30_a_run_that_excuses_itself_counts_for_nothing(tmp_path):
    """A run of other settings than planned, which declares that itself: valid, and not counted."""
    lab = opened(tmp_path / "runs")
    study = studies()["tiny-removal"]
    config = plain_config(study.configure({"rows": 7}))
    plan = {"study": "tiny-removal", "config": {**config, "rows": 60}, "seeds": [0]}
    with Run.create("tiny-removal", config, root=lab.root, about={"plan": plan, "seeds": [0]}) as run:
        run.deviate("config.rows", "fewer rows say more")
        study.function(study.configure(config), run)
    found = audit(lab, run.id)
    assert found.verdict == "valid"
    (excuse,) = excused(run, found)
    assert "declared: fewer rows say more" in excuse
    hands = LabHands(lab, run, "agent:tester", None)
    job = SimpleNamespace(state="finished", has_ended=True, usage={}, note="")
    hands.lab = SimpleNamespace(queue=SimpleNamespace(get=lambda name: job), runs=lab.runs)
    hands._audits[run.id] = found
    entry = {"arm": "a", "stage": "confirm", "seeds": [0], "on": None}
    measured = hands.read(run.id, entry, BuiltinPlanner().propose(ONE, lab_view(lab, SOURCE)))
    assert not measured.usable
    assert measured.fault.startswith("it departs from its plan: config.rows")
    lab.close()


def test_p_hacking_is_objected_to(honest):
    """Screening seeds called fresh, runs that are not reported, more arms than the plan allows, no null."""
    first = next(iter(honest.launched))

    def objected(told, **changes):
        found = criticise(replace(honest, **changes))
        assert any(told in one.what and one.severity == "grave" for one in found), [one.what for one in found]

    screened = {first: {**honest.launched[first], "stage": "screen"}}
    same = {**honest.launched, "again": {**honest.launched[first], "stage": "screen"}}
    objected("they are not fresh", launched=same)
    objected("the report does not list it", of_thread=honest.of_thread | {"hidden-run"})
    objected("nothing was confirmed on fresh seeds", launched=screened)
    without = {name: entry for name, entry in honest.launched.items() if entry["role"] != "null"}
    objected("no null was run", launched=without)
    more = {f"m{n}": {**honest.launched[first], "arm": f"inputs={n}"} for n in range(3)}
    objected("arms were confirmed, and the plan allows", launched={**honest.launched, **more})
    objected("which nobody approved", approved=frozenset())
    objected("it was not audited", audits={})


def test_one_seed_of_five_is_objected_to(copied):
    run, _ = of_lab(copied)
    os.unlink(run.path / "seal.json")
    state = json.loads((run.path / "run.json").read_text())
    write_json(run.path / "run.json", {**state, "status": "interrupted"})
    keep = {"seeds": 1}
    edit_table(run, "arms", lambda row: {**row, **(keep if row["role"] == "candidate" else {})})
    found = criticise(remains(copied))
    assert any("rests on 1 seed(s)" in one.what and one.severity == "grave" for one in found)


def test_a_statement_that_the_evidence_does_not_bear_is_objected_to(copied):
    run, _ = of_lab(copied)
    os.unlink(run.path / "seal.json")
    edit_table(run, "evidence", lambda row: {**row, "value": 0.1 if row["arm"] == RIGHT else row["value"]})
    found = criticise(remains(copied))
    assert any("is said to hold, and its rise" in one.what for one in found)


def test_f3_32_other_data_than_planned_is_flagged_and_answers_nothing(folder, tmp_path, monkeypatch):
    """The thread's second session knows from its first what its runs must read, and they read something else."""
    shutil.copytree(folder, tmp_path / "runs")
    monkeypatch.setenv("AGENT_STUDY_TEXT", "made up to get past a fault")
    lab = opened(tmp_path / "runs")
    try:
        first, kept = of_lab(lab)
        thread, run = asked(lab, ONE, budget={"runs": 11.0}, thread=kept.id)
        assert run.id != first.id
        assert thread.plans[-1].content["identities"]["held-out"]
        results = run.load_table("runs").column("result")
        assert all("the auditor calls it invalid: identities.held-out" in str(one) for one in results)
        assert run.claims()[0].value == "undecided"
        assert any(row["about"].startswith("run ") for row in run.load_table("critic").records())
    finally:
        lab.queue.close()
        lab.close()


@pytest.mark.slow
def test_f3_32_equal_arms_are_reported_as_no_difference(copied):
    thread, run = asked(copied, PAIR, budget={"runs": 30.0})
    assert run.claims()[0].value == "no difference"
    assert "No difference." in thread.conclusions[0].text
    assert audit(copied, run.id).verdict == "valid"


def test_a_question_that_is_not_understood_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    lab = opened(tmp_path / "runs")
    with pytest.raises(CannotPlan, match="what can be asked"):
        start_agent(lab, "How tall is the tower?", source=SOURCE)
    monkeypatch.setattr(design, "arm_name", lambda settings: "a|b")
    with pytest.raises(UnweaveError, match="has other marks than a name may have"):
        start_agent(lab, ONE, source=SOURCE)
    monkeypatch.undo()
    with pytest.raises(UnweaveError, match="nothing that a budget holds"):
        start_agent(lab, ONE, source=SOURCE, budget={"gold": 1.0})
    with pytest.raises(UnweaveError, match="needs an endpoint and a model"):
        start_agent(lab, ONE, source=SOURCE, planner="language-model")
    assert lab.threads.list() == [] or not lab.threads.list()
    assert lab.queue.list() == []
    lab.close()


def waiting(lab, thread, seconds=60):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if lab.threads.get(thread).plans:
            return lab.threads.get(thread)
        lab.queue.wait([job.id for job in lab.queue.list(thread=thread)][:1], 0.2)
    raise AssertionError("no plan was proposed")


def test_f3_28_f3_33_nothing_runs_until_a_reviewer_approves_nor_past_the_account_and_a_stop_is_a_stop(tmp_path):
    lab = opened(tmp_path / "runs")
    try:
        thread, job = start_agent(lab, ANY, source=SOURCE, budget={"runs": 3.0}, wait_for_approval=True)
        found = waiting(lab, thread)
        assert [one.kind for one in lab.queue.list(thread=thread)] == ["agent"]
        lab.threads.add(thread, Approval(found.plans[0].sha256))
        assert lab.queue.wait([job.id], seconds=100)[0].state == "finished"
        found = lab.threads.get(thread)
        assert 1 <= len(found.runs) <= 3
        assert Budget(lab, f"agent:{job.id}").lines()["runs"].spent == len(found.runs)
        assert "the budget of runs is spent" in " ".join(note.text for note in found.notes)
        assert lab.runs.open(job.id).claims()[0].value in ("undecided", "nothing found")

        other, second = start_agent(lab, PAIR, source=SOURCE, wait_for_approval=True)
        waiting(lab, other)
        stop_agent(lab, other, "not today")
        assert lab.queue.wait([second.id], seconds=60)[0].state == "finished"
        assert lab.threads.get(other).state == "stopped"
        assert not lab.threads.get(other).runs
    finally:
        lab.queue.close()
        lab.close()


@pytest.mark.parametrize("after", [4, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 2, 7, 11, 16))])
def test_f3_35_a_session_whose_worker_is_killed_goes_on_and_runs_nothing_twice(tmp_path, after):
    lab = opened(tmp_path / "runs")
    try:
        thread, job = start_agent(lab, ANY, source=SOURCE, budget={"runs": 40.0})
        until = time.monotonic() + 100
        while len(lab.threads.get(thread).runs) < after and time.monotonic() < until:
            lab.queue.wait([job.id], 0.05)
        process = lab.runs.open(job.run).state()["process"]
        assert lab.queue.get(job.id).state == "running"
        os.kill(process["pid"], signal.SIGKILL)
        (done,) = lab.queue.wait([job.id], seconds=150)
        assert (done.state, done.attempt) == ("finished", 2)
        run = lab.runs.open(done.id)
        assert run.claims()[0].value == "yes"
        state = State.of([dict(row) for row in run.cells("journal").values()])
        configs = [json.dumps(entry["config"], sort_keys=True) for entry in state.runs.values()]
        assert len(set(configs)) == len(configs)
        kept = lab.threads.get(thread)
        assert len(kept.plans) == 1
        assert sorted(one.run for one in kept.runs) == sorted(state.runs)
        assert len(lab.queue.list(thread=thread)) == len(state.runs) + 1
        assert kept.conclusions[0].text.startswith(f"{ANY} Yes. `inputs={carrier(2)}`")
        assert audit(lab, run.id).verdict == "valid"
    finally:
        lab.queue.close()
        lab.close()


def test_f3_33_a_session_with_few_seconds_runs_all_that_it_planned(lab):
    run, thread = of_lab(lab)
    assert len(thread.runs) == 11
    assert {job.state for job in lab.queue.list()} == {"finished"}
    line = Budget(lab, f"agent:{run.id}").lines()["seconds"]
    assert line.reserved == 0
    assert 0 < line.spent < 100


def test_a_stop_passes_over_runs_that_were_never_submitted(lab):
    run, _ = of_lab(lab)
    hands = LabHands(lab, run, f"agent:{run.id}", None)
    hands.stop([f"{run.id}.0001", f"{run.id}.9999"])


def test_the_view_is_a_snapshot_with_nothing_to_act_through(lab):
    seen = lab_view(lab, SOURCE, {"runs": 5.0})
    assert "tiny-removal" in seen.studies
    assert "remove-language" in seen.studies
    assert {one.study for one in seen.earlier} == {"tiny-removal"}
    assert seen.code_of("remove-language") == seen.code != seen.code_of("tiny-removal")
    used = {seed for seeds in seen.used["tiny-removal"] for seed in seeds}
    run, _ = of_lab(lab)
    assert used == {seed for one in run.load_table("runs").column("seeds") for seed in map(int, one.split(", "))}
    assert lab_view(lab, SOURCE, session=run.id).used["tiny-removal"] == ()
    study = seen.study("tiny-removal")
    assert LabHands(lab, run, "agent:tester", None).used(study) == []
    other = Run.open(next(run.path.parent.glob("*.0001")))
    assert {seed for one in LabHands(lab, other, "agent:tester", None).used(study) for seed in one} == used
    text = json.dumps(seen.to_json())
    assert str(Path(lab.root).resolve()) not in text
