"""The attacks on the HTTP surface that a local server must bear, by their numbers in the list they were taken from."""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
from urllib.parse import urlencode

import pytest
from serving import FAILING, OTHER_TOKEN, TOKEN, VIEWS, serving, stand_in_app
from starlette.routing import Route, WebSocketRoute

from unweave.base.errors import UnweaveError
from unweave.server import token as tokens
from unweave.server.settings import origin_of

JSON = ("Content-Type", "application/json")
ECHO = "/api/subjects/stand-in/views/echo"


@pytest.fixture(scope="module")
def server():
    with serving(views={**VIEWS, **FAILING}) as running:
        yield running


async def handshake(app, path="/api/live", headers=(), extensions=None):
    """What a websocket handshake is answered with, asked of the application itself."""
    sent = []

    async def receive():
        return {"type": "websocket.connect"}

    async def send(message):
        sent.append(message)

    scope = {
        "type": "websocket",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers],
        "extensions": extensions or {},
    }
    await app(scope, receive, send)
    return sent


def live_app():
    """An application with a websocket, and a list of the handshakes that reached it."""
    reached = []
    guard = stand_in_app()

    async def live(websocket):
        reached.append(websocket)
        await websocket.close()

    guard.app.router.routes.append(WebSocketRoute("/api/live", live))
    return guard, reached


# 1: Host


@pytest.mark.parametrize(
    "host",
    [
        "evil.com",
        "evil.com:{port}",
        "localhost.evil.com:{port}",
        "127.0.0.1.evil.com:{port}",
        "localhost",
        "127.0.0.1",
        "127.0.0.1:1",
        "localhost:{port}0",
        "127.0.0.1:{port}@evil.com",
        "[::2]:{port}",
        "LOCALHOST:{port}",
        "localhost.:{port}",
        "0.0.0.0:{port}",
        "localhost:{port}, evil.com",
    ],
)
def test_f3_01_another_host_is_refused(server, host):
    reply = server.ask("GET", "/api/views", host=host.format(port=server.port))
    assert reply.status == 400
    assert "--trusted-host" in reply.json["detail"]


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "[::1]"])
def test_f3_01_local_names_with_the_right_port_pass(server, name):
    assert server.ask("GET", "/api/views", host=f"{name}:{server.port}").status == 200


