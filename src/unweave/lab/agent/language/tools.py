"""The lab's operations as a planner may call them: typed, checked, reading only. Runs come of its plan alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import ValidationError

from unweave.base.errors import UnweaveError, nearest

if TYPE_CHECKING:
    from unweave.lab.lab import Lab
    from unweave.lab.people import Person

LONGEST = 12_000
LONGEST_TEXT = 400


class Tools(Protocol):
    """What may be looked up while planning."""

    def functions(self) -> list[dict[str, Any]]:
        """Each as the chat API describes a function."""
        ...

    def call(self, name: str, arguments: Mapping[str, Any]) -> Any:
        """The answer as plain JSON. Raises ``UnweaveError`` for a call that is refused."""
        ...


class NoTools:
    """Nothing may be looked up."""

    def functions(self) -> list[dict[str, Any]]:
        """None."""
        return []

    def call(self, name: str, arguments: Mapping[str, Any]) -> Any:
        """Refused."""
        raise UnweaveError(f"there is no tool {name[:80]!r}")


class LabTools:
    """The reading operations that are marked for agents, done as a person whose role the lab checks each time."""

    def __init__(self, lab: Lab, person: Person) -> None:
        from unweave.lab.operations.registry import all_operations

        self.lab = lab
        self.person = person
        self.offered = {
            _function(name): one
            for name, one in all_operations().items()
            if one.agent and one.scope == "read" and person.may("read")
        }

    def functions(self) -> list[dict[str, Any]]:
        """Names, summaries and schemas of the requests."""
        return [function(name, one.summary, one.request.model_json_schema()) for name, one in self.offered.items()]

    def call(self, name: str, arguments: Mapping[str, Any]) -> Any:
        """Does one operation, by name."""
        from unweave.lab.operations.registry import perform

        if name not in self.offered:
            raise UnweaveError(f"there is no tool {name[:80]!r}; {nearest(name[:80], self.offered)}")
        one = self.offered[name]
        try:
            request = one.request.model_validate(dict(arguments))
        except ValidationError as error:
            raise UnweaveError(fault(error)) from error
        return perform(self.lab, self.person, one.name, request).model_dump(mode="json")


def function(name: str, summary: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """A function as the chat API describes one."""
    return {"type": "function", "function": {"name": name, "description": summary, "parameters": dict(schema)}}


def fault(error: ValidationError) -> str:
    """The first fault of a value in a line that says where."""
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "the arguments"
    return f"{where}: {first['msg'].removeprefix('Value error, ')}"


def as_data(value: Any, longest: int = LONGEST) -> str:
    """A value as one line of JSON that is data to whoever reads it: each text cut, everything beyond ASCII escaped.

    Names, labels, logs and notes come from others. Escaped and quoted they cannot end the JSON they stand in; that
    nothing in them is done is the lab's part, which takes no words but typed calls.
    """
    text = json.dumps({"data": _cut(value)}, ensure_ascii=True, separators=(",", ":"), default=str)
    text = text.replace("<", "\\u003c").replace(">", "\\u003e")
    if len(text) <= longest:
        return text
    kept = json.dumps(text[: longest // 2], ensure_ascii=True)
    return f'{{"cut":true,"said":"too long to be shown whole: ask for less","beginning":{kept}}}'


def _cut(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= LONGEST_TEXT else value[:LONGEST_TEXT] + "…"
    if isinstance(value, Mapping):
        return {str(key): _cut(found) for key, found in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
        return [_cut(found) for found in value]
    return value


def _function(name: str) -> str:
    return name.replace("-", "_")
