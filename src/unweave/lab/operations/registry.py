"""Operations: typed functions ``(lab, person, request) -> response``, registered with one decorator line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict

from unweave.base.errors import UnweaveError

if TYPE_CHECKING:
    from unweave.lab.lab import Lab
    from unweave.lab.people import Person

Scope = Literal["read", "run", "review", "own"]


class Missing(UnweaveError):
    """There is nothing of the id that was asked for."""


class Request(BaseModel):
    """What is asked of an operation; a field that it does not know is refused."""

    model_config = ConfigDict(extra="forbid")


@dataclass(frozen=True)
class Operation:
    """A registered operation. ``scope`` is what its asker must be allowed: see ``unweave.lab.people``.

    ``agent`` ones are offered to the agent's language model. They only read: what a plan leads to is done by the lab.
    """

    name: str
    summary: str
    request: type[Request]
    response: type[BaseModel]
    scope: Scope
    function: Callable[[Lab, Person, Any], BaseModel]
    agent: bool = False


_OPERATIONS: dict[str, Operation] = {}


def operation(
    name: str, summary: str, request: type[Request], response: type[BaseModel], scope: Scope, agent: bool = False
) -> Callable[[Callable[[Lab, Person, Any], BaseModel]], Callable[[Lab, Person, Any], BaseModel]]:
    """Registers a function ``(lab, person, request) -> response``. ``name`` is lower case with ``-``: ``start-run``."""

    def register(function: Callable[[Lab, Person, Any], BaseModel]) -> Callable[[Lab, Person, Any], BaseModel]:
        known = _OPERATIONS.get(name)
        if known is not None and known.function.__module__ != function.__module__:
            raise TypeError(f"operation {name!r} is registered by {known.function.__module__} already")
        _OPERATIONS[name] = Operation(name, summary, request, response, scope, function, agent)
        return function

    return register


def all_operations() -> dict[str, Operation]:
    """Every operation, by name. Each module of ``unweave.lab.operations`` registers some."""
    import unweave.lab.operations as room

    for module in iter_modules(room.__path__):
        import_module(f"unweave.lab.operations.{module.name}")
    return dict(sorted(_OPERATIONS.items()))


def perform(lab: Lab, person: Person, name: str, request: Request) -> Any:
    """Does ``name`` for ``person``: checks the role first, and writes who did it unless it only reads."""
    found = all_operations()[name]
    person.must(found.scope)
    answer = found.function(lab, person, request)
    if found.scope != "read":
        lab.people.record(person, name, request, _subject(request, answer))
    return answer


def _subject(request: Request, answer: Any) -> str:
    """What a deed was done to: the run that was named, else what the answer says was made.

    Empty where neither does, and the record takes it from the request's other ids.
    """
    named = getattr(request, "run", None) or getattr(answer, "thread", None)
    if named is None:
        job = getattr(answer, "job", None) or next(iter(getattr(answer, "jobs", ())), None)
        named = getattr(job, "run", None) or getattr(answer, "sha256", None)
    return named if isinstance(named, str) else ""
