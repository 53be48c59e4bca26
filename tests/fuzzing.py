"""Asking an application without a network, and questions made from its schema."""

from __future__ import annotations

import asyncio
import json

from hypothesis import strategies as st
from serving import HOSTILE, TOKEN, StandIn, stand_in_app

from unweave.server.settings import ServerSettings


class Asker:
    """Asks the application itself, without a network, on one event loop."""

    def __init__(self, views, subjects=None, lab=None):
        subjects = subjects or {"stand-in": opened(StandIn())}
        self.app = stand_in_app(ServerSettings(TOKEN, 8765), subjects, views, lab)
        self.runner = asyncio.Runner()

    def __call__(self, method, path, body, query=""):
        return self.runner.run(self._ask(method, path, body, query.encode("ascii")))

    async def _ask(self, method, path, body, query):
        sent, left = [], [{"type": "http.request", "body": body, "more_body": False}]

        async def receive():
            return left.pop() if left else await asyncio.Event().wait()

        async def send(message):
            sent.append(message)

        headers = [(b"host", b"localhost:8765"), (b"authorization", f"Bearer {TOKEN}".encode())]
        headers += [(b"content-type", b"application/json")]
        scope = {"type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": query}
        await self.app({**scope, "headers": headers, "http_version": "1.1", "scheme": "http"}, receive, send)
        return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])

    def schema(self):
        return json.loads(self("GET", "/api/openapi.json", b"")[1])


def opened(subject):
    subject.gate.set()
    return subject


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just(HOSTILE),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


def fitting(schema, parts):
    """A strategy for what ``schema`` describes, with now and then something else in each place."""
    if not isinstance(schema, dict):
        return ANY
    if "$ref" in schema:
        return fitting(parts[schema["$ref"].rpartition("/")[2]], parts)
    if "anyOf" in schema:
        return st.one_of([fitting(each, parts) for each in schema["anyOf"]])
    kind = schema.get("type")
    if kind == "object" and "properties" in schema:
        made = st.fixed_dictionaries({}, optional={k: fitting(v, parts) for k, v in schema["properties"].items()})
    elif kind == "object":
        made = st.dictionaries(
            st.text(max_size=5), fitting(schema.get("additionalProperties") or {}, parts), max_size=3
        )
    else:
        made = {
            "string": st.text(max_size=120),
            "integer": st.integers() | st.integers(0, 1000),
            "number": st.floats() | st.integers(),
            "boolean": st.booleans(),
            "null": st.none(),
            "array": st.lists(fitting(schema.get("items", {}), parts), max_size=60) if kind == "array" else ANY,
        }.get(kind, ANY)
    return st.integers(0, 9).flatmap(lambda dice: ANY if dice == 0 else made)
