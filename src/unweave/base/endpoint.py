"""One call to an OpenAI-compatible endpoint, guarded: no redirect, no metadata service, a key from the environment.

The only module that opens a connection, so that another client can take its place.
"""

from __future__ import annotations

import ipaddress
import json
import math
import os
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPMessage, HTTPSConnection
from typing import IO, Any, NamedTuple
from urllib.parse import urlsplit

from unweave.base.errors import UnweaveError
from unweave.base.settings import refuse_when_offline

LARGEST_REPLY = 4 << 20
MOST_CALLS = 32
RETRIED = (408, 409, 429, 500, 502, 503, 504)
ATTEMPTS = 4
LONGEST_WAIT = 30.0
OPTIONAL = ("temperature", "max_tokens", "response_format")
"""What some endpoints refuse to be told, with HTTP 400."""
LONGEST_SAID = 200


class Reply(NamedTuple):
    """What a model said, with the tokens that the endpoint counted; -1 where it counted none."""

    text: str
    tokens_in: int
    tokens_out: int


class Call(NamedTuple):
    """A tool that the model wants called. ``arguments`` is its own text: JSON if it kept to what it was told."""

    id: str
    name: str
    arguments: str


class Turn(NamedTuple):
    """One turn of a conversation: what the model said, the tools it wants called, and the tokens counted (or -1)."""

    text: str
    calls: tuple[Call, ...]
    tokens_in: int
    tokens_out: int


