"""The outermost layer of the server: who may ask, from where, and in what shape, before any of the application runs."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

from unweave.base.terminal import one_line
from unweave.server.accounts import Accounts
from unweave.server.headers import secured
from unweave.server.limits import Gone, Message, Receive, check_json, read_body
from unweave.server.problem import PROBLEM_TYPE, Refused, fault, problem
from unweave.server.settings import ServerSettings

if TYPE_CHECKING:
    from unweave.lab.people import Person

Scope = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

API = "/api/"
PERSON = "unweave.person"
COOKIES = 20
SAFE = ("GET", "HEAD")
METHODS = (*SAFE, "POST")
PATH_LENGTH, QUERY_LENGTH = 1024, 8192
# Printable ASCII without quotes, brackets and backslashes; once decoded no percent sign is left to be decoded again.
_RAW_PATH = re.compile(rb"/(?:[A-Za-z0-9._~!$&()*+,;=:@/-]|%[0-9A-Fa-f]{2})*")
_PATH = re.compile(r"/[A-Za-z0-9._~!$&()*+,;=:@/-]*")
# Where a page of the lab may be opened at once; it begins with one slash, so it is no other server's address.
_INSIDE = re.compile(r"/lab(?:/[a-z0-9][a-z0-9._-]{0,99}){0,4}")
_ODD_SEGMENT = re.compile(r"//|/\.+(?:/|$)")
_ENCODED_SLASH = re.compile(rb"%(?:2f|5c)", re.IGNORECASE)
_FRAMES = (b"iframe", b"frame", b"fencedframe", b"embed", b"object")
_SIGN_IN = (
    b'<!doctype html><html lang="en"><meta charset="utf-8"><title>unweave</title>'
    b'<meta name="viewport" content="width=device-width, initial-scale=1"><h1>This page needs its token</h1>'
    b"<p>Open the URL that <code>unweave serve</code> printed: the token is in it. This browser then stays signed "
    b"in until the server has another token.</p></html>"
)
_log = logging.getLogger("unweave.access")


class Guard:
    """Pure ASGI, for http and websocket: checks address, origin, token and body, and puts headers on every reply.

    The application finds who asks in the scope, under ``PERSON``.
    """

    def __init__(self, app: App, settings: ServerSettings, accounts: Accounts | None = None) -> None:
        self.app = app
        self.settings = settings
        self.accounts = accounts or Accounts(settings)
        self.cookie = f"unweave-{settings.port}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        else:
            raise RuntimeError(f"the server does not speak {scope['type']!r}")

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        began, status, complete = time.perf_counter(), 0, False

        async def secure(message: Message) -> None:
            nonlocal status, complete
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": secured(message.get("headers", ()))}
            await send(message)
            complete = message["type"] == "http.response.body" and not message.get("more_body", False)

        try:
            signed = self._admit(scope)
            if signed is not None:
                location, session = signed
                headers = {"location": location, "set-cookie": self._set_cookie(scope, session)}
                await _reply(secure, 303, b"", "text/plain", headers)
                return
            await self.app(scope, await self._body(scope, receive), secure)
        except Refused as refused:
            if refused.status == 401 and scope["method"] == "GET" and not scope["path"].startswith(API):
                await _reply(secure, 401, _SIGN_IN, "text/html; charset=utf-8", refused.headers)
            else:
                await _reply(
                    secure, refused.status, problem(refused.status, refused.detail), PROBLEM_TYPE, refused.headers
                )
        except Gone:
            pass
        except Exception as error:
            if not status:
                await _reply(secure, 500, fault(error), PROBLEM_TYPE, {})
            elif not complete:  # the application answers for its errors, unless it is in the middle of a reply
                raise
        finally:
            spent = (time.perf_counter() - began) * 1000
            # Without the query, which may hold the token or what a person typed.
            _log.info("%s %s %d %.0f ms", one_line(scope["method"]), one_line(scope["path"]), status, spent)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self._admit(scope)
        except Refused as refused:
            await receive()
            if "websocket.http.response" in scope.get("extensions", {}):
                body, headers = (
                    problem(refused.status, refused.detail),
                    secured([(b"content-type", PROBLEM_TYPE.encode())]),
                )
                await send({"type": "websocket.http.response.start", "status": refused.status, "headers": headers})
                await send({"type": "websocket.http.response.body", "body": body})
            else:
                await send({"type": "websocket.close", "code": 1008})
            return
        await self.app(scope, receive, send)

    def _admit(self, scope: Scope) -> tuple[str, str] | None:
        """Raises ``Refused``; where a token was just handed in, says where to go on, and the session's cookie."""
        headers = _Headers(scope["headers"])
        _check_path(scope)
        origin = self._check_host(headers)
        method = scope.get("method", "websocket")
        _check_source(headers, origin, method)
        # Only where the printed URL leads: other addresses have queries of the page's own.
        if method == "GET" and scope["path"] == "/":
            query = parse_qsl(scope["query_string"].decode("ascii", "replace"), keep_blank_values=True)
            if any(name == "token" for name, _ in query):
                return self._exchange(query)
        scope[PERSON] = self._check_secret(headers, method)
        if method not in METHODS and method != "websocket":
            raise Refused(405, f"{method} is not served here", allow=", ".join(METHODS))
        return None

    def _check_host(self, headers: _Headers) -> bytes:
        given = headers.all(b"host")
        if len(given) != 1 or given[0] not in self.settings.origins:
            what = repr(given[0][:100].decode("latin-1")) if len(given) == 1 else f"given {len(given)} times"
            raise Refused(
                400, f"the Host header is {what}: use the printed URL, or start with --trusted-host NAME[:PORT]"
            )
        return self.settings.origins[given[0]]

    def _exchange(self, query: list[tuple[str, str]]) -> tuple[str, str]:
        given = [value for name, value in query if name == "token"]
        session = self.accounts.session_of(given[0].encode()) if len(given) == 1 else None
        if session is None:
            raise Refused(401, "this is not the server's token: use the URL that it printed when it started")
        wanted = [value for name, value in query if name == "to"]
        if len(wanted) == 1 and _INSIDE.fullmatch(wanted[0]):
            return wanted[0], session
        rest = urlencode([(name, value) for name, value in query if name not in ("token", "to")])
        return f"/?{rest}" if rest else "/", session

    def _set_cookie(self, scope: Scope, session: str) -> str:
        origin = self.settings.origins[_Headers(scope["headers"]).all(b"host")[0]]
        secure = "; Secure" if origin.startswith(b"https:") else ""
        return f"{self.cookie.decode()}={session}; Path=/; HttpOnly; SameSite=Strict{secure}"

    def _check_secret(self, headers: _Headers, method: str) -> Person:
        if headers.all(b"authorization"):
            scheme, _, secret = headers.one(b"authorization").partition(b" ")
            person = self.accounts.of_token(secret.strip()) if scheme.lower() == b"bearer" else None
            if person is None:
                raise _unknown("the Authorization header does not hold the server's token")
            return person
        pairs = [pair.strip().partition(b"=") for pair in headers.one(b"cookie").split(b";")]
        given = [value for name, _, value in pairs if name == self.cookie]
        # Another program on this machine can set a cookie of this name too: any right one will do.
        person = next(filter(None, map(self.accounts.of_session, given[:COOKIES])), None)
        if person is None:
            raise _unknown("open the URL that `unweave serve` printed, or send its token as `Authorization: Bearer`")
        if method not in SAFE and not headers.all(b"origin"):
            raise Refused(403, "a browser names its Origin, and this request does not: send the token as a header")
        return person

    async def _body(self, scope: Scope, receive: Receive) -> Receive:
        if scope["method"] != "POST":
            return receive
        headers = _Headers(scope["headers"])
        _check_type(headers)
        limits = self.settings.limits
        body = await read_body(receive, headers.one(b"content-length") or None, limits)
        check_json(body, limits)
        unread = True

        async def again() -> Message:
            nonlocal unread
            if unread:
                unread = False
                return {"type": "http.request", "body": body, "more_body": False}
            return await receive()

        return again


