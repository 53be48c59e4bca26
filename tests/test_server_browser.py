"""The guard against a real browser: the token's exchange, and what pages of other sites can do."""

from __future__ import annotations

import http.server
import logging
import threading

import pytest
from browser import browsing, chromium
from serving import HOSTILE, TOKEN, VIEWS, serving, until

pytestmark = chromium

ASK = """async ([address, method, body, headers]) => {
  try {
    const reply = await fetch(address, {method, headers, body, credentials: "include"});
    return [reply.status, await reply.text()];
  } catch (error) { return [0, String(error)]; }
}"""
ECHO = "/api/subjects/stand-in/views/echo"
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def browser():
    with browsing() as opened:
        yield opened


@pytest.fixture(scope="module")
def server():
    with serving(views=VIEWS) as running:
        yield running


@pytest.fixture
def signed(browser, server):
    """A page that has handed in the token."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{server.origin}/?token={TOKEN}")
    yield page
    context.close()


class _Evil(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>evil</title>")

    def log_message(self, format, *args):
        pass


@pytest.fixture(scope="module")
def evil():
    """Another program's page on this machine: the same site for the browser, and another origin."""
    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Evil)
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{made.server_address[1]}"
    made.shutdown()
    made.server_close()
    thread.join()


def test_f3_05_the_browser_exchanges_the_token_and_keeps_a_strict_cookie(signed, server):
    assert signed.url == f"{server.origin}/"
    (cookie,) = signed.context.cookies()
    assert (cookie["name"], cookie["httpOnly"], cookie["sameSite"]) == (f"unweave-{server.port}", True, "Strict")
    assert signed.evaluate("document.cookie") == ""
    assert signed.evaluate("document.referrer") == ""
    assert TOKEN not in signed.content()
    signed.reload()
    assert signed.evaluate("performance.getEntriesByType('navigation')[0].responseStatus") == 200
    signed.goto(f"{server.origin}/d/stand-in")
    assert signed.evaluate("performance.getEntriesByType('navigation')[0].responseStatus") == 200


def test_a_browser_without_the_token_is_told_what_to_do(browser, server):
    page = browser.new_page()
    assert page.goto(f"{server.origin}/").status == 401
    assert "unweave serve" in page.inner_text("body")
    assert page.goto(f"{server.origin}/?token=wrong").status == 401
    page.close()


def test_the_pages_own_questions_are_answered(signed):
    status, text = signed.evaluate(ASK, [ECHO, "POST", '{"text": "hello"}', JSON])
    assert (status, '"hello"' in text) == (200, True)
    assert signed.evaluate(ASK, ["/api/subjects", "GET", None, {}])[0] == 200


@pytest.fixture
def answered(caplog):
    """Waits for the next requests to the server and gives what they were answered with, by its own log."""
    caplog.set_level(logging.INFO, "unweave.access")

    def wait():
        lines = []

        def asked():
            lines[:] = [record.getMessage().split(" ") for record in caplog.records]
            # A browser also asks for an icon, whenever it likes.
            lines[:] = [line for line in lines if "stand-in" in line[1]]
            return lines

        until(asked, 5)
        caplog.clear()
        return {int(line[2]) for line in lines}

    return wait


def test_f3_02_a_page_of_another_port_reaches_nothing_with_the_cookie(signed, server, evil, answered, caplog):
    signed.goto(evil)
    caplog.clear()
    for method, body, headers in (
        ("GET", None, {}),
        ("POST", "{}", JSON),
        ("POST", "{}", {"Content-Type": "text/plain"}),
        ("DELETE", None, {}),
    ):
        assert signed.evaluate(ASK, [server.origin + ECHO, method, body, headers])[0] == 0
        assert answered() == {403}


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize(
    "attack",
    [
        "address => { location.href = address }",
        "address => { document.body.innerHTML = `<iframe src=${address}></iframe>` }",
        "address => { document.body.innerHTML = `<img src=${address}>` }",
        "address => { const s = document.createElement('script'); s.src = address; document.body.append(s) }",
        "address => { document.body.innerHTML = `<form method=post action=${address}>`; document.forms[0].submit() }",
        "address => { fetch(address, {mode: 'no-cors', credentials: 'include'}).catch(() => 0) }",
        "address => { navigator.sendBeacon(address, new Blob(['{}'], {type: 'text/plain'})) }",
    ],
)
def test_f3_03_whatever_a_page_of_another_port_embeds_or_sends_is_refused(
    signed, server, evil, answered, caplog, name, attack
):
    signed.goto(evil)
    caplog.clear()
    signed.evaluate(attack, f"http://{name}:{server.port}/d/stand-in")
    assert answered() == {403}


def test_f3_08_inline_script_and_markup_from_text_do_not_run(signed):
    said = []
    signed.on("console", lambda message: said.append(message.text))
    signed.evaluate("window.ran = 0")
    signed.evaluate(
        "() => { const s = document.createElement('script'); s.setAttribute('id', 'x');"
        " s.append(document.createTextNode('window.ran = 1')); document.body.append(s) }"
    )
    made = signed.evaluate(
        "text => { try { document.body.innerHTML = text; return 'taken' } catch (error) { return error.name } }",
        HOSTILE,
    )
    assert made == "TypeError"
    assert signed.evaluate("window.ran") == 0
    assert signed.evaluate(ASK, ["http://127.0.0.1:9/", "GET", None, {}])[0] == 0
    assert [line for line in said if "Content Security Policy" in line]


def test_f3_16_a_reply_with_hostile_text_is_no_page(signed, server):
    status, text = signed.evaluate(ASK, ["/api/subjects/stand-in/views/hostile", "POST", "{}", JSON])
    assert status == 200
    assert "<script>" in text
    shown = server.post("hostile", {})
    assert shown.one("content-type") == "application/json"
    assert shown.one("x-content-type-options") == "nosniff"
    assert b"\x1b" not in shown.body