def test_f3_01_a_missing_or_doubled_host_is_refused(server):
    assert server.ask("GET", "/api/views", host="").status == 400
    signed = f"Host: {server.host}\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()
    assert server.raw(b"GET /api/views HTTP/1.1\r\n" + signed).status == 200
    assert server.raw(b"GET /api/views HTTP/1.1\r\nHost: evil.com\r\n" + signed).status == 400
    assert server.raw(b"GET /api/views HTTP/1.1\r\nHost: %s\r\n" % server.host.encode() + signed).status == 400
    # HTTP/1.0 needs no Host, and a full URL in the first line may name another than the header.
    assert server.raw(f"GET /api/views HTTP/1.0\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()).status == 400
    assert server.raw(b"GET http://evil.com/api/views HTTP/1.1\r\n" + signed).status == 400


def test_f3_01_a_trusted_host_is_answered_under_its_own_origin_only():
    with serving(trusted=("lab.example.org", "localhost:9000", "https://unweave.example.org")) as server:
        for host, origin in (
            (f"lab.example.org:{server.port}", f"http://lab.example.org:{server.port}"),
            ("localhost:9000", "http://localhost:9000"),
            ("unweave.example.org", "https://unweave.example.org"),
        ):
            assert server.ask("POST", ECHO, JSON, ("Origin", origin), body=b"{}", host=host).status == 200
            assert server.ask("POST", ECHO, JSON, ("Origin", server.origin), body=b"{}", host=host).status == 403
        assert server.ask("GET", "/api/views", host="lab.example.org").status == 400
        reply = server.ask("GET", f"/?token={TOKEN}", host="unweave.example.org", signed=False)
        assert reply.one("set-cookie").endswith("; Secure")


@pytest.mark.parametrize(
    "name", ["", "*", "Evil.com", "a/b", "http://", "ftp://a", "a:99999", "a:0", "a b", "a\n", "https://a/"]
)
def test_a_trusted_host_that_is_no_name_is_refused(name):
    with pytest.raises(UnweaveError, match="is not a name: give NAME, NAME:PORT"):
        origin_of(name, 8765)


def test_the_usual_port_is_left_out_of_host_and_origin_as_browsers_do():
    assert origin_of("localhost", 80) == (b"localhost", b"http://localhost")
    assert origin_of("https://a.org:443", 8765) == (b"a.org", b"https://a.org")
    assert origin_of("[::1]", 8765) == (b"[::1]:8765", b"http://[::1]:8765")


# 2: Origin

FOREIGN = [
    "null",
    "http://127.0.0.1:1",
    "https://127.0.0.1:{port}",
    "http://localhost:{port}.evil.com",
    "",
    "http://evil.com",
    "http://localhost:{port}",
    "http://127.0.0.1:{port}/",
    "HTTP://127.0.0.1:{port}",
    "http://127.0.0.1",
]


@pytest.mark.parametrize("origin", FOREIGN)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"])
def test_f3_02_another_origin_is_refused_on_every_method(server, method, origin):
    reply = server.ask(method, ECHO, JSON, ("Origin", origin.format(port=server.port)))
    assert reply.status == 403


def test_f3_02_a_doubled_origin_is_refused_and_the_right_one_passes(server):
    right = ("Origin", server.origin)
    assert server.post("echo", {}, right).status == 200
    assert server.ask("GET", "/api/views", right).status == 200
    assert server.post("echo", {}, right, right).status == 403
    assert server.post("echo", {}, right, ("Origin", "null")).status == 403


def test_f3_02_a_browser_that_hides_its_origin_cannot_write(server):
    cookie = ("Cookie", server.sign_in())
    assert server.ask("POST", ECHO, JSON, cookie, body=b"{}", signed=False).status == 403
    assert server.ask("POST", ECHO, JSON, cookie, ("Origin", server.origin), body=b"{}", signed=False).status == 200


@pytest.mark.parametrize(
    "origin", ["null", "http://127.0.0.1:1", "https://127.0.0.1:8765", "http://localhost:8765.evil.com"]
)
def test_f3_02_a_websocket_from_another_origin_is_refused(origin):
    guard, reached = live_app()
    signed = [("Host", "127.0.0.1:8765"), ("Authorization", f"Bearer {TOKEN}")]
    sent = asyncio.run(handshake(guard, headers=[*signed, ("Origin", origin)]))
    assert sent == [{"type": "websocket.close", "code": 1008}]
    assert reached == []
    cookie = ("Cookie", f"unweave-8765={guard.accounts.session}")
    asyncio.run(handshake(guard, headers=[("Host", "127.0.0.1:8765"), cookie]))
    assert reached == []
    asyncio.run(handshake(guard, headers=[("Host", "127.0.0.1:8765"), cookie, ("Origin", "http://127.0.0.1:8765")]))
    assert len(reached) == 1


# 3: fetch metadata and content types


@pytest.mark.parametrize("site", ["cross-site", "same-site", "", "Same-Origin", "same-origin, none", "anything"])
def test_f3_03_requests_of_other_sites_are_refused(server, site):
    assert server.ask("GET", "/", ("Sec-Fetch-Site", site)).status == 403
    assert server.ask("GET", f"/?token={TOKEN}", ("Sec-Fetch-Site", site), signed=False).status == 403
    assert server.post("echo", {}, ("Sec-Fetch-Site", site)).status == 403


def test_f3_03_the_pages_own_requests_and_an_address_that_was_typed_pass(server):
    assert server.ask("GET", "/", ("Sec-Fetch-Site", "none")).status == 200
    assert server.ask("GET", "/", ("Sec-Fetch-Site", "same-origin")).status == 200
    assert server.post("echo", {}, ("Sec-Fetch-Site", "same-origin")).status == 200
    assert server.post("echo", {}, ("Sec-Fetch-Site", "none")).status == 403
    assert server.ask("GET", "/", ("Sec-Fetch-Site", "none"), ("Sec-Fetch-Site", "none")).status == 403
    # JupyterHub took no-cors for its own page (CVE-2026-40864): the mode makes no difference here.
    mode = ("Sec-Fetch-Mode", "no-cors")
    assert server.ask("GET", "/", ("Sec-Fetch-Site", "cross-site"), mode).status == 403
    for frame in ("iframe", "frame", "embed", "object", "fencedframe"):
        assert server.ask("GET", "/", ("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Dest", frame)).status == 403


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json; charset=utf-7",
        "application/jsonp",
        "",
        "text/plain; application/json",
        "application/json; charset=utf-8; x=y",
        "application/json,",
    ],
)
def test_f3_03_a_body_that_is_not_json_is_refused(server, kind):
    assert server.ask("POST", ECHO, ("Content-Type", kind), body=b"{}").status == 415


