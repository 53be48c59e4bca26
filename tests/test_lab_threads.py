from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from lab_places import ANN, BOB, CARL, EVE, small_lab, small_run

from unweave.base.errors import UnweaveError
from unweave.lab.people import NotAllowed, Person
from unweave.lab.threads import (
    Approval,
    Conclusion,
    Hypothesis,
    Link,
    Note,
    Plan,
    Question,
    Review,
    RowVerdict,
    StateChange,
    ThreadRun,
    Tried,
)
from unweave.lab.threads.conclusions import grounds
from unweave.record import Run, Table

QUESTION = "Can one number remove Spanish?"


@pytest.fixture
def lab(tmp_path):
    lab = small_lab(tmp_path, first=0.98)
    yield lab
    lab.close()


@pytest.fixture
def threads(lab):
    return lab.threads


@pytest.fixture
def thread(threads):
    return threads.create(QUESTION, by=ANN)


def lines_of(threads, id):
    return (threads.path(id) / "events.jsonl").read_bytes().splitlines(keepends=True)


def test_a_thread_is_its_events_folded(threads, thread):
    id = thread.id
    threads.add(id, Hypothesis("One number is enough.", "a level of at least .95", "enough"), CARL)
    threads.add(id, Plan({"study": "remove-language", "seeds": [0, 1, 2]}), CARL)
    plan = threads.get(id).plan
    threads.add(id, Approval(plan.sha256, "go"), BOB)
    threads.add(id, ThreadRun("first", "screen", "enough"), CARL)
    threads.add(id, ThreadRun("first", "confirm", "enough"), CARL)
    threads.add(id, Note("The *first* look."), CARL)
    threads.add(id, Tried("two factors", "they undo each other", ("first",)), CARL)
    threads.add(id, Conclusion("It leaves 0.970 ln V.", (("first", 0),)), CARL)
    threads.add(id, Review("accept", "I would say the same."), BOB)
    threads.add(id, StateChange("concluded", "it is answered"), CARL)

    found = threads.get(id)
    assert (found.question, found.by, found.state) == (QUESTION, "ann", "concluded")
    assert [event.seq for event in found.events] == list(range(1, 12))
    assert [(event.by, event.role) for event in found.events[:3]] == [("ann", "owner"), *[("carl", "runner")] * 2]
    assert [(run.run, run.part) for run in found.runs] == [("first", "confirm")]
    assert found.approved(plan.sha256).by == "bob"
    assert found.conclusions[0].claims[0].sha256
    told = json.loads(json.dumps(found.to_json()))
    assert told["plans"][0]["approved_by"] == "bob"
    assert told["tried"][0]["runs"] == ["first"]
    assert told["hypotheses"][0]["predicted"] == "a level of at least .95"
    assert (threads.path(id) / "notes" / "0007.md").read_text() == "The *first* look."
    assert told["notes"][0]["file"] == "notes/0007.md"


def test_an_event_may_be_given_as_json_with_its_kind(threads, thread):
    added = threads.add(thread.id, {"kind": "note", "text": "hello"}, CARL)
    assert added == threads.get(thread.id).notes[0]
    assert isinstance(added, Note)


@pytest.mark.parametrize(
    ("event", "says"),
    [
        ({"kind": "nonsense"}, "'nonsense' is not known"),
        ({"kind": ["note"]}, "is not known"),
        ({"kind": "note"}, "not complete: missing 1 required positional argument: 'text'"),
        ({"kind": "note", "text": "a", "colour": 1}, "no field 'colour'"),
        ({"kind": "note", "text": 3}, "give text"),
        ({"kind": "note", "text": " "}, "is empty"),
        ({"kind": "note", "text": "x" * 200_001}, "200,001 characters"),
        ({"kind": "note", "text": "\ud800"}, "not valid Unicode"),
        ({"kind": "plan", "content": {}}, "the plan is empty"),
        ({"kind": "plan", "content": {"a": float("nan")}}, "not plain JSON"),
        ({"kind": "run", "run": "../x", "part": "screen"}, "run name '../x'"),
        ({"kind": "run", "run": "first", "part": "judge"}, "'judge' is not a part of a run"),
        ({"kind": "run", "run": "missing", "part": "screen"}, "missing"),
        ({"kind": "approval", "sha256": "1"}, "64 hexadecimal"),
        ({"kind": "approval", "sha256": "0" * 64}, "has no plan"),
        ({"kind": "review", "verdict": "maybe", "text": "a"}, "'maybe' is not a verdict"),
        ({"kind": "review", "verdict": "accept", "text": "a", "of": "0" * 64}, "is no plan or event"),
        ({"kind": "link", "relation": "extends", "to": "nowhere"}, "there is no thread 'nowhere'"),
        ({"kind": "question", "text": "another?"}, "one question"),
        ({"kind": "conclusion", "text": "so", "claims": []}, "at least one"),
        ({"kind": "conclusion", "text": "so", "claims": [["first"]]}, "not a reference"),
        ({"kind": "conclusion", "text": "so", "claims": [["first", -1]]}, "claim number -1"),
    ],
)
def test_what_is_not_an_event_is_refused_and_nothing_is_written(threads, thread, event, says):
    before = lines_of(threads, thread.id)
    with pytest.raises(UnweaveError, match=says.replace("(", r"\(")):
        threads.add(thread.id, event, ANN if event["kind"] != "review" else BOB)
    assert lines_of(threads, thread.id) == before


