"""A real server on a free port with stand-in subjects and views, and a client that sends bytes as they are."""

from __future__ import annotations

import json
import math
import socket
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict, Field

from unweave.base.errors import UnweaveError
from unweave.base.views import View
from unweave.server.app import make_app
from unweave.server.guard import Guard
from unweave.server.serve import bind, make_server
from unweave.server.settings import Limits, ServerSettings
from unweave.server.static import StaticFile, bundled_static

TOKEN = "t0ken-" + "x" * 37
OTHER_TOKEN = "0ther-" + "y" * 37
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\u202e\x1b]0;owned\x07\x1b[2J=1+1"


class Question(BaseModel):
    """A question with a field of every usual kind."""

    model_config = ConfigDict(extra="forbid")
    text: str = Field("", max_length=100)
    count: int = Field(1, ge=0, le=1000)
    factor: float | None = None
    names: list[str] = Field(default_factory=list, max_length=50)
    mode: str = "plain"
    rows: dict[str, list[int]] = Field(default_factory=dict)


class Answer(BaseModel):
    """An answer."""

    text: str
    number: float | None = None
    more: dict[str, Any] = Field(default_factory=dict)


@dataclass
class StandIn:
    """A subject that remembers how many views were on it at once."""

    title: str = "Stand-in"
    lock: Any = field(default_factory=threading.RLock)
    counting: Any = field(default_factory=threading.Lock)
    gate: threading.Event = field(default_factory=threading.Event)
    now: int = 0
    most: int = 0
    asked: int = 0

    def summary(self) -> dict[str, Any]:
        return {"features": 3, "target": "polyglot", "kind": "subcomponents"}


class Damaged(StandIn):
    def summary(self) -> dict[str, Any]:
        raise UnweaveError("its harvest.json is damaged: harvest again")


def echo(subject: StandIn, question: Question) -> Answer:
    return Answer(text=question.text, number=question.factor, more={"names": question.names, "rows": question.rows})


def hostile(subject: StandIn, question: Question) -> Answer:
    return Answer(text=HOSTILE)


def endless(subject: StandIn, question: Question) -> Answer:
    return Answer(text="x", number=math.nan, more={"list": [math.inf, {"x": math.nan}]})


def refuse(subject: StandIn, question: Question) -> Answer:
    raise UnweaveError(f"feature {question.text!r} is not in this subject;\nnearest: 'h.0:1'")


def fail(subject: StandIn, question: Question) -> Answer:
    raise ValueError(f"SECRET-OF-THE-TRACEBACK {question.text}")


def mistype(subject: StandIn, question: Question) -> Any:
    return {"text": "not the model"}


def slow(subject: StandIn, question: Question) -> Answer:
    """Waits until the test opens the gate."""
    with subject.counting:
        subject.asked += 1
        subject.now += 1
        subject.most = max(subject.most, subject.now)
    opened = subject.gate.wait(20)
    with subject.counting:
        subject.now -= 1
    return Answer(text=str(opened))


_KINDS = {"echo": echo, "hostile": hostile, "endless": endless, "refuse": refuse, "mistype": mistype, "slow": slow}
VIEWS = {
    **{name: View(name, f"What {name} does", Question, Answer, function) for name, function in _KINDS.items()},
    "alone": View("alone", "As slow, alone on its subject", Question, Answer, slow, exclusive=True),
}
FAILING = {"fail": View("fail", "Has a fault", Question, Answer, fail)}


def stand_in_app(
    settings: ServerSettings | None = None,
    subjects: dict[str, Any] | None = None,
    views: dict[str, View] | None = None,
    lab: Any = None,
) -> Guard:
    page = {**bundled_static(), "app.js": StaticFile(b"export const loaded = true;\n", "text/javascript", '"1"')}
    return make_app(
        subjects if subjects is not None else {"stand-in": StandIn()},
        settings or ServerSettings(TOKEN, 8765),
        VIEWS if views is None else views,
        page,
        lab,
    )


@dataclass
class Reply:
    """A reply as it came: every header line, in order."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def all(self, name: str) -> list[str]:
        return [value for given, value in self.headers if given == name]

    def one(self, name: str) -> str:
        (value,) = self.all(name)
        return value

    @property
    def json(self) -> Any:
        return json.loads(self.body, parse_constant=lambda name: 1 / 0)


@dataclass
class Server:
    """A server that runs in a thread of this process."""

    port: int
    token: str
    app: Guard
    subjects: dict[str, Any]

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def origin(self) -> str:
        return f"http://{self.host}"

    def connect(self, timeout: float = 20.0) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=timeout)

    def raw(self, *pieces: bytes) -> Reply:
        """Sends exactly these bytes and reads one reply. A server that hangs up on the rest is no failure."""
        with self.connect() as link:
            for piece in pieces:
                try:
                    link.sendall(piece)
                except (BrokenPipeError, ConnectionResetError):
                    break
            return read_reply(link)

    def ask(
        self,
        method: str,
        path: str,
        *headers: tuple[str, str],
        body: bytes | None = None,
        host: str | None = None,
        signed: bool = True,
        chunked: bool = False,
    ) -> Reply:
        """One request, signed by the token in a header unless ``signed`` is False; a host of '' leaves Host out."""
        lines = [f"{method} {path} HTTP/1.1"]
        lines += [f"Host: {self.host if host is None else host}"] if host != "" else []
        lines += [f"Authorization: Bearer {self.token}"] if signed else []
        lines += [f"{name}: {value}" for name, value in headers]
        if body is not None:
            lines += ["Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}"]
        head = "\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1")
        if chunked and body is not None:
            parts = [body[start : start + 4096] for start in range(0, len(body), 4096)]
            body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
        return self.raw(head, body or b"")

    def post(self, view: str, question: Any, *headers: tuple[str, str], subject: str = "stand-in") -> Reply:
        body = question if isinstance(question, bytes) else json.dumps(question).encode()
        path = f"/api/subjects/{subject}/views/{view}"
        return self.ask("POST", path, ("Content-Type", "application/json"), *headers, body=body)

    def look(self, operation: str, *headers: tuple[str, str], **fields: Any) -> Reply:
        """An operation of the lab that only reads."""
        query = urlencode(fields, doseq=True)
        signed = not any(name in ("Authorization", "Cookie") for name, _ in headers)
        return self.ask("GET", f"/api/lab/{operation}{query and '?' + query}", *headers, signed=signed)

    def act(self, operation: str, *headers: tuple[str, str], **fields: Any) -> Reply:
        """An operation of the lab that changes something."""
        body = json.dumps(fields).encode()
        signed = not any(name in ("Authorization", "Cookie") for name, _ in headers)
        kind = ("Content-Type", "application/json")
        return self.ask("POST", f"/api/lab/{operation}", kind, *headers, body=body, signed=signed)

    def sign_in(self, token: str | None = None) -> str:
        """The cookie, as a browser sends it back."""
        reply = self.ask("GET", f"/?token={token or self.token}", ("Sec-Fetch-Site", "none"), signed=False)
        assert reply.status == 303, reply
        return reply.one("set-cookie").partition(";")[0]


def read_reply(link: socket.socket) -> Reply:
    """One reply from a connection, to its end by Content-Length or the close."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = link.recv(65536)
        if not piece:
            raise ConnectionError(f"the server hung up after {data!r}")
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    length = next((int(value) for name, value in headers if name == "content-length"), None)
    while length is None or len(body) < length:
        piece = link.recv(65536)
        if not piece:
            break
        body += piece
    return Reply(int(first.split(" ")[1]), headers, body)


@contextmanager
def serving(
    limits: Limits | None = None,
    token: str = TOKEN,
    port: int = 0,
    trusted: tuple[str, ...] = (),
    subjects: dict[str, Any] | None = None,
    views: dict[str, View] | None = None,
    lab: Any = None,
    make: Callable[[ServerSettings], Guard] | None = None,
):
    """A running server, of what ``make`` makes if it is given; it is stopped, and its thread joined, at the end."""
    bound = bind("127.0.0.1", port)
    subjects = {"stand-in": StandIn()} if subjects is None else subjects
    settings = ServerSettings(token, bound.getsockname()[1], trusted, limits or Limits())
    app = stand_in_app(settings, subjects, views, lab) if make is None else make(settings)
    server = make_server(app, settings)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    until(lambda: server.started)
    try:
        yield Server(settings.port, token, app, subjects)
    finally:
        for subject in subjects.values():
            subject.gate.set()
        server.should_exit = True
        thread.join(20)
        bound.close()
        assert not thread.is_alive()


def until(true: Any, seconds: float = 20.0) -> None:
    """Waits until ``true()``, and fails when it does not come."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.01)