class _Headers:
    """A request's headers by lower-case name."""

    def __init__(self, pairs: list[tuple[bytes, bytes]]) -> None:
        self.pairs = pairs

    def all(self, name: bytes) -> list[bytes]:
        return [value for given, value in self.pairs if given == name]

    def one(self, name: bytes) -> bytes:
        """The value, empty where there is none; a header that comes twice is refused."""
        values = self.all(name)
        if len(values) > 1:
            raise Refused(400, f"the {name.decode()} header comes {len(values)} times")
        return values[0] if values else b""


def _check_path(scope: Scope) -> None:
    raw = scope.get("raw_path") or b""
    if len(raw) > PATH_LENGTH or len(scope["query_string"]) > QUERY_LENGTH:
        raise Refused(400, "the URL is too long")
    odd = _RAW_PATH.fullmatch(raw) is None or _ENCODED_SLASH.search(raw) or _PATH.fullmatch(scope["path"]) is None
    if odd or _ODD_SEGMENT.search(scope["path"]):
        raise Refused(400, "the path of this URL is not one that this server has")


def _check_source(headers: _Headers, origin: bytes, method: str) -> None:
    """Only this server's own pages, scripts without a browser, and an address that a person opened themselves."""
    given = headers.all(b"origin")
    if given and given != [origin]:
        raise Refused(403, "the request comes from another origin")
    sites = headers.all(b"sec-fetch-site")
    allowed = ([], [b"same-origin"], [b"none"]) if method in SAFE else ([], [b"same-origin"])
    if sites not in allowed or any(dest in _FRAMES for dest in headers.all(b"sec-fetch-dest")):
        raise Refused(403, "the request comes from another site, or from inside a frame")


def _check_type(headers: _Headers) -> None:
    kind, _, parameter = headers.one(b"content-type").lower().partition(b";")
    if kind.strip() != b"application/json" or parameter.strip() not in (b"", b"charset=utf-8", b'charset="utf-8"'):
        raise Refused(415, "send application/json")
    if headers.all(b"content-encoding"):
        raise Refused(415, "send the body as it is, without Content-Encoding")


def _unknown(detail: str) -> Refused:
    return Refused(401, detail, www_authenticate="Bearer")


async def _reply(send: Send, status: int, body: bytes, kind: str, headers: dict[str, str]) -> None:
    listed = {"content-type": kind, "content-length": str(len(body)), **headers}
    pairs = [(name.encode("ascii"), value.encode("ascii")) for name, value in listed.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})
