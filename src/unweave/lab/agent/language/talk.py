"""One conversation that ends in a decision, or is ended: by its turns, its repetitions, its silence or its budget."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from unweave.base.errors import UnweaveError
from unweave.lab.agent.language.tools import Tools, as_data, fault, function

if TYPE_CHECKING:
    from unweave.base.endpoint import Call, Endpoint, Turn
    from unweave.lab.agent.language.meter import Meter

T = TypeVar("T")
LONG_TOKEN = 8
"""Bytes that the tokens of a text have on average at most."""


class TalkedOut(UnweaveError):
    """A conversation ended without a decision; the message says why."""


@dataclass(frozen=True)
class TalkTerms:
    """What one conversation may take, whatever the model wants."""

    turns: int = 16
    refusals: int = 6
    """Calls that were refused, in all."""
    repeats: int = 3
    """The same call with the same arguments again, in all."""
    silences: int = 2
    """Turns without a call."""
    most_tokens: int = 3000


@dataclass(frozen=True)
class Verb(Generic[T]):
    """A call that ends the conversation: its schema, and what makes a decision of it (or refuses)."""

    summary: str
    model: type[BaseModel]
    decide: Callable[[Any], T]


class Talk(Generic[T]):
    """Asks until the model calls one of ``verbs`` with something that they take."""

    def __init__(
        self,
        endpoint: Endpoint,
        tools: Tools,
        meter: Meter | None,
        terms: TalkTerms,
        verbs: Mapping[str, Verb[T]],
    ) -> None:
        self.endpoint = endpoint
        self.tools = tools
        self.meter = meter
        self.terms = terms
        self.verbs = verbs
        self.refused = self.repeated = self.silent = 0
        self.seen: set[tuple[str, str]] = set()
        self.messages: list[dict[str, Any]] = []

    def decide(self, system: str, user: str) -> T:
        """The decision. Raises ``TalkedOut`` when a term is passed, and ``UnweaveError`` when the endpoint fails."""
        self.messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
        functions = self.tools.functions()
        functions += [function(name, verb.summary, verb.model.model_json_schema()) for name, verb in self.verbs.items()]
        for _ in range(self.terms.turns):
            turn = self._ask(functions)
            self.messages.append(_said(turn.text, turn.calls))
            if not turn.calls:
                self.silent += 1
                if self.silent > self.terms.silences:
                    raise TalkedOut(f"the language model talked {self.silent} times without calling anything")
                self.messages.append({"role": "user", "content": f"Call one of: {', '.join(self.verbs)}."})
            for call in turn.calls:
                answer, decision = self._answer(call)
                if decision is not None:
                    return decision
                self.messages.append({"role": "tool", "tool_call_id": call.id, "content": answer})
        raise TalkedOut(f"the language model decided nothing in {self.terms.turns} turns")

    def _ask(self, functions: list[dict[str, Any]]) -> Turn:
        if self.meter is None:
            return self.endpoint.converse(self.messages, functions, self.terms.most_tokens)
        # No token is shorter than a byte, so this many is the most that it can be.
        most_in = len(json.dumps([self.messages, functions], ensure_ascii=False).encode())
        grant = self.meter.reserve(most_in, self.terms.most_tokens)
        used_in, used_out = most_in, self.terms.most_tokens
        try:
            turn = self.endpoint.converse(self.messages, functions, self.terms.most_tokens)
            if turn.tokens_in > 0 and turn.tokens_out >= 0:
                used_in = turn.tokens_in
                # Whatever the endpoint says, its reply was not free.
                used_out = max(turn.tokens_out, min(_least_tokens(turn), used_out))
        finally:
            # A question that failed may have been paid for: what was not counted counts whole.
            self.meter.settle(grant, used_in, used_out)
        return turn

    def _answer(self, call: Call) -> tuple[str, T | None]:
        try:
            arguments = json.loads(call.arguments or "{}")
        except (ValueError, RecursionError):
            return self._refuse("the arguments are not JSON"), None
        if not isinstance(arguments, dict):
            return self._refuse("the arguments are not a JSON object"), None
        key = (call.name, json.dumps(arguments, sort_keys=True))
        if key in self.seen:
            self.repeated += 1
            if self.repeated > self.terms.repeats:
                raise TalkedOut(
                    f"the language model repeated itself {self.repeated} times, last with {call.name[:80]!r}"
                )
        self.seen.add(key)
        try:
            verb = self.verbs.get(call.name)
            if verb is None:
                return as_data(self.tools.call(call.name, arguments)), None
            return "", verb.decide(verb.model.model_validate(arguments))
        except ValidationError as error:
            return self._refuse(fault(error)), None
        except UnweaveError as error:
            return self._refuse(str(error)), None

    def _refuse(self, why: str) -> str:
        self.refused += 1
        if self.refused > self.terms.refusals:
            raise TalkedOut(f"{self.refused} calls of the language model were refused, the last because {why[:300]}")
        return json.dumps({"refused": why[:600]}, ensure_ascii=True)


def _least_tokens(turn: Turn) -> int:
    """The tokens that a reply has at least, by its length."""
    parts = [turn.text, *(part for call in turn.calls for part in (call.name, call.arguments))]
    return math.ceil(sum(len(part.encode("utf-8", "replace")) for part in parts) / LONG_TOKEN)


def _said(text: str, calls: tuple[Call, ...]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": text[:20_000]}
    if calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in calls
        ]
    return message
