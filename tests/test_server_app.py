from __future__ import annotations

import asyncio
import json
import threading
import time
from dataclasses import dataclass

import pytest
from fuzzing import Asker, fitting
from hypothesis import given, settings
from hypothesis import strategies as st
from serving import FAILING, TOKEN, VIEWS, Damaged, StandIn, serving, stand_in_app, until

from unweave.server.settings import Limits

JSON = ("Content-Type", "application/json")
LIMITS = Limits(running=2, waiting=3)


@pytest.fixture
def server():
    with serving(LIMITS, subjects={"stand-in": StandIn(), "other": StandIn("Another")}) as running:
        yield running


@pytest.fixture(scope="module")
def shared():
    subjects = {"stand-in": StandIn(), "damaged": Damaged(title="Broken")}
    with serving(subjects=subjects, views={**VIEWS, **FAILING}) as running:
        yield running


def in_threads(count, work):
    """Starts ``work`` so often; the replies are in the list it returns once the threads are joined."""
    replies = []
    threads = [threading.Thread(target=lambda: replies.append(work())) for _ in range(count)]
    for thread in threads:
        thread.start()
    return replies, threads


def test_subjects_are_listed_and_a_damaged_one_says_so(shared):
    listed = shared.ask("GET", "/api/subjects").json["subjects"]
    assert listed[0] == {
        "features": 3,
        "target": "polyglot",
        "kind": "subcomponents",
        "id": "stand-in",
        "subject": "harvest",
        "title": "Stand-in",
    }
    assert listed[1] == {
        "id": "damaged",
        "title": "Broken",
        "subject": "harvest",
        "error": "its harvest.json is damaged: harvest again",
    }


def test_a_summary_may_be_a_dataclass():
    @dataclass(frozen=True)
    class Facts:
        id: str = "its own name for itself"
        features: int = 7

    class Other(StandIn):
        def summary(self):
            return Facts()

    asked = Asker(VIEWS, {"other": Other("Another")})
    with asked.runner:
        listed = json.loads(asked("GET", "/api/subjects", b"")[1])["subjects"]
    assert listed == [{"id": "other", "features": 7, "title": "Another", "subject": "harvest"}]


def test_views_are_listed_with_where_to_ask_them(shared):
    listed = {view["name"]: view for view in shared.ask("GET", "/api/views").json["views"]}
    assert set(listed) == {*VIEWS, "fail"}
    assert listed["alone"] == {
        "name": "alone", "summary": "As slow, alone on its subject", "path": "/api/subjects/{subject}/views/alone",
        "exclusive": True,
        "subject": "harvest",
    }  # fmt: skip
    assert not listed["echo"]["exclusive"]


def test_a_view_gets_the_typed_question_and_its_answer_comes_back(shared):
    question = {"text": "Straße", "factor": -0.5, "names": ["a"], "rows": {"x": [1, 2]}}
    reply = shared.post("echo", question)
    assert reply.status == 200
    assert reply.one("content-type") == "application/json"
    assert reply.json == {"text": "Straße", "number": -0.5, "more": {"names": ["a"], "rows": {"x": [1, 2]}}}


def test_numbers_that_are_not_finite_are_null(shared):
    assert shared.post("endless", {}).json == {"text": "x", "number": None, "more": {"list": [None, {"x": None}]}}


def test_a_refusal_of_a_room_is_its_line(shared):
    reply = shared.post("refuse", {"text": "h.9:1"})
    assert (reply.status, reply.one("content-type")) == (422, "application/problem+json")
    assert reply.json == {
        "title": "Unprocessable Entity",
        "status": 422,
        "detail": "feature 'h.9:1' is not in this subject; nearest: 'h.0:1'",
    }


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ({"count": "many"}, "count: Input should be a valid integer"),
        ({"count": -1}, "count: Input should be greater than or equal to 0"),
        ({"names": [1]}, "names.0: Input should be a valid string"),
        ({"extra": 1, "text": 2}, "and 1 more"),
        ([], "the body: Input should be"),
        (None, "the body"),
    ],
)
def test_an_ill_typed_question_is_refused_by_field_without_its_value(shared, question, words):
    reply = shared.post("echo", question)
    assert reply.status == 422
    assert words in reply.json["detail"]


def test_a_fault_is_a_number_that_the_log_explains(shared, caplog):
    for view in ("fail", "mistype"):
        reply = shared.post(view, {"text": "PRIVATE"})
        assert reply.status == 500
        assert b"SECRET" not in reply.body
        assert b"PRIVATE" not in reply.body
        number = reply.json["detail"].rpartition(" ")[2]
        assert f"fault {number}" in caplog.text
    assert "SECRET-OF-THE-TRACEBACK" in caplog.text


@pytest.mark.parametrize("subject", ["nobody", "stand-in2", "STAND-IN", "%20", "stand-in%00", "..", "."])
def test_a_subject_that_is_not_there_is_404(shared, subject):
    assert shared.post("echo", {}, subject=subject).status in (400, 404)
    assert shared.post("nothing", {}).status == 404
    assert shared.ask("GET", "/api/subjects/").status == 404


@pytest.mark.parametrize("name", ["../x", "A", "a/b", "", "a b", "x" * 101, "ü"])
def test_names_that_do_not_go_into_a_url_are_refused_at_the_start(name):
    with pytest.raises(ValueError, match="does not go into a URL"):
        stand_in_app(subjects={name: StandIn()})
    with pytest.raises(ValueError, match="does not go into a URL"):
        stand_in_app(views={name: VIEWS["echo"]})