def test_f3_03_a_body_without_a_type_or_with_two_is_refused(server):
    assert server.ask("POST", ECHO, body=b"{}").status == 415
    assert server.ask("POST", ECHO, JSON, JSON, body=b"{}").status == 400
    assert server.ask("POST", ECHO, ("Content-Type", "Application/JSON; charset=UTF-8"), body=b"{}").status == 200


# 4: every route


def paths_of(app):
    """One path for each route, its parameters filled in."""
    for route in app.routes:
        assert isinstance(route, Route | WebSocketRoute), f"{route} is of a kind that this test does not know"
        yield route, re.sub(r"\{[^}]*\}", "stand-in", route.path)


def test_f3_04_every_route_needs_the_token(server):
    walked = list(paths_of(server.app.app))
    assert len(walked) >= len(VIEWS) + 6
    for route, path in walked:
        for method in {*(route.methods or ()), "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"}:
            for headers in ((), (("Cookie", f"unweave-{server.port}=0"),), (("Cookie", "unweave=1; ; =; a"),)):
                reply = server.ask(method, path, *headers, signed=False)
                assert reply.status == 401, (method, path)
        assert server.ask("GET", path, ("Authorization", f"Bearer {OTHER_TOKEN}"), signed=False).status == 401
        assert server.ask("GET", f"{path}?token={OTHER_TOKEN}", signed=False).status == 401
    for path in ("/nothing", "/api/nothing", "/api/openapi.json", "/docs", "/redoc", "/openapi.json", "/static/app.js"):
        assert server.ask("GET", path, signed=False).status == 401


def test_f3_04_every_websocket_needs_the_token():
    guard, reached = live_app()
    sockets = [path for route, path in paths_of(guard.app) if isinstance(route, WebSocketRoute)]
    assert sockets == ["/api/live"]
    for path in [*sockets, "/", "/nothing"]:
        host = ("Host", "127.0.0.1:8765")
        assert asyncio.run(handshake(guard, path, [host]))[0]["type"] == "websocket.close"
        sent = asyncio.run(handshake(guard, path, [host], {"websocket.http.response": {}}))
        assert sent[0]["status"] == 401
        assert (b"x-frame-options", b"DENY") in sent[0]["headers"]
        # The token in the URL is for a person's first visit, never for a socket.
        assert asyncio.run(handshake(guard, path, [host, ("Cookie", f"unweave-8765={TOKEN}")]))[0]["code"] == 1008
    assert reached == []


def test_f3_04_a_handshake_over_the_wire_needs_the_token(server):
    upgrade = (
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    )
    head = "".join(f"{name}: {value}\r\n" for name, value in (("Connection", "Upgrade"), *upgrade))
    reply = server.raw(f"GET /api/live HTTP/1.1\r\nHost: {server.host}\r\n{head}\r\n".encode())
    assert reply.status == 401


def test_f3_04_another_kind_of_connection_never_reaches_the_application():
    with pytest.raises(RuntimeError, match="does not speak 'webtransport'"):
        asyncio.run(stand_in_app()({"type": "webtransport"}, None, None))  # type: ignore[arg-type]


# 5: the token


def test_f3_05_the_first_visit_exchanges_the_token_for_a_strict_cookie(server):
    query = urlencode({"a": "é &", "token": TOKEN, "b": ""})
    reply = server.ask("GET", f"/?{query}", ("Sec-Fetch-Site", "none"), signed=False)
    assert reply.status == 303
    assert reply.one("location") == "/?a=%C3%A9+%26&b="
    assert reply.one("referrer-policy") == "no-referrer"
    assert reply.one("cache-control") == "no-store"
    name, *attributes = reply.one("set-cookie").split("; ")
    assert name.startswith(f"unweave-{server.port}=")
    assert set(attributes) == {"Path=/", "HttpOnly", "SameSite=Strict"}
    assert TOKEN not in str(reply)
    assert server.ask("GET", "/api/views", ("Cookie", f"other=1; {name}"), signed=False).status == 200


def test_f3_05_only_the_right_token_is_exchanged(server):
    for query in (
        "token=",
        f"token={TOKEN[:-1]}",
        f"token={TOKEN}x",
        f"token={TOKEN}&token={TOKEN}",
        f"token={TOKEN}%00",
    ):
        reply = server.ask("GET", f"/?{query}", signed=False)
        assert (reply.status, reply.all("set-cookie")) == (401, [])
    # A name that only ends in token is a query of the page's own.
    assert server.ask("GET", "/?input_token=dog").status == 200
    assert server.ask("GET", "/d/stand-in/text?token=3").status == 200
    assert server.ask("GET", f"/d/stand-in/text?token={TOKEN}", signed=False).status == 401
    # In the API and where something is written, the URL is no place for it.
    assert server.ask("GET", f"/api/views?token={TOKEN}", signed=False).status == 401
    assert server.ask("POST", f"/?token={TOKEN}", signed=False).status == 401


