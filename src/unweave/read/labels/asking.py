"""Questions to a language model: fenced data, JSON answers, a cache by content, and what it all cost."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from unweave.base.endpoint import Endpoint
from unweave.base.errors import UnweaveError
from unweave.base.files import write_json
from unweave.base.settings import cache_folder

Answer = TypeVar("Answer")
LONGEST_ANSWER = 20_000


@dataclass
class Spent:
    """Tokens that an endpoint counted, and their price where the user gave one."""

    price_in: float | None = None
    """Per million tokens of the question."""
    price_out: float | None = None
    calls: int = 0
    cached: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    uncounted: int = 0
    """Calls whose tokens the endpoint did not count."""

    def as_dict(self) -> dict[str, Any]:
        price = None
        if self.price_in is not None and self.price_out is not None and not self.uncounted:
            price = (self.tokens_in * self.price_in + self.tokens_out * self.price_out) / 1e6
        return {
            "calls": self.calls,
            "cached": self.cached,
            "tokens_in": self.tokens_in,
            "tokens_out": self.tokens_out,
            "calls_without_a_count": self.uncounted,
            "price": price,
        }


@dataclass
class Asker:
    """Asks an endpoint for JSON. The same question to the same model is answered from the cache.

    The cache holds answers and counts of tokens, by a hash of model, address and question; no key.
    """

    endpoint: Endpoint
    spent: Spent = field(default_factory=Spent)
    cache: Path | None = None
    most_tokens: int = 2000

    def __post_init__(self) -> None:
        if self.cache is None:
            self.cache = cache_folder("labels")

    def ask(self, system: str, user: str, parse: Callable[[Any], Answer]) -> Answer | None:
        """The parsed answer. ``parse`` raises ``ValueError`` for JSON that is not what was asked for.

        An answer that is no such JSON is asked for once more, with what was wrong; None when that fails too.
        """
        question = user
        for _ in range(2):
            text = self._text(system, question)
            try:
                return parse(read_json_object(text))
            except ValueError as error:
                question = (
                    f"{user}\n\nAn earlier answer to this could not be used ({str(error)[:200]}). "
                    "Answer with the JSON object alone."
                )
        return None

    def _text(self, system: str, user: str) -> str:
        assert self.cache is not None  # noqa: S101  # set on creation
        key = json.dumps([self.endpoint.url, self.endpoint.model, self.most_tokens, system, user])
        digest = hashlib.sha256(key.encode()).hexdigest()
        path = self.cache / digest[:2] / f"{digest}.json"
        kept = _cached(path)
        if kept is not None:
            self.spent.cached += 1
            return kept
        reply = self.endpoint.ask(system, user, self.most_tokens)
        self.spent.calls += 1
        if reply.tokens_in < 0 or reply.tokens_out < 0:
            self.spent.uncounted += 1
        self.spent.tokens_in += max(0, reply.tokens_in)
        self.spent.tokens_out += max(0, reply.tokens_out)
        text = reply.text[:LONGEST_ANSWER].encode("utf-8", "replace").decode()
        write_json(path, {"text": text, "tokens_in": reply.tokens_in, "tokens_out": reply.tokens_out})
        return text


def _cached(path: Path) -> str | None:
    """What the cache holds; a file that is damaged counts as none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    text = value.get("text") if isinstance(value, dict) else None
    return text if isinstance(text, str) else None


def read_json_object(text: str) -> dict[str, Any]:
    """The JSON object of an answer: alone, in a code fence, or after some words. Raises ``ValueError`` for none."""
    fenced = re.search(r"```(?:json)?\s*(\{.*?\})\s*```", text, re.DOTALL)
    candidates = [text.strip(), fenced[1] if fenced else "", text[text.find("{") : text.rfind("}") + 1]]
    for candidate in candidates:
        try:
            value = json.loads(candidate)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            return value
    raise ValueError("it holds no JSON object")


def fence(name: str, lines: list[str]) -> str:
    """Untrusted text as data: numbered JSON strings between marks that it cannot write itself.

    Every line is one JSON string, so that neither a line break nor a closing mark can stand in it.
    """
    body = "\n".join(f"{number}: {plain(line)}" for number, line in enumerate(lines, 1))
    return f"<{name}>\n{body}\n</{name}>"


def plain(text: str) -> str:
    """Text as a JSON string without angle brackets, whatever is in it."""
    shown = json.dumps(text, ensure_ascii=False).replace("<", "\\u003c").replace(">", "\\u003e")
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in shown)


def refuse(condition: bool, what: str) -> None:
    """Raises ``ValueError`` for an answer that is not what was asked for."""
    if condition:
        raise ValueError(what)


def check_prices(price_in: float | None, price_out: float | None) -> None:
    """Raises ``UnweaveError`` for a price alone, or below 0."""
    for name, price in (("--price-in", price_in), ("--price-out", price_out)):
        if price is not None and not 0 <= price < 1e6:
            raise UnweaveError(f"{name} is {price}: give the price of a million tokens, 0 or more")
    if (price_in is None) != (price_out is None):
        raise UnweaveError("one price is given: give both --price-in and --price-out, or neither")
