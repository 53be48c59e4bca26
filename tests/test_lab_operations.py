"""What holds for every operation of the lab, and the parts of them that no surface shows by itself."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import get_args, get_origin

import pytest
from pydantic import BaseModel
from small_lab import add_run, make_lab

from unweave.lab.operations.artefacts import _whole_characters
from unweave.lab.operations.models import Answer
from unweave.lab.operations.registry import Operation, Request, all_operations, operation, perform
from unweave.lab.operations.runs import progress_of
from unweave.lab.people import SCOPES, NotAllowed, Person
from unweave.lab.store.curves import Curves
from unweave.record import Run

OPERATIONS = all_operations()
OWNER = Person("olga", "owner")


@pytest.fixture
def lab(tmp_path):
    made = make_lab(tmp_path / "runs")
    yield made
    made.close()


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_is_of_one_form(name):
    one = OPERATIONS[name]
    assert re.fullmatch("[a-z]+(-[a-z]+)*", name)
    assert one.name == name
    assert one.scope in SCOPES["owner"]
    assert re.fullmatch(r"[A-Za-z].*[^.]", one.summary)
    assert issubclass(one.request, Request)
    assert one.request.model_config["extra"] == "forbid"
    assert issubclass(one.response, Answer)
    # What a language model plans is done by the lab within its budget, never by a tool of its own.
    assert one.agent is False or one.scope == "read"
    json.dumps([one.request.model_json_schema(), one.response.model_json_schema(mode="serialization")])


@pytest.mark.parametrize("name", [name for name, one in OPERATIONS.items() if one.scope == "read"])
def test_what_only_reads_is_asked_by_a_flat_query(name):
    for field in OPERATIONS[name].request.model_fields.values():
        kinds = [field.annotation, *get_args(field.annotation)]
        assert not [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        assert get_origin(field.annotation) is not dict


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_text_that_a_request_takes_is_bounded(name):
    def walk(schema, parts, path):
        if "$ref" in schema:
            return walk(parts[schema["$ref"].rpartition("/")[2]], parts, path)
        for each in schema.get("anyOf", ()):
            walk(each, parts, path)
        if schema.get("type") == "string":
            assert {"maxLength", "pattern", "enum", "const"} & set(schema), (name, path)
        if schema.get("type") == "array":
            walk(schema["items"], parts, path)
        for field, inner in schema.get("properties", {}).items():
            walk(inner, parts, [*path, field])
        return None

    schema = OPERATIONS[name].request.model_json_schema()
    walk(schema, schema.get("$defs", {}), [])


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_whole_number_that_a_request_takes_is_one_that_the_index_can_hold(name):
    def walk(schema):
        if isinstance(schema, dict):
            assert schema.get("type") != "integer" or schema["maximum"] < 2**63, (name, schema)
            schema = schema.values()
        elif not isinstance(schema, list):
            return
        for inner in schema:
            walk(inner)

    walk(OPERATIONS[name].request.model_json_schema())


def test_a_deed_is_found_by_what_it_made(lab):
    def do(name, /, **fields):
        return perform(lab, OWNER, name, OPERATIONS[name].request(**fields))

    thread = do("start-thread", question="Is it?").thread
    run = do("start-run", study="remove-language", thread=thread).jobs[0].run
    sweep = do("start-sweep", study="remove-language", grid={"language": ["de", "es"]}).job.run
    do("cancel-run", run=run)
    do("add-note", thread=thread, text="So it is.")
    code = do("propose-code", name="mine.py", source="x = 1").sha256
    made = [(deed.deed, deed.subject) for deed in reversed(lab.people.deeds())]
    assert made == [
        ("start-thread", thread), ("start-run", run), ("start-sweep", sweep), ("cancel-run", run),
        ("add-note", thread), ("propose-code", code),
    ]  # fmt: skip
    assert [deed.deed for deed in lab.people.deeds(subject=run)] == ["cancel-run", "start-run"]


def test_nobody_does_what_their_role_does_not_allow_and_nothing_is_recorded_of_it(lab):
    for name, one in OPERATIONS.items():
        for role in SCOPES:
            if one.scope not in SCOPES[role]:
                with pytest.raises(NotAllowed):
                    perform(lab, Person("x", role), name, one.request.model_construct())
    assert lab.people.deeds() == []


def test_what_only_reads_is_not_recorded_and_the_rest_is(lab):
    perform(lab, OWNER, "runs", OPERATIONS["runs"].request())
    assert lab.people.deeds() == []
    perform(lab, OWNER, "start-thread", OPERATIONS["start-thread"].request(question="Is it?"))
    assert [(deed.person, deed.deed) for deed in lab.people.deeds()] == [("olga", "start-thread")]


def test_an_operation_is_registered_by_one_module_only():
    function = OPERATIONS["runs"].function
    with pytest.raises(TypeError, match=r"operation 'runs' is registered by unweave\.lab\.operations\.runs already"):
        operation("runs", "again", Request, Answer, "read")(lambda lab, person, request: Answer())
    assert all_operations()["runs"].function is function
    assert isinstance(all_operations()["runs"], Operation)


def test_the_documentation_lists_every_operation():
    text = (Path(__file__).parents[1] / "docs" / "lab.md").read_text(encoding="utf-8")
    for scope in SCOPES["owner"]:
        line = next(line for line in text.splitlines() if line.startswith(f"| {scope} | `"))
        listed = re.findall("`([a-z-]+)`", line)
        assert listed == sorted(name for name, one in OPERATIONS.items() if one.scope == scope)


# Curves


def logged(tmp_path, rows, **how):
    run = Run.create("measure-word", {}, tmp_path, **how)
    for number, row in enumerate(rows):
        run.log(step=number, **row)
    return run


def test_a_curve_has_the_last_the_lowest_and_the_highest_of_each_bucket(tmp_path):
    values = [math.sin(number) * number for number in range(1_000)]
    run = logged(tmp_path, [{"level": value} for value in values])
    whole, (curve,) = Curves().of(run, (), 100)
    assert (len(whole.steps), curve.rows, len(curve.at)) == (1_000, 1_000, 100)
    for bucket in range(100):
        inside = values[bucket * 10 : bucket * 10 + 10]
        assert curve.at[bucket] == bucket * 10 + 9
        assert (curve.value[bucket], curve.low[bucket], curve.high[bucket]) == (inside[-1], min(inside), max(inside))


def test_few_rows_are_all_there_and_what_is_no_number_is_left_out(tmp_path):
    rows = [{"a": 1, "text": "x"}, {"a": None, "b": True}, {"b": float("nan"), "list": [1]}, {"a": 3}]
    _, curves = Curves().of(logged(tmp_path, rows), (), 50)
    found = {curve.name: curve for curve in curves}
    assert set(found) == {"a", "b"}
    assert found["a"].at == [0, 1, 3]
    assert [math.isnan(value) for value in found["a"].value] == [False, True, False]
    assert found["b"].value[0] == 1.0


def test_a_curve_is_read_on_from_where_it_was_read_before(tmp_path, monkeypatch):
    curves, run = Curves(), logged(tmp_path, [{"a": number} for number in range(100)])
    assert curves.of(run, (), 50)[1][0].rows == 100
    read = []
    real = Curves._read_on
    monkeypatch.setattr(Curves, "_read_on", lambda self, path, file: (read.append(file), real(self, path, file))[1])
    for number in range(100, 110):
        run.log(step=number, a=number)
    with (run.path / "metrics.jsonl").open("ab") as file:
        file.write(b'{"step": 110, "a"')  # a line in the making
    whole, (curve,) = curves.of(run, (), 50)
    assert (curve.rows, curve.at[-1], len(whole.columns["a"].values)) == (110, 109, 110)
    assert read[0].closed
    # A file that was put in its place is read from its beginning.
    (run.path / "metrics.jsonl").unlink()
    (run.path / "metrics.jsonl").write_text('{"step": 0, "other": 1}\n')
    assert [curve.name for curve in curves.of(run, (), 50)[1]] == ["other"]


def test_rows_of_several_processes_are_one_curve_in_order_of_time(tmp_path):
    run = logged(tmp_path, [{"a": 0.0}])
    times = [f"2026-01-01T00:00:0{second}+00:00" for second in range(4)]
    for name, mine in (("metrics.jsonl", times[::2]), ("metrics.host-1.jsonl", times[1::2])):
        lines = [json.dumps({"time": time, "a": float(time[18])}) for time in mine]
        (run.path / name).write_text("\n".join(lines) + "\n")
    whole, (curve,) = Curves().of(run, (), 50)
    assert (curve.value, curve.seconds, whole.stepped) == ([0.0, 1.0, 2.0, 3.0], [0.0, 1.0, 2.0, 3.0], False)


def test_only_the_runs_that_were_last_looked_at_are_kept(tmp_path):
    curves = Curves()
    for number in range(10):
        curves.of(logged(tmp_path, [{"a": 1}], name=f"run-{number}"), (), 50)
    assert len(curves._kept) == 4


# Parts of other operations


@pytest.mark.parametrize("text", ["Straße", "日本語", "😀x", "plain", ""])
def test_a_log_is_never_cut_inside_a_character(text):
    content = text.encode()
    for length in range(len(content) + 1):
        whole = _whole_characters(content[:length], False)
        assert text.startswith(whole.decode("utf-8"))
        assert length - len(whole) < 4
    assert _whole_characters(content[:-1], True) == content[:-1]


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ({"done": 3, "total": 10, "note": "x", "at": 0}, (3, 10, "x", "1970-01-01T00:00:00+00:00")),
        ({"done": 3, "total": None}, (3, None, "", None)),
        ({"done": 3, "total": "many", "at": "now", "note": None}, (3, None, "", None)),
        ({"done": 3, "at": 1e300}, (3, None, "", None)),
    ],
)
def test_what_a_run_says_of_its_progress_is_shown(said, shown):
    found = progress_of(said)
    assert (found.done, found.total, found.note, found.at) == shown


@pytest.mark.parametrize("said", [None, {}, {"done": True}, {"done": "x"}, {"done": math.nan}])
def test_a_progress_that_cannot_be_read_is_none(said):
    assert progress_of(said) is None


def test_a_claim_on_an_aggregate_shows_the_rows_that_it_is_made_of(lab):
    from unweave.record import Table
    from unweave.record.aggregate import Aggregate

    with Run.create("measure-word", {}, lab.root, "aggregated") as run:
        run.save_table(Table("raw", ("arm", "seed", "level"), (("a", 0, 1.0), ("b", 0, 9.0), ("a", 1, 3.0))))
        run.claim("The mean is {value}.", over=Aggregate("raw", "level", {"arm": "a"}, "mean"))
    answer = perform(lab, OWNER, "claims", OPERATIONS["claims"].request(run="aggregated"))
    (claim,) = answer.claims
    (evidence,) = claim.evidence
    assert (claim.kind, claim.verdict, evidence.kind, evidence.rows, evidence.how) == (
        "aggregate", "held", "rows", [0, 2], "mean",
    )  # fmt: skip


def test_a_damaged_table_is_told_of_and_hides_nothing_else(lab):
    run = add_run(lab, "damaged")
    (run.path / "tables" / "summary.json").write_text("{}")
    answer = perform(lab, OWNER, "run", OPERATIONS["run"].request(run="damaged"))
    assert [(table.name, table.caption) for table in answer.tables] == [("summary", "(its description is damaged)")]
    claims = perform(lab, OWNER, "claims", OPERATIONS["claims"].request(run="damaged")).claims
    assert [claim.verdict for claim in claims] == ["not checkable", "held"]