def test_a_plan_as_deep_as_python_can_go_is_refused(threads, thread):
    deep = current = {}
    for _ in range(100_000):
        current["a"] = current = {}
    with pytest.raises(UnweaveError, match="not plain JSON"):
        threads.add(thread.id, {"kind": "plan", "content": deep}, ANN)


def test_roles_bind_whoever_adds(threads, thread):
    threads.add(thread.id, Plan({"a": 1}), CARL)
    plan = threads.get(thread.id).plan.sha256
    for event in (Approval(plan), Review("accept", "fine")):
        with pytest.raises(NotAllowed, match="'carl' is a runner"):
            threads.add(thread.id, event, CARL)
    with pytest.raises(NotAllowed, match="'eve' is a reader"):
        threads.add(thread.id, Note("hi"), EVE)
    with pytest.raises(NotAllowed):
        threads.create("May I?", by=EVE)


def test_f3_29_an_approval_holds_for_one_plan_and_a_changed_plan_needs_another(threads, thread):
    threads.add(thread.id, Plan({"runs": 3}), CARL)
    first = threads.get(thread.id).plan.sha256
    threads.add(thread.id, Approval(first), BOB)
    threads.add(thread.id, Plan({"runs": 300}), CARL)
    found = threads.get(thread.id)
    assert found.approved(first)
    assert found.approved(found.plan.sha256) is None
    assert [plan["approved_by"] for plan in found.to_json()["plans"]] == ["bob", None]
    # The order of the names in a plan is not a change.
    assert Plan({"a": 1, "b": (2,)}).sha256 == Plan({"b": [2], "a": 1}).sha256


def test_a_review_is_of_a_hash_by_somebody_else_and_goes_stale(threads, thread):
    dora = Person("dora", "reviewer")
    threads.add(thread.id, ThreadRun("first", "screen"), dora)
    with pytest.raises(UnweaveError, match="'dora' planned, ran or concluded"):
        threads.add(thread.id, Review("accept", "I like it"), dora)
    threads.add(thread.id, Review("revise", "more seeds"), BOB)
    threads.add(thread.id, Review("accept", "second reader"), ANN)
    found = threads.get(thread.id)
    assert [found.is_current(review) for review in found.reviews] == [True, True]
    assert found.reviews[0].of == found.content == found.events[1].digest
    threads.add(thread.id, Note("one more thing"), dora)
    assert [review["current"] for review in threads.get(thread.id).to_json()["reviews"]] == [False, False]


@pytest.mark.parametrize(("acts", "reviews"), [("dora.mcp", "dora"), ("dora", "dora.mcp")])
def test_nobody_reviews_what_their_own_agent_did_nor_their_agent_what_they_did(threads, thread, acts, reviews):
    threads.add(thread.id, ThreadRun("first", "screen"), Person(acts, "reviewer"))
    with pytest.raises(UnweaveError, match=f"'{reviews}' planned, ran or concluded"):
        threads.add(thread.id, Review("accept", "I like it"), Person(reviews, "reviewer"))
    threads.add(thread.id, Review("accept", "So do I"), BOB)


def test_the_id_of_a_thread_is_taken_once(threads, thread):
    with pytest.raises(UnweaveError, match=f"there is a thread '{thread.id}' already: choose another id"):
        threads.create("Another?", id=thread.id, by=ANN)
    assert threads.get(thread.id).question == QUESTION


