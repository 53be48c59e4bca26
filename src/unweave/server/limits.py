"""Request bodies within limits: bytes counted as they arrive, time, and the shape of the JSON."""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from unweave.server.problem import Refused
from unweave.server.settings import Limits

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


class Gone(Exception):
    """The client went away before its request had arrived."""


async def read_body(receive: Receive, length: bytes | None, limits: Limits) -> bytes:
    """A request's whole body. Raises ``Refused``: 413 when it is too long, 408 when it takes too long."""
    if length is not None and (not length.isdigit() or len(length) > 12 or int(length) > limits.body_bytes):
        raise _too_long(limits)
    body = bytearray()
    try:
        async with asyncio.timeout(limits.body_seconds):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Gone
                body += message.get("body", b"")
                if len(body) > limits.body_bytes:
                    raise _too_long(limits)
                if not message.get("more_body", False):
                    return bytes(body)
    except TimeoutError:
        raise Refused(
            408, f"the request did not arrive within {limits.body_seconds:g} seconds", connection="close"
        ) from None


def check_json(body: bytes, limits: Limits) -> None:
    """Raises ``Refused`` (400) unless ``body`` is JSON of a bearable shape with finite numbers and valid Unicode."""
    try:
        value = json.loads(body.decode("utf-8"))
    except RecursionError:
        raise _too_deep(limits) from None
    except ValueError:
        raise Refused(400, "the body is not valid JSON") from None
    texts = _SURROGATE.search(body) is not None
    level, depth = [value], 0
    while level:
        holders = [one for one in level if isinstance(one, (dict, list))]
        depth += bool(holders)
        if depth > limits.depth:
            raise _too_deep(limits)
        for one in level:
            if isinstance(one, float) and not math.isfinite(one):
                raise Refused(400, f"the body holds {one}, which is not a number that JSON has")
            if texts and isinstance(one, str) and any("\ud800" <= character <= "\udfff" for character in one):
                raise Refused(400, "a text in the body is not valid Unicode")
        level = []
        for one in holders:
            if len(one) > limits.items:
                raise Refused(400, f"a list in the body has {len(one):,} elements, and {limits.items:,} is the most")
            level += [*one, *one.values()] if isinstance(one, dict) else one


def _too_long(limits: Limits) -> Refused:
    return Refused(413, f"the body is longer than {limits.body_bytes:,} bytes")


def _too_deep(limits: Limits) -> Refused:
    return Refused(400, f"the body nests more than {limits.depth} deep")