@dataclass(frozen=True)
class Endpoint:
    """Where a language model is asked. ``url`` is the base, as ``https://host/v1``."""

    url: str
    model: str
    key_variable: str | None = None
    """Name of the environment variable that holds the key; none for an endpoint without keys."""
    timeout: float = 120.0
    json_mode: bool = True
    """Asks for ``response_format`` JSON, which some endpoints do not know."""
    _refused: set[str] = field(default_factory=set, init=False, repr=False, compare=False)
    """What this endpoint was found not to take, so that it is told so once only."""

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UnweaveError(
                f"endpoint {self.shown!r} is not an http or https address: give one like https://host/v1"
            )
        if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
            raise UnweaveError(
                "the endpoint's address holds a user name, a password or a query: give the key's variable with "
                "--key-env, and the address without it"
            )
        if not self.model:
            raise UnweaveError("no model is named: give one with --model")
        if not self.timeout > 0:
            raise UnweaveError(f"timeout is {self.timeout}: give seconds above 0")

    @property
    def shown(self) -> str:
        """The address without anything secret that may have been put into it."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{(parts.netloc or '').rpartition('@')[2]}{parts.path}"

    def ask(self, system: str, user: str, most_tokens: int, wait: Callable[[float], None] = time.sleep) -> Reply:
        """One chat completion; tries again after 429, 5xx and broken connections, at most four times.

        After a 400 it asks once more without ``OPTIONAL``, and goes on without where that is answered.

        Raises ``UnweaveError`` when offline is set, when the key's variable is not set, for an address that leads to a
        link-local or metadata service, for a redirect, and when the endpoint goes on failing. No error holds the key.
        """
        extra = {"response_format": {"type": "json_object"}} if self.json_mode else {}
        messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
        found = self._asked(messages, extra, most_tokens, wait)
        return Reply(_text(found, self.shown), *_tokens(found))

    def converse(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]],
        most_tokens: int,
        wait: Callable[[float], None] = time.sleep,
    ) -> Turn:
        """The model's next turn in a conversation in which it may call ``tools`` (functions, as the API has them).

        Raises ``UnweaveError`` as ``ask`` does. What a call asks for is the model's word and is checked by whoever
        does it.
        """
        found = self._asked(messages, {"tools": list(tools)} if tools else {}, most_tokens, wait)
        message = _message(found, self.shown)
        text = message.get("content")
        return Turn(text if isinstance(text, str) else "", _calls(message, self.shown), *_tokens(found))

    def _asked(
        self,
        messages: Sequence[Mapping[str, Any]],
        extra: Mapping[str, Any],
        most_tokens: int,
        wait: Callable[[float], None],
    ) -> dict[str, Any]:
        refuse_when_offline(f"asking {self.shown}")
        key = self._key()
        self._check_name()
        body: dict[str, Any] = {
            "model": self.model,
            "messages": list(messages),
            "temperature": 0,
            "max_tokens": most_tokens,
            **extra,
        }
        plain = {name: value for name, value in body.items() if name not in OPTIONAL}
        if self._refused:
            body = plain
        try:
            return self._answer(body, key, wait)
        except _Refused as refusal:
            if refusal.code != 400 or body is plain:
                raise
        found = self._answer(plain, key, wait)
        self._refused.update(OPTIONAL)
        return found

    def _answer(self, body: dict[str, Any], key: str | None, wait: Callable[[float], None]) -> dict[str, Any]:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return _object(self._post(body, key), self.shown)
            except _Again as failure:
                if attempt == ATTEMPTS:
                    raise UnweaveError(f"{self.shown}: {failure.what}, {ATTEMPTS} times: try again later") from None
                wait(min(LONGEST_WAIT, failure.after if failure.after is not None else 2.0**attempt / 2))
        raise AssertionError("the loop returns or raises")

    def _key(self) -> str | None:
        if self.key_variable is None:
            return None
        key = os.environ.get(self.key_variable, "").strip()
        if not key:
            raise UnweaveError(f"environment variable {self.key_variable} is not set: put the endpoint's key into it")
        if not key.isascii() or not key.isprintable():
            raise UnweaveError(f"environment variable {self.key_variable} does not hold a key: it has odd characters")
        return key

    def _check_name(self) -> None:
        parts = urlsplit(self.url)
        host = parts.hostname or ""
        try:
            found = {info[4][0] for info in socket.getaddrinfo(host, parts.port or 80, type=socket.SOCK_STREAM)}
        except (OSError, UnicodeError):
            raise UnweaveError(f"{self.shown}: the name {host!r} is not known: check the address") from None
        for text in found:
            _check_address(str(text), self.shown)

    def _post(self, body: dict[str, Any], key: str | None) -> bytes:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        address = f"{self.url.rstrip('/')}/chat/completions"
        request = urllib.request.Request(address, json.dumps(body).encode(), headers, method="POST")  # noqa: S310
        # No proxy from the environment either: the key goes to the address that was given and to no other.
        opener = urllib.request.build_opener(_NoRedirect, _Http, _Https, urllib.request.ProxyHandler({}))
        deadline = time.monotonic() + self.timeout
        try:
            with opener.open(request, timeout=self.timeout) as response:
                return _read(response, deadline, self.shown)
        except urllib.error.HTTPError as error:
            with error:
                if 300 <= error.code < 400:
                    raise UnweaveError(
                        f"{self.shown} answers with a redirect ({error.code}), which is not followed so that the key "
                        "goes nowhere else: give the address that it leads to"
                    ) from None
                what = f"HTTP {error.code}"
                if error.code in RETRIED:
                    raise _Again(what, _seconds(error.headers.get("Retry-After"))) from None
                remedy = "check the key" if error.code in (401, 403) else "check the address and the model's name"
                said = _said(error, key)
                raise _Refused(f"{self.shown} refuses with {what}{said}: {remedy}", error.code) from None
        except (TimeoutError, urllib.error.URLError, HTTPException, OSError) as error:
            reason = getattr(error, "reason", error)
            what = (
                "no answer in time" if isinstance(reason, TimeoutError) else f"no connection ({type(reason).__name__})"
            )
            raise _Again(what, None) from None


_METADATA = tuple(ipaddress.ip_address(text) for text in ("169.254.169.254", "100.100.100.200", "fd00:ec2::254"))


def _check_address(text: str, shown: str) -> None:
    """Refuses what only a machine's own metadata service answers, or a network's own devices."""
    address = ipaddress.ip_address(text.partition("%")[0])
    address = getattr(address, "ipv4_mapped", None) or address
    if address.is_link_local or address.is_multicast or address.is_unspecified or address in _METADATA:
        raise UnweaveError(f"{shown} leads to {address}, a link-local or metadata address: refused")


class _Connection(HTTPConnection):
    """Checks whom it has reached before anything is sent: a name may lead elsewhere than when it was looked up."""

    def connect(self) -> None:
        super().connect()
        _check_address(str(self.sock.getpeername()[0]), str(self.host))


class _SecureConnection(HTTPSConnection):
    def connect(self) -> None:
        super().connect()
        _check_address(str(self.sock.getpeername()[0]), str(self.host))


class _Http(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> Any:
        return self.do_open(_Connection, req)


class _Https(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> Any:
        return self.do_open(_SecureConnection, req)


class _Refused(UnweaveError):
    def __init__(self, what: str, code: int) -> None:
        super().__init__(what)
        self.code = code


class _Again(Exception):
    def __init__(self, what: str, after: float | None) -> None:
        super().__init__(what)
        self.what, self.after = what, after


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        return None


def _read(response: Any, deadline: float, shown: str) -> bytes:
    """The body, up to its limit and until the deadline: a server may go on for ever a byte at a time."""
    found = bytearray()
    while True:
        part = response.read1(1 << 16)
        if not part:
            return bytes(found)
        found += part
        if len(found) > LARGEST_REPLY:
            raise UnweaveError(f"{shown} answers with more than {LARGEST_REPLY >> 20} MB: it is no chat endpoint")
        if time.monotonic() > deadline:
            raise TimeoutError


def _said(error: urllib.error.HTTPError, key: str | None) -> str:
    """What the server says of its refusal, in quotes: a line of plain characters without the key, cut short."""
    try:
        text = error.read1(1 << 14).decode("utf-8", "replace")
    except (OSError, HTTPException, ValueError):
        return ""
    try:
        message = json.loads(text)["error"]
        text = message["message"] if isinstance(message, dict) else message
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    line = " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())
    # Cut only once the key is out: a part of one is a secret as well.
    line = line.replace(key, "[key]") if key else line
    return f", {line[:LONGEST_SAID]!r}" if line and line != "{}" else ""


def _object(body: bytes, shown: str) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise _no_chat(shown) from None
    _message(value, shown)
    return value


def _message(value: Any, shown: str) -> dict[str, Any]:
    try:
        message = value["choices"][0]["message"]
        if isinstance(message, dict):
            return message
    except (KeyError, IndexError, TypeError):
        pass
    raise _no_chat(shown)


def _text(value: dict[str, Any], shown: str) -> str:
    text = _message(value, shown).get("content")
    if not isinstance(text, str):
        raise _no_chat(shown)
    return text


def _calls(message: dict[str, Any], shown: str) -> tuple[Call, ...]:
    listed = message.get("tool_calls") or []
    try:
        found = [Call(str(one["id"]), one["function"]["name"], one["function"]["arguments"]) for one in listed]
    except (KeyError, TypeError):
        raise _no_chat(shown) from None
    if len(found) > MOST_CALLS or not all(isinstance(part, str) for one in found for part in one):
        raise _no_chat(shown)
    return tuple(found)


def _no_chat(shown: str) -> UnweaveError:
    return UnweaveError(f"{shown} does not answer as a chat endpoint does: check the address")


def _tokens(value: dict[str, Any]) -> tuple[int, int]:
    usage = value.get("usage")
    counts = usage if isinstance(usage, dict) else {}
    return _count(counts.get("prompt_tokens")), _count(counts.get("completion_tokens"))


def _count(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 40 else -1


def _seconds(text: str | None) -> float | None:
    try:
        seconds = float(text or "")
    except ValueError:
        return None
    return max(0.0, seconds) if math.isfinite(seconds) else None
