"""The one connection that labels open: what it sends and to whom, and what it refuses."""

from __future__ import annotations

import pytest
from scripted_endpoint import playing

from unweave.base import endpoint as module
from unweave.base.endpoint import ATTEMPTS, OPTIONAL, Endpoint
from unweave.base.errors import UnweaveError

KEY = "sk-secret-0123456789"


@pytest.fixture(autouse=True)
def online(monkeypatch):
    for name in ("UNWEAVE_OFFLINE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LABEL_KEY", KEY)


def ask(play, wait=lambda _: None, **settings):
    return Endpoint(play.url, "model", **{"timeout": 5.0, **settings}).ask("system", "user", 50, wait)


def test_a_good_answer_comes_back_with_the_tokens_it_cost():
    with playing("hello") as play:
        reply = ask(play, key_variable="LABEL_KEY")
    assert reply == ("hello", 100, 10)
    assert play.headers[0]["Authorization"] == f"Bearer {KEY}"
    request = play.requests[0]
    assert [message["content"] for message in request["messages"]] == ["system", "user"]
    assert (request["model"], request["temperature"]) == ("model", 0)
    assert KEY not in str(request)


def test_without_a_variable_no_key_is_sent():
    with playing("hello") as play:
        ask(play)
    assert "Authorization" not in play.headers[0]


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": "many", "completion_tokens": -4}, 7])
def test_tokens_that_are_not_counted_are_said_to_be_unknown(usage):
    with playing("hello", usage=usage) as play:
        assert ask(play) == ("hello", -1, -1)


def test_busy_and_broken_servers_are_asked_again():
    waited = []
    with playing((429, {"Retry-After": "3"}), 500, "hello") as play:
        assert ask(play, waited.append).text == "hello"
    assert waited == [3.0, 2.0]


def test_a_server_that_goes_on_failing_is_given_up_and_no_wait_is_endless():
    waited = []
    with playing((503, {"Retry-After": "1e9"})) as play, pytest.raises(UnweaveError, match="HTTP 503, 4 times"):
        ask(play, waited.append)
    assert len(play.requests) == ATTEMPTS
    assert max(waited) <= module.LONGEST_WAIT


def test_an_endpoint_that_refuses_optional_settings_is_asked_without_them_from_then_on():
    with playing((400, {}, b'{"error": {"message": "max_tokens is not supported"}}'), "hello") as play:
        endpoint = Endpoint(play.url, "model", timeout=5.0)
        assert [endpoint.ask("s", "u", 50).text for _ in range(2)] == ["hello", "hello"]
    told = [set(request) for request in play.requests]
    assert told == [{"model", "messages", *OPTIONAL}, {"model", "messages"}, {"model", "messages"}]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"error": {"message": "no such model\\nof \\u202e\\u001b[31mours"}}', "'no such model of [31mours'"),
        (b'{"error": "too long"}', "'too long'"),
        (b"<html>" + b"x" * 900, "'<html>" + "x" * 194 + "'"),
        (f"bad key {KEY}, {'y' * 180}{KEY}".encode(), "bad key [key], "),
        (b"\xff\xfe", "\N{REPLACEMENT CHARACTER}"),
        (b'{"error": {"message": [1]}}', "[1]"),
    ],
)
def test_what_a_server_says_of_a_refusal_is_told_in_a_line_without_the_key(body, said):
    with playing((400, {}, body)) as play, pytest.raises(UnweaveError) as refusal:
        ask(play, key_variable="LABEL_KEY")
    assert len(play.requests) == 2
    text = str(refusal.value)
    assert said in text
    assert text.isprintable()
    assert KEY[:6] not in text
    assert len(text) < 400