def test_views_run_beside_one_another_but_not_more_than_the_limit(server):
    subject = server.subjects["stand-in"]
    replies, threads = in_threads(LIMITS.running + LIMITS.waiting + 1, lambda: server.post("slow", {}))
    # Whichever comes last finds no place, and is told at once.
    until(lambda: subject.now == LIMITS.running and replies)
    # The event loop is free meanwhile.
    assert server.ask("GET", "/api/views").status == 200
    assert server.ask("GET", "/").status == 200
    (full,) = replies
    assert (full.status, full.one("retry-after")) == (503, "1")
    assert subject.asked == LIMITS.running
    subject.gate.set()
    for thread in threads:
        thread.join(20)
    assert [reply.status for reply in replies] == [503] + [200] * (LIMITS.running + LIMITS.waiting)
    assert subject.most == LIMITS.running


def test_an_exclusive_view_is_alone_on_its_subject_and_holds_up_no_other(server):
    subject, other = server.subjects["stand-in"], server.subjects["other"]
    replies, threads = in_threads(3, lambda: server.post("alone", {}))
    until(lambda: subject.now == 1)
    others, more = in_threads(1, lambda: server.post("alone", {}, subject="other"))
    until(lambda: other.now == 1)
    assert subject.now == 1
    other.gate.set()
    subject.gate.set()
    for thread in [*threads, *more]:
        thread.join(20)
    assert [reply.status for reply in [*replies, *others]] == [200] * 4
    assert subject.most == 1
    assert subject.asked == 3


def test_an_exclusive_view_holds_the_subjects_own_lock(server):
    subject = server.subjects["stand-in"]
    subject.gate.set()
    with subject.lock:
        replies, threads = in_threads(1, lambda: server.post("alone", {}))
        time.sleep(0.2)
        assert subject.asked == 0
        assert server.post("echo", {}).status == 200
    threads[0].join(20)
    assert replies[0].status == 200


def test_a_question_whose_asker_has_left_is_not_worked_on(server):
    subject = server.subjects["stand-in"]
    replies, threads = in_threads(2, lambda: server.post("slow", {}))
    until(lambda: subject.now == 2)
    path = "/api/subjects/stand-in/views/slow"
    head = f"POST {path} HTTP/1.1\r\nHost: {server.host}\r\nAuthorization: Bearer {TOKEN}\r\n"
    for _ in range(3):
        with server.connect() as link:
            link.sendall(f"{head}Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}".encode())
            time.sleep(0.1)
    time.sleep(0.2)
    # Their places in the queue are free again, or this would be refused.
    more, waiting = in_threads(3, lambda: server.post("slow", {}))
    time.sleep(0.2)
    subject.gate.set()
    for thread in [*threads, *waiting]:
        thread.join(20)
    assert [reply.status for reply in [*replies, *more]] == [200] * 5
    assert subject.asked == 5


# 10: the schema, and anything sent by it


def test_f3_10_the_schema_describes_every_view_with_its_models(shared):
    reply = shared.ask("GET", "/api/openapi.json")
    schema = reply.json
    assert schema["openapi"].startswith("3.1")
    assert schema["security"] == [{"token": []}]
    operation = schema["paths"]["/api/subjects/{subject}/views/echo"]["post"]
    assert operation["operationId"] == "echo"
    assert operation["summary"] == "What echo does"
    body = operation["requestBody"]["content"]["application/json"]["schema"]
    assert body == {"$ref": "#/components/schemas/Question"}
    assert operation["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].endswith("/Answer")
    assert schema["components"]["schemas"]["Question"]["properties"]["count"]["maximum"] == 1000
    refused = operation["responses"]["422"]["content"]
    assert refused == {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    assert "HTTPValidationError" not in json.dumps(schema)
    assert {"/api/subjects", "/api/views"} < set(schema["paths"])


@pytest.fixture(scope="module")
def asker():
    asked = Asker({name: view for name, view in VIEWS.items() if name != "mistype"})
    with asked.runner:
        yield asked
        asked.runner.run(asyncio.sleep(0))


@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_f3_10_nothing_that_is_sent_by_the_schema_makes_it_fail(asker, data):
    schema = asker.schema()
    path = data.draw(st.sampled_from(sorted(schema["paths"])))
    (method,) = schema["paths"][path]
    described = schema["paths"][path][method]
    content = described.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    value = data.draw(fitting(content, schema["components"]["schemas"]))
    subject = data.draw(st.sampled_from(["stand-in", "stand-in", "stand-in", "nobody", "-", "a:b"]))
    method = data.draw(st.sampled_from([method.upper()] * 8 + ["GET", "POST"]))
    status, body = asker(method, path.replace("{subject}", subject), json.dumps(value).encode())
    assert status < 500, (path, value, body)
    assert b"Traceback" not in body
    assert b'File "' not in body
    if status != 200:
        answer = json.loads(body)
        assert set(answer) == {"title", "status", "detail"}
        assert answer["status"] == status
        assert "\n" not in answer["detail"]
    assert described["responses"].get(str(status)) or status == 405


@given(st.binary(max_size=300))
@settings(max_examples=150, deadline=None)
def test_f3_10_no_bytes_make_it_fail(asker, body):
    status, said = asker("POST", "/api/subjects/stand-in/views/echo", body)
    assert status in (200, 400, 422)
    assert b"Traceback" not in said


def test_f3_10_the_fuzz_would_see_a_fault(asker):
    with_fault = Asker(FAILING)
    with with_fault.runner:
        status, body = with_fault("POST", "/api/subjects/stand-in/views/fail", b"{}")
    assert status == 500
    assert b"SECRET" not in body