def test_who_started_a_run_is_an_author_though_another_added_it(threads, thread, lab):
    path = lab.root / "first" / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "person": "bob"}))
    threads.add(thread.id, ThreadRun("first", "screen"), CARL)
    with pytest.raises(UnweaveError, match="'bob' planned, ran or concluded"):
        threads.add(thread.id, Review("accept", "mine is good"), BOB)


def test_a_link_shows_its_reverse_in_the_other_thread(threads, thread):
    second = threads.create("And French?", by=ANN, links=[Link("extends", thread.id)])
    threads.add(second.id, Link("contradicts", thread.id), CARL)
    assert [link.relation for link in threads.get(second.id).links] == ["extends", "contradicts"]
    back = threads.get(thread.id).linked_from
    assert [(one.thread, one.relation) for one in back] == [(second.id, "extends"), (second.id, "contradicts")]
    assert back[0].question == "And French?"
    with pytest.raises(UnweaveError, match="to itself"):
        threads.add(thread.id, Link("extends", thread.id), CARL)


def test_f3_31_a_conclusion_needs_claims_that_hold(threads, thread, lab):
    with pytest.raises(UnweaveError, match="has 3 claims, and number 3"):
        threads.add(thread.id, Conclusion("It leaves 0.970 ln V.", (("first", 3),)), CARL)
    other = small_run(lab.root, "other", 0.5)
    Table.from_records("seeds", [{"seed": 0, "level": 0.999}]).save(other.path / "tables")
    with pytest.raises(UnweaveError, match=r"claim 0 of run 'other' is failed \(.*saved again"):
        threads.add(thread.id, Conclusion("It leaves 0.999 ln V.", (("other", 0),)), CARL)
    lab.runs.invalidate("other", "its table was changed")
    with pytest.raises(UnweaveError, match=r"run 'other' is not valid \(its table was changed\)"):
        threads.add(thread.id, Conclusion("It leaves 0.999 ln V.", (("other", 0),)), CARL)
    going = Run.create("s", {}, root=lab.root, name="going")
    going.save_table(Table.from_records("t", [{"x": 0.5}]))
    going.claim("It is {value}.", "t", {}, "x")
    with pytest.raises(UnweaveError, match="run 'going' is running: conclude only from runs that finished"):
        threads.add(thread.id, Conclusion("It is 0.500.", (("going", 0),)), CARL)
    with pytest.raises(UnweaveError, match="missing"):
        threads.add(thread.id, Conclusion("It leaves 0.999 ln V.", (("missing", 0),)), CARL)
    assert not threads.get(thread.id).conclusions


@pytest.mark.parametrize("text", ["It leaves 0.999 ln V.", "It leaves 0.98 ln V."])
def test_f3_31_a_conclusion_states_no_number_that_its_claims_do_not(threads, thread, text):
    with pytest.raises(UnweaveError, match=r"and no claim holds it|the claim holds"):
        threads.add(thread.id, Conclusion(text, (("first", 0),)), CARL)
    three = Conclusion("Seeds 0, 1 and 2 leave {{first#0}} and 0.980 ln V.", (("first", 0), ("first", 1)))
    with pytest.raises(UnweaveError, match="states 2 in"):
        threads.add(thread.id, three, CARL)
    threads.add(thread.id, Conclusion("Seeds 0 and 1 leave {{first#0}} and 0.980 ln V.", three.claims), CARL)


def test_f3_30_what_a_conclusion_rests_on_is_looked_at_again_when_it_is_shown(threads, thread, lab):
    conclusion = threads.add(thread.id, Conclusion("It leaves 0.970 ln V.", (("first", 0),)), CARL)
    assert [ground.verdict for ground in grounds(lab.root, conclusion)] == ["held"]
    path = lab.root / "first" / "claims.json"
    claims = json.loads(path.read_text())
    claims[0]["sentence"] = "Seed 0 leaves German at 0.970 ln V, which is splendid."
    path.write_text(json.dumps(claims))
    ground = grounds(lab.root, conclusion)[0]
    assert (ground.verdict, ground.holds) == ("failed", False)
    assert "not the one that was concluded from" in ground.reason


def test_the_list_has_the_last_changed_first(threads, thread):
    second = threads.create("And French?", by=BOB)
    threads.add(thread.id, ThreadRun("first", "screen"), CARL)
    rows = threads.list()
    assert [row.id for row in rows] == [thread.id, second.id]
    assert (rows[0].question, rows[0].runs, rows[0].events, rows[0].broken) == (QUESTION, 1, 2, None)