@pytest.mark.parametrize("status", [401, 404])
def test_a_refusal_is_not_asked_again_and_names_no_key(status):
    with playing(status) as play, pytest.raises(UnweaveError, match=f"HTTP {status}") as refusal:
        ask(play, key_variable="LABEL_KEY")
    assert len(play.requests) == 1
    assert KEY not in str(refusal.value)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_f3_22_a_redirect_is_not_followed_and_the_key_goes_nowhere_else(status):
    with playing("stolen") as thief, playing((status, {"Location": "PLACE"})) as play:
        play.answers[0][1]["Location"] = f"{thief.url}/chat/completions"
        with pytest.raises(UnweaveError, match="redirect"):
            ask(play, key_variable="LABEL_KEY")
    assert thief.requests == []


def test_an_answer_without_end_is_cut():
    with playing("flood") as play, pytest.raises(UnweaveError, match="more than 4 MB"):
        ask(play)


@pytest.mark.parametrize("how", ["hang", "drip"])
def test_a_slow_server_is_left_after_the_timeout(how):
    with playing(how) as play, pytest.raises(UnweaveError, match=r"no answer in time, 4 times"):
        ask(play, timeout=0.15)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"choices": []}', b"[" * 100_000, b"\xff"])
def test_what_is_no_chat_answer_is_refused(body):
    with playing(body) as play, pytest.raises(UnweaveError, match="does not answer as a chat endpoint"):
        ask(play)


def test_f3_21_offline_opens_no_connection(monkeypatch):
    monkeypatch.setenv("UNWEAVE_OFFLINE", "1")
    with playing("hello") as play, pytest.raises(UnweaveError, match="offline is set"):
        ask(play)
    assert play.requests == []


@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "ftp://host/v1", "host/v1", "http://", "data:text/plain,x", "http://user:secret@host/v1",
     "https://host/v1?key=secret"],
)  # fmt: skip
def test_f3_22_only_plain_web_addresses_are_taken_and_none_is_said_with_its_secret(url):
    with pytest.raises(UnweaveError) as refusal:
        Endpoint(url, "model")
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize(
    "host", ["169.254.169.254", "[fe80::1]", "[::ffff:169.254.169.254]", "100.100.100.200", "[::]", "2852039166"]
)
def test_f3_22_metadata_and_link_local_addresses_are_refused(host, monkeypatch):
    def connect(*_, **__):
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(module.HTTPConnection, "connect", connect)
    with pytest.raises(UnweaveError, match="link-local or metadata"):
        Endpoint(f"http://{host}/v1", "model").ask("s", "u", 5, lambda _: None)


def test_f3_22_a_name_that_leads_elsewhere_once_connected_gets_no_key(monkeypatch):
    """The name was looked up as a good address, and the connection reached another."""
    real = module._check_address

    def check(text, shown):
        real("169.254.169.254" if text == "127.0.0.1" and check.called else text, shown)
        check.called = True

    check.called = False
    monkeypatch.setattr(module, "_check_address", check)
    with playing("hello") as play, pytest.raises(UnweaveError, match="link-local or metadata"):
        ask(play, key_variable="LABEL_KEY")
    assert play.requests == []


def test_a_missing_or_odd_key_is_refused_before_anything_is_sent(monkeypatch):
    with playing("hello") as play:
        with pytest.raises(UnweaveError, match="NO_SUCH_KEY is not set"):
            ask(play, key_variable="NO_SUCH_KEY")
        monkeypatch.setenv("LABEL_KEY", "two\nlines")
        with pytest.raises(UnweaveError, match="odd characters") as refusal:
            ask(play, key_variable="LABEL_KEY")
    assert "lines" not in str(refusal.value)
    assert play.requests == []


def test_f3_22_a_proxy_of_the_environment_gets_nothing(monkeypatch):
    with playing("stolen") as proxy, playing("hello") as play:
        monkeypatch.setenv("http_proxy", proxy.url)
        assert ask(play, key_variable="LABEL_KEY").text == "hello"
    assert proxy.requests == []


def test_an_unknown_name_is_said():
    with pytest.raises(UnweaveError, match="is not known"):
        Endpoint("http://no-such-host.invalid/v1", "model").ask("s", "u", 5, lambda _: None)
