from __future__ import annotations

import asyncio
import gzip
import json
import time
from contextlib import suppress

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from serving import TOKEN, read_reply, serving, until

from unweave.server.limits import Gone, check_json, read_body
from unweave.server.problem import Refused
from unweave.server.settings import Limits

SMALL = Limits(body_bytes=64 * 1024, body_seconds=0.6, header_seconds=0.6, depth=8, items=100)


@pytest.fixture(scope="module")
def server():
    with serving(SMALL) as running:
        yield running


def refusal(body, limits=SMALL):
    with pytest.raises(Refused) as caught:
        check_json(body, limits)
    assert caught.value.status == 400
    return caught.value.detail


def alive(server):
    return server.post("echo", {"text": "still here"}).json["text"] == "still here"


def head(server, *lines):
    signed = [f"Host: {server.host}", f"Authorization: Bearer {TOKEN}", "Content-Type: application/json", *lines]
    return "\r\n".join(["POST /api/subjects/stand-in/views/echo HTTP/1.1", *signed, "", ""]).encode()


def test_f3_09_a_body_over_the_limit_is_refused_by_its_length_and_as_it_arrives(server):
    fits = json.dumps({"text": "x"}).encode().ljust(SMALL.body_bytes)
    assert server.post("echo", fits).status == 200
    assert server.post("echo", fits + b" ").status == 413
    path, kind = "/api/subjects/stand-in/views/echo", ("Content-Type", "application/json")
    assert server.ask("POST", path, kind, body=fits, chunked=True).status == 200
    assert server.ask("POST", path, kind, body=fits + b" ", chunked=True).status == 413
    assert server.ask("POST", path, kind, body=b" " * (8 << 20), chunked=True).status == 413
    # A length alone is enough to refuse: nothing of the body is waited for.
    with server.connect() as link:
        link.sendall(head(server, "Content-Length: 999999999999"))
        assert read_reply(link).status == 413
    assert server.raw(head(server, "Content-Length: -1")).status == 400
    assert server.raw(head(server, "Content-Length: 2", "Content-Length: 3"), b"{}").status == 400
    assert server.raw(head(server, "Content-Length: 9" + "9" * 30)).status in (400, 413)
    assert alive(server)


def test_f3_09_no_more_than_the_limit_is_kept_of_a_body_that_never_ends():
    taken = 0

    async def receive():
        nonlocal taken
        taken += 1024
        return {"type": "http.request", "body": b"x" * 1024, "more_body": True}

    with pytest.raises(Refused) as caught:
        asyncio.run(read_body(receive, None, SMALL))
    assert caught.value.status == 413
    assert taken == SMALL.body_bytes + 1024


def test_a_client_that_leaves_in_the_middle_of_its_body_is_dropped():
    async def receive():
        return {"type": "http.disconnect"}

    with pytest.raises(Gone):
        asyncio.run(read_body(receive, b"10", SMALL))


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"a":'])
def test_f3_09_a_hundred_thousand_nested_brackets_are_refused(opening):
    limits = Limits()
    assert "nests more than 32 deep" in refusal(opening * 100_000, limits)
    closing = {b"[": b"]", b'{"a":': b"}", b'[{"a":': b"}]"}[opening]
    whole = opening * 100_000 + b"1" + closing * 100_000
    assert "nests more than 32 deep" in refusal(whole, limits)


def test_f3_09_nesting_is_counted_exactly():
    check_json(b"[" * 8 + b"]" * 8, SMALL)
    assert "nests more than 8 deep" in refusal(b"[" * 9 + b"]" * 9)
    check_json(b'"' + b"[" * 1000 + b'"', SMALL)


def test_f3_09_a_list_of_a_million_elements_is_refused():
    limits = Limits(body_bytes=1 << 23)
    line = refusal(b"[" + b"1," * 999_999 + b"1]", limits)
    assert line == "a list in the body has 1,000,000 elements, and 50,000 is the most"
    check_json(json.dumps([[1] * 100] * 100).encode(), SMALL)
    assert "has 101 elements" in refusal(json.dumps({"a": [0] * 101}).encode())
    assert "has 101 elements" in refusal(json.dumps({str(number): 0 for number in range(101)}).encode())


def test_f3_09_the_largest_body_is_checked_in_linear_time():
    limits = Limits()
    for body in (
        b"[" * (1 << 20),
        b"[" + b"[]," * 49_999 + b"[]]",
        b'"' + b'\\"' * (1 << 19),
        b'["' + b"\\ud83d\\ude00" * 80_000 + b'"]',
    ):
        began = time.perf_counter()
        passes_or_is_refused(body, limits)
        assert time.perf_counter() - began < 10


def passes_or_is_refused(body, limits):
    with suppress(Refused):
        check_json(body, limits)