def test_f3_05_a_wrong_header_is_not_saved_by_a_right_cookie(server):
    cookie = ("Cookie", server.sign_in())
    for value in (f"Bearer {OTHER_TOKEN}", TOKEN, f"Basic {TOKEN}", "Bearer", ""):
        assert server.ask("GET", "/api/views", cookie, ("Authorization", value), signed=False).status == 401
    assert server.ask("GET", "/api/views", ("Authorization", f"bearer {TOKEN}"), signed=False).status == 200
    assert server.ask("GET", "/api/views", cookie, cookie, signed=False).status == 400


def test_f3_05_a_cookie_that_another_program_set_beside_ours_does_not_lock_us_out(server):
    cookie = server.sign_in()
    name = cookie.partition("=")[0]
    assert server.ask("GET", "/api/views", ("Cookie", f"{name}=planted; {cookie}"), signed=False).status == 200


def test_f3_05_secrets_are_compared_in_constant_time(monkeypatch):
    compared = []
    real = hmac.compare_digest

    def compare(left, right):
        compared.append((left, right))
        return real(left, right)

    monkeypatch.setattr(tokens.hmac, "compare_digest", compare)
    with serving() as server:
        server.ask("GET", "/api/views")
        cookie = server.sign_in()
        server.ask("GET", "/api/views", ("Cookie", cookie), signed=False)
    secrets = [TOKEN.encode(), TOKEN.encode(), cookie.partition("=")[2].encode()]
    assert [left for left, _ in compared] == secrets
    assert [right for _, right in compared] == secrets


def test_f3_05_the_token_is_in_no_log(caplog):
    with caplog.at_level(logging.DEBUG), serving(views={**VIEWS, **FAILING}) as server:
        server.sign_in()
        server.ask("GET", f"/?token={OTHER_TOKEN}", signed=False)
        server.ask("GET", "/api/views?text=PRIVATE")
        server.post("fail", {"text": "x"})
        server.raw(f"GET /?token={TOKEN} HTTP/9.9\r\n\r\n".encode())
    logged = "\n".join(caplog.text.splitlines()) + "".join(str(record.__dict__) for record in caplog.records)
    lines = [record.getMessage() for record in caplog.records if record.name == "unweave.access"]
    assert [re.sub(r"\d+ ms", "", line) for line in lines] == [
        "GET / 303 ",
        "GET / 401 ",
        "GET /api/views 200 ",
        "POST /api/subjects/stand-in/views/fail 500 ",
        "GET / 400 ",
    ]
    assert TOKEN not in logged
    assert OTHER_TOKEN not in logged
    assert "PRIVATE" not in logged


# 6: rotation


def test_f3_06_another_token_ends_old_sessions():
    with serving(token=TOKEN) as first:
        cookie, port = first.sign_in(), first.port
        assert first.ask("GET", "/api/views", ("Cookie", cookie), signed=False).status == 200
    with serving(token=OTHER_TOKEN, port=port) as second:
        assert second.ask("GET", "/api/views", ("Cookie", cookie), signed=False).status == 401
        assert second.ask("GET", f"/?token={TOKEN}", signed=False).status == 401
        assert second.ask("GET", "/api/views", ("Cookie", second.sign_in()), signed=False).status == 200
    assert tokens.cookie_of(TOKEN, 1) != tokens.cookie_of(TOKEN, 2)
    assert TOKEN not in tokens.cookie_of(TOKEN, 1)


# 8: headers

POLICY = {
    "default-src": "'self'",
    "script-src": "'self'",
    "style-src": "'self'",
    "object-src": "'none'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
    "require-trusted-types-for": "'script'",
}


