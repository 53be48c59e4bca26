"""Configs: frozen dataclasses made from text or JSON, checked by their types, and described to a person."""

from __future__ import annotations

import ast
import inspect
import types
import typing
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from functools import lru_cache
from itertools import pairwise
from textwrap import dedent
from typing import Any

from unweave.base.errors import UnweaveError, nearest


@dataclass(frozen=True)
class Field:
    """One field of a config as a person reads it; ``meaning`` is the docstring under the field."""

    name: str
    type: str
    default: Any
    required: bool
    meaning: str


def parse_settings(assignments: Iterable[str]) -> dict[str, str]:
    """``["language=fr", "tokens=4,64"]`` as a dictionary of text; ``typed_config`` reads the values."""
    settings: dict[str, str] = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        name = name.strip()
        if not equals or not name:
            raise UnweaveError(f"setting {assignment!r} is not of the form field=value")
        if name in settings:
            raise UnweaveError(f"{name} is set twice, to {settings[name]!r} and to {value!r}: leave out one")
        settings[name] = value.strip()
    return settings


def typed_config(config: type, settings: Mapping[str, Any], owner: str) -> Any:
    """The dataclass ``config`` from settings by field name; what is not set has its default.

    Values are typed already, or text as on a command line: where the field holds a sequence, commas part its items
    (and one item needs none); where it may be missing, ``none`` is None; all else is read by the field's type.
    Raises ``UnweaveError`` naming ``owner``, the field, the value and what it should be.
    """
    from pydantic import ValidationError

    known = [field.name for field in fields(config)]
    for name in settings:
        if name not in known:
            raise UnweaveError(f"{owner} has no field {name!r}; {nearest(name, known)}")
    hints = typing.get_type_hints(config)
    try:
        return _adapter(config).validate_python(
            {name: _from_text(value, hints[name]) for name, value in settings.items()}
        )
    except ValidationError as error:
        raise UnweaveError(f"{owner}: {_first_fault(error.errors(include_url=False), settings)}") from error


def plain_config(config: Any) -> dict[str, Any]:
    """A config as JSON values; ``typed_config`` gives the same config back from them."""
    return _adapter(type(config)).dump_python(config, mode="json")


def config_fields(config: type) -> list[Field]:
    """Name, type, default and meaning of each field of a dataclass, in order."""
    meanings = _meanings(config)
    described = []
    for field in fields(config):
        factory = field.default_factory
        default = factory() if factory is not MISSING else None if field.default is MISSING else field.default
        required = factory is MISSING and field.default is MISSING
        kind = field.type if isinstance(field.type, str) else getattr(field.type, "__name__", str(field.type))
        described.append(Field(field.name, kind, default, required, meanings.get(field.name, "")))
    return described


@lru_cache(maxsize=64)
def _adapter(config: type) -> Any:
    # Made once a type: a sweep asks for it thousands of times.
    from pydantic import TypeAdapter

    return TypeAdapter(config)


def _meanings(config: type) -> dict[str, str]:
    # Python keeps no docstrings of fields, so they are read from the class's source, and its bases' before it.
    inherited = {name: meaning for base in reversed(config.__bases__) for name, meaning in _meanings(base).items()}
    try:
        body = ast.parse(dedent(inspect.getsource(config))).body[0]
    except (OSError, TypeError, SyntaxError):
        return inherited
    found = inherited
    statements = body.body if isinstance(body, ast.ClassDef) else []
    for field, below in pairwise(statements):
        if not (isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)):
            continue
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) and isinstance(below.value.value, str):
            found[field.target.id] = " ".join(below.value.value.split())
    return found


def _from_text(value: Any, hint: Any) -> Any:
    if not isinstance(value, str):
        return value
    kinds = list(_alternatives(hint))
    if type(None) in kinds and value.lower() in ("none", "null"):
        return None
    sequences = [kind for kind in kinds if _is_sequence(kind)]
    if not sequences or str in kinds:
        return value
    scalars = [kind for kind in kinds if kind not in sequences and kind is not type(None)]
    if scalars and "," not in value:
        return value
    return [item.strip() for item in value.split(",") if item.strip()]


def _alternatives(hint: Any) -> Iterator[Any]:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        for member in typing.get_args(hint):
            yield from _alternatives(member)
    else:
        yield hint


def _is_sequence(kind: Any) -> bool:
    kind = typing.get_origin(kind) or kind
    return isinstance(kind, type) and issubclass(kind, Collection) and not issubclass(kind, (str, bytes, Mapping))


def _first_fault(faults: list[Any], settings: Mapping[str, Any]) -> str:
    fault = faults[0]
    if not fault["loc"]:
        return str(fault["msg"]).removeprefix("Value error, ")
    name, *inside = fault["loc"]
    if fault["type"] == "missing" and not inside:
        return f"{name} has no default: give {name}=VALUE"
    # A union fails once for each of its members, and the last ones say nothing new.
    message = str(fault["msg"]).removeprefix("Value error, ")
    return f"{name} is {settings.get(name)!r}: {message[:1].lower()}{message[1:]}"