def test_f3_09_a_gzip_bomb_is_not_unpacked(server):
    bomb = gzip.compress(b" " * (32 << 20))
    assert len(bomb) < SMALL.body_bytes
    assert server.post("echo", bomb, ("Content-Encoding", "gzip")).status == 415
    assert server.post("echo", bomb).status == 400
    for coding in ("deflate", "br", "identity", "gzip, identity"):
        assert server.post("echo", b"{}", ("Content-Encoding", coding)).status == 415
    assert server.raw(head(server, "Transfer-Encoding: gzip, chunked"), b"0\r\n\r\n").status in (400, 501)
    assert alive(server)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nul",
        b"\xff",
        b"\xef\xbb\xbf{}",
        b'{"a":1}x',
        b'{"a":1e999}',
        b"[NaN]",
        b"[Infinity]",
        b"[-Infinity]",
        b'{"text":"\\ud800"}',
        b'{"\\udfff":1}',
        b"9" * 5000,
        "{}".encode("utf-16"),
        b"{'a':1}",
    ],
)
def test_what_is_not_finite_unicode_json_is_refused(server, body):
    reply = server.post("echo", body)
    assert reply.status == 400
    assert reply.one("content-type") == "application/problem+json"


def test_pairs_of_surrogates_are_a_character(server):
    assert server.post("echo", b'{"text":"\\ud83d\\ude00"}').json["text"] == "\U0001f600"


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(st.characters(exclude_categories=["Cs"])),
        lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=5),
    )
)
@settings(max_examples=100, deadline=None)
def test_json_of_a_bearable_shape_passes(value):
    check_json(json.dumps(value).encode(), Limits())


@given(st.binary(max_size=200))
@example(b'{"a": ' * 40)
@settings(max_examples=200, deadline=None)
def test_any_bytes_pass_or_are_refused_with_a_line(body):
    passes_or_is_refused(body, SMALL)


def closed_within(link, seconds):
    """Whether the server hangs up, or answers, in that time."""
    link.settimeout(seconds)
    try:
        return link.recv(65536)
    except ConnectionResetError:
        return b""


def test_f3_09_a_client_that_sends_no_request_is_hung_up_on(server):
    with server.connect() as link:
        assert closed_within(link, 5) == b""
    with server.connect() as link:
        link.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
        assert closed_within(link, 5) == b""


def test_f3_09_a_request_that_trickles_in_is_hung_up_on(server):
    began = time.monotonic()
    with server.connect() as link, suppress(BrokenPipeError, ConnectionResetError, ConnectionAbortedError):
        while time.monotonic() - began < 10:
            link.sendall(b"X")
            time.sleep(0.05)
    assert time.monotonic() - began < 5
    # The second request on a connection has no more time than the first.
    with server.connect() as link:
        link.sendall(
            f"GET /api/views HTTP/1.1\r\nHost: {server.host}\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()
        )
        assert read_reply(link).status == 200
        link.sendall(b"GET / HT")
        assert closed_within(link, 5) == b""
    assert alive(server)


def test_f3_09_a_body_that_trickles_in_is_refused(server):
    with server.connect() as link:
        link.sendall(head(server, "Content-Length: 1000"))
        for _ in range(6):
            link.sendall(b" ")
            time.sleep(0.05)
        reply = read_reply(link)
    assert reply.status == 408
    assert reply.one("connection") == "close"
    assert alive(server)


def test_f3_09_a_slow_view_is_waited_for_however_short_the_deadlines(server):
    import threading

    subject = server.subjects["stand-in"]
    subject.gate.clear()
    threading.Timer(1.5, subject.gate.set).start()
    assert server.post("slow", {}).json["text"] == "True"


def test_f3_09_connections_beyond_the_limit_are_hung_up_on_and_the_others_served():
    with serving(Limits(connections=5, header_seconds=60)) as crowded:
        links = [crowded.connect() for _ in range(10)]
        try:
            for link in links[5:]:
                assert closed_within(link, 5) == b""
            for link in links[:5]:
                request = f"GET /api/views HTTP/1.1\r\nHost: {crowded.host}\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
                link.sendall(request.encode())
                assert read_reply(link).status == 200
        finally:
            for link in links:
                link.close()
        until(lambda: answers(crowded))


def answers(server):
    with suppress(ConnectionError):
        return alive(server)
    return False


def test_f3_09_a_head_without_end_is_refused(server):
    line = b"GET / HTTP/1.1\r\nHost: " + server.host.encode() + b"\r\n"
    assert server.raw(line + b"X-Long: " + b"x" * 100_000).status == 400
    assert server.ask("GET", "/" + "a" * 2000).status == 400
    assert server.ask("GET", "/?" + "a" * 9000).status == 400
    assert alive(server)