@pytest.mark.parametrize(
    "change",
    [
        lambda lines: [lines[0], lines[1].replace(b"first", b"other"), *lines[2:]],
        lambda lines: [lines[0], *lines[2:]],
        lambda lines: [lines[0], lines[2], lines[1], *lines[3:]],
        lambda lines: lines[:-1],
        lambda lines: [*lines[:-1], lines[-1].replace(b"third", b"4hird")],
        lambda lines: [b"\x00\xff\n", *lines[1:]],
        lambda lines: [*lines[:2], b"[" * 100_000 + b"\n", *lines[2:]],
    ],
    ids=["edited", "removed", "swapped", "cut off", "last edited", "not JSON", "deep"],
)
def test_a_history_that_was_changed_is_found_and_takes_no_more_events(threads, thread, change):
    id = thread.id
    for text in ("first", "second", "third"):
        threads.add(id, Note(text), CARL)
    other = threads.create("Untouched?", by=ANN)
    path = threads.path(id) / "events.jsonl"
    path.write_bytes(b"".join(change(lines_of(threads, id))))
    assert threads.check(id)
    assert list(threads.check_all()) == [id]
    assert {row.id: bool(row.broken) for row in threads.list()} == {id: True, other.id: False}
    kept = path.read_bytes()
    with pytest.raises(UnweaveError, match=r"changed|damaged"):
        threads.add(id, Note("fourth"), CARL)
    assert path.read_bytes() == kept
    assert threads.get(other.id).question == "Untouched?"


def test_a_history_written_anew_with_a_good_chain_is_found_too(threads, thread, lab, tmp_path):
    for text in ("first", "second"):
        threads.add(thread.id, Note(text), CARL)
    forged = small_lab(tmp_path / "elsewhere")
    forged.threads.create(QUESTION, by=ANN, id=thread.id)
    for text in ("first", "2nd", "third"):
        forged.threads.add(thread.id, Note(text), CARL)
    forged.close()
    source = forged.threads.path(thread.id) / "events.jsonl"
    (threads.path(thread.id) / "events.jsonl").write_bytes(source.read_bytes())
    assert "written anew: event 3" in threads.check(thread.id)
    assert "written anew" in threads.list()[0].broken
    with pytest.raises(UnweaveError, match="written anew"):
        threads.add(thread.id, Note("fourth"), CARL)


def test_a_thread_whose_folder_is_gone_is_told(threads, thread):
    (threads.path(thread.id) / "events.jsonl").unlink()
    assert "no events" in threads.check(thread.id)
    (threads.root / thread.id).rename(threads.root.parent / "hidden")
    assert "is gone" in threads.check_all()[thread.id]
    assert threads.list() == []


def test_a_torn_last_line_was_never_acknowledged_and_is_cut_off(threads, thread):
    threads.add(thread.id, Note("first"), CARL)
    path = threads.path(thread.id) / "events.jsonl"
    with open(path, "ab") as file:
        file.write(b'{"seq": 3, "at": "2026')
    assert len(threads.get(thread.id).events) == 2
    assert threads.check_all() == {}
    threads.add(thread.id, Note("second"), CARL)
    assert [note.text for note in threads.get(thread.id).notes] == ["first", "second"]


def test_another_program_may_have_added_what_the_index_has_not_seen(threads, thread, lab):
    threads.add(thread.id, Note("first"), CARL)
    with lab.database.write() as connection:
        connection.execute("DELETE FROM threads")
    assert threads.check(thread.id) is None
    assert threads.list()[0].events == 2


def test_f3_11_ids_only_and_no_link_is_followed(threads, thread, tmp_path):
    for id in ("../threads", "a/b", "", "C:", "..", "\0", "x" * 101, "Ünicode", thread.id.upper()):
        with pytest.raises(UnweaveError):
            threads.get(id)
    (threads.root / "linked").symlink_to(threads.path(thread.id), target_is_directory=True)
    with pytest.raises(UnweaveError, match="no thread 'linked'"):
        threads.get("linked")
    path = threads.path(thread.id) / "events.jsonl"
    path.rename(tmp_path / "outside.jsonl")
    path.symlink_to(tmp_path / "outside.jsonl")
    for use in (threads.get, lambda id: threads.add(id, Note("a"), CARL)):
        with pytest.raises(UnweaveError, match="links are not followed"):
            use(thread.id)
    assert "links are not followed" in threads.check(thread.id)