def replies(server):
    """One reply of every kind, errors that the protocol itself sends among them."""
    yield 200, server.ask("GET", "/")
    yield 200, server.ask("GET", "/static/app.js")
    yield 304, server.ask("GET", "/static/app.js", ("If-None-Match", '"1"'))
    yield 200, server.post("echo", {}, ("Origin", server.origin))
    yield 200, server.ask("GET", "/api/openapi.json")
    yield 303, server.ask("GET", f"/?token={TOKEN}", signed=False)
    yield 400, server.ask("GET", "/", host="evil.com")
    yield 400, server.raw(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
    yield 400, server.raw(b"\x16\x03\x01\x02\x00\x01\r\n\r\n")
    yield 401, server.ask("GET", "/", signed=False)
    yield 401, server.ask("GET", "/api/views", signed=False)
    yield 403, server.ask("GET", "/", ("Origin", "http://evil.com"))
    yield 404, server.ask("GET", "/nothing")
    yield 404, server.ask("GET", "/d/nobody")
    yield 405, server.ask("OPTIONS", ECHO, ("Access-Control-Request-Method", "POST"))
    yield 413, server.post("echo", b"[" + b" " * (1 << 20) + b"]")
    yield 415, server.ask("POST", ECHO, body=b"{}")
    yield 422, server.post("refuse", {})
    yield 422, server.post("echo", {"count": "many"})
    yield 500, server.post("fail", {})


def test_f3_08_every_reply_carries_the_security_headers(server):
    for status, reply in replies(server):
        assert reply.status == status
        policy = dict(part.strip().split(" ", 1) for part in reply.one("content-security-policy").split(";"))
        assert POLICY.items() <= policy.items()
        assert not {"unsafe-inline", "unsafe-eval", "*", "http:", "https:"} & set(" ".join(policy.values()).split())
        assert "blob:" not in str(policy)
        assert reply.one("x-content-type-options") == "nosniff"
        assert reply.one("x-frame-options") == "DENY"
        assert reply.one("referrer-policy") == "no-referrer"
        assert reply.one("cross-origin-opener-policy") == "same-origin"
        assert reply.one("cross-origin-resource-policy") == "same-origin"
        assert reply.one("cache-control") in ("no-store", "private, no-cache")
        names = {name for name, _ in reply.headers}
        assert not [name for name in names if name.startswith("access-control-")]
        assert not names & {"server", "x-powered-by"}
        assert not (status >= 400 and b"Traceback" in reply.body)


def test_f3_08_api_replies_are_never_stored(server):
    for path in ("/api/views", "/api/subjects", "/api/openapi.json", "/api/nothing"):
        assert server.ask("GET", path).one("cache-control") == "no-store"
    assert server.post("echo", {}).one("cache-control") == "no-store"


def test_f3_08_no_origin_is_ever_reflected(server):
    for origin in (server.origin, "http://evil.com"):
        for method in ("GET", "OPTIONS", "POST"):
            reply = server.ask(method, ECHO, JSON, ("Origin", origin), ("Access-Control-Request-Headers", "x"))
            assert not [value for _, value in reply.headers if origin in value or value == "*"]


def ask_behind(app, method="GET"):
    """What is sent when ``app`` answers behind the guard."""
    sent = []

    async def send(message):
        sent.append(message)

    guard = stand_in_app()
    guard.app = app
    headers = [(b"host", b"localhost:8765"), (b"authorization", f"Bearer {TOKEN}".encode())]
    scope = {"type": "http", "method": method, "path": "/", "raw_path": b"/", "query_string": b"", "headers": headers}
    asyncio.run(guard(scope, None, send))  # type: ignore[arg-type]
    return sent


def test_an_application_cannot_weaken_the_headers():
    async def weak(scope, receive, send):
        headers = [(b"X-Frame-Options", b"ALLOWALL"), (b"content-security-policy", b"default-src *")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    listed = ask_behind(weak)[0]["headers"]
    assert [value for name, value in listed if name.lower() == b"x-frame-options"] == [b"DENY"]
    assert not [value for _, value in listed if b"*" in value]


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "BREW", "get"])
def test_other_methods_never_reach_the_application(method):
    async def reached(scope, receive, send):
        pytest.fail("it was reached")

    start, _ = ask_behind(reached, method)
    assert start["status"] == 405
    assert (b"allow", b"GET, HEAD, POST") in start["headers"]


def test_an_application_that_fails_is_a_500_with_the_headers(caplog):
    async def failing(scope, receive, send):
        raise ValueError("SECRET")

    start, body = ask_behind(failing)
    assert start["status"] == 500
    assert (b"x-frame-options", b"DENY") in start["headers"]
    assert b"SECRET" not in body["body"]
    assert "SECRET" in caplog.text


def test_an_application_that_fails_in_the_middle_of_a_reply_breaks_it_off():
    async def failing(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ValueError("SECRET")

    with pytest.raises(ValueError, match="SECRET"):
        ask_behind(failing)