ADDER = """
import sys
from unweave.lab import Lab
from unweave.lab.people import Person
from unweave.lab.threads import Note
lab = Lab(sys.argv[1])
for number in range(int(sys.argv[4])):
    lab.threads.add(sys.argv[2], Note(f"{sys.argv[3]}/{number}"), Person(f"p{sys.argv[3]}", "runner"))
    print(number, flush=True)
"""


def adder(lab, id, name, count):
    return subprocess.Popen(
        [sys.executable, "-c", ADDER, str(lab.root), id, str(name), str(count)], stdout=subprocess.PIPE, text=True
    )


def test_f3_36_several_processes_add_to_one_thread_and_every_event_is_there(threads, thread, lab):
    adders = [adder(lab, thread.id, name, 25) for name in range(4)]
    assert [one.wait(60) for one in adders] == [0] * 4
    for one in adders:
        one.stdout.close()
    notes = [note.text for note in threads.get(thread.id).notes]
    assert sorted(notes) == sorted(f"{name}/{number}" for name in range(4) for number in range(25))
    for name in range(4):
        assert [note for note in notes if note.startswith(f"{name}/")] == [f"{name}/{number}" for number in range(25)]
    assert threads.check_all() == {}


@pytest.mark.parametrize("rounds", [5, pytest.param(100, marks=pytest.mark.slow)])
def test_f3_35_killed_while_it_adds_no_acknowledged_event_is_lost(threads, thread, lab, rounds):
    acknowledged = []
    for number in range(rounds):
        one = adder(lab, thread.id, number, 10_000)
        for _ in range(1 + number * 7 % 40):
            acknowledged.append(f"{number}/{one.stdout.readline().strip()}")
        os.kill(one.pid, signal.SIGKILL)
        one.wait()
        acknowledged += [f"{number}/{line.strip()}" for line in one.stdout if line.endswith("\n")]
        one.stdout.close()
        assert threads.check_all() == {}
    notes = [note.text for note in threads.get(thread.id).notes]
    assert [text for text in notes if text in set(acknowledged)] == acknowledged
    threads.add(thread.id, Note("the last"), CARL)
    assert threads.get(thread.id).notes[-1].text == "the last"


def test_a_full_disk_is_said_and_the_history_stays(threads, thread, monkeypatch):
    threads.add(thread.id, Note("first"), CARL)
    before = lines_of(threads, thread.id)

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(UnweaveError, match="disk is full"):
            threads.add(thread.id, StateChange("stopped"), CARL)
    assert lines_of(threads, thread.id) == before
    threads.add(thread.id, StateChange("stopped"), CARL)
    assert threads.get(thread.id).state == "stopped"


def test_f3_15_threads_are_their_owners_alone_whatever_the_umask(tmp_path):
    (tmp_path / "runs").mkdir(mode=0o755)
    before = os.umask(0)
    try:
        with small_lab(tmp_path) as lab:
            lab.threads.create(QUESTION, by=ANN)
            assert lab.threads.root.stat().st_mode & 0o777 == 0o700
    finally:
        os.umask(before)


def test_a_row_verdict_replaces_the_one_before(threads, thread):
    for verdict in ("not testable", "reproduced"):
        threads.add(thread.id, RowVerdict("level", verdict, "recomputed", ours={"value": 1.0}), CARL)
    assert threads.get(thread.id).verdicts["level"].verdict == "reproduced"
    assert threads.get(thread.id).to_json()["verdicts"][0]["ours"] == {"value": 1.0}


def test_a_question_is_said_and_short(threads):
    for text in ("", "  ", "x" * 2001):
        with pytest.raises(UnweaveError, match="question"):
            threads.create(text, by=ANN)
    assert isinstance(threads.create("¿Qué?", by=ANN).events[0], Question)
    assert not Path(threads.root, "threads").exists()


def test_a_run_of_the_thread_is_one_that_can_be_opened(threads, thread, lab):
    (lab.root / "first" / "run.json").unlink()
    with pytest.raises(UnweaveError, match="no run"):
        threads.add(thread.id, ThreadRun("first", "screen"), CARL)
    Run.create("s", {}, root=lab.root, name="second")
    threads.add(thread.id, ThreadRun("second", "null"), CARL)
