"""The file of a concept: what the bundled ones are stored in and a person can write, TOML or JSON.

A weekday's file, of which only ``name``, ``values`` and ``templates`` are needed::

    name = "weekdays"
    metric = { name = "circular", period = 7 }
    families = ["circle", "closed spline"]
    templates = ["The meeting is on {}", "We will see each other on {}"]

    [values]
    Monday = 0
    Tuesday = 1

``metric`` may be a name alone. What is known of a value is a number, several (latitude and longitude), ``"#rrggbb"``,
or a path from a root as a list of names. Where nothing is known, ``values`` is a list of labels and there is no metric.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unweave.base.errors import UnweaveError, nearest
from unweave.corpora.text_file import read_text_file
from unweave.shapes.concepts.concept import Concept, Known, Value

_KEYS = ("name", "metric", "families", "templates", "values")
SUFFIXES = (".toml", ".json")


def read_concept(path: str | os.PathLike[str]) -> Concept:
    """The concept of a TOML or JSON file.

    Raises ``UnweaveError``, with the line where there is one, for another ending, text that is not in the format, a key
    that is not known, and whatever ``Concept`` refuses.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise UnweaveError(f"{path} is neither TOML nor JSON by its name: end it in .toml or .json")
    text = read_text_file(path)
    return parse_concept(text, str(path), path.suffix.lower() == ".json")


def parse_concept(text: str, source: str = "text", is_json: bool = False) -> Concept:
    """``read_concept`` of text; ``source`` stands before the line number in errors."""
    try:
        found = json.loads(text) if is_json else tomllib.loads(text)
    except json.JSONDecodeError as error:
        raise UnweaveError(f"{source} line {error.lineno} is not JSON: {error.msg}") from error
    except tomllib.TOMLDecodeError as error:
        raise UnweaveError(f"{source} is not TOML: {error}; correct that line") from error
    return _Reader(text, source, is_json).concept(found)


class _Reader:
    """One file's text, to say where in it something stands."""

    def __init__(self, text: str, source: str, is_json: bool) -> None:
        self.lines, self.source, self.is_json = text.split("\n"), source, is_json

    def concept(self, found: object) -> Concept:
        if not isinstance(found, dict):
            raise UnweaveError(f"{self.source} holds a {type(found).__name__}: give an object with {', '.join(_KEYS)}")
        for key in found:
            if key not in _KEYS:
                raise self.error(key, f"{key!r} is not something that a concept has; {nearest(key, _KEYS)}")
        for key in ("name", "values", "templates"):
            if key not in found:
                raise UnweaveError(f"{self.source} has no {key}: add it, as in name = 'weekdays'")
        name = found["name"]
        if not isinstance(name, str):
            raise self.error("name", f"name is {name!r}: give text")
        metric, options = self._metric(found.get("metric"))
        templates, tried = (self._texts(key, found.get(key, [])) for key in ("templates", "families"))
        values = self._values(found["values"])
        try:
            return Concept(name, values, templates, metric, options, tried)
        except UnweaveError as error:
            raise UnweaveError(f"{self.source}{self._named_in(str(error), values, templates)}: {error}") from error

    def error(self, what: str, message: str) -> UnweaveError:
        return UnweaveError(f"{self.source}{self._line(what)}: {message}")

    def _line(self, what: str) -> str:
        """Where ``what`` first stands, as a whole or in quotes."""
        quoted = json.dumps(what, ensure_ascii=False)
        for number, line in enumerate(self.lines, start=1):
            if quoted in line or line.strip().split("=")[0].strip() == what:
                return f" line {number}"
        return ""

    def _named_in(self, message: str, values: tuple[Value, ...], templates: tuple[str, ...]) -> str:
        named = [each for each in (*(value.label for value in values), *templates) if repr(each) in message]
        return self._line(named[0]) if named else ""

    def _texts(self, key: str, found: object) -> tuple[str, ...]:
        if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
            raise self.error(key, f"{key} is {str(found)[:60]!r}: give a list of texts")
        return tuple(found)

    def _metric(self, found: object) -> tuple[str | None, dict[str, float]]:
        if found is None or isinstance(found, str):
            return found, {}
        if not isinstance(found, dict) or not isinstance(found.get("name"), str):
            raise self.error("metric", f"metric is {found!r}: give a name, or {{ name = 'circular', period = 7 }}")
        options = {key: value for key, value in found.items() if key != "name"}
        for key, value in options.items():
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise self.error("metric", f"{key} of the metric is {value!r}: give a number")
        return found["name"], {key: float(value) for key, value in options.items()}

    def _values(self, found: object) -> tuple[Value, ...]:
        if isinstance(found, list):
            return tuple(Value(label) for label in self._texts("values", found))
        if not isinstance(found, Mapping):
            raise self.error("values", f"values is {str(found)[:60]!r}: give labels, or a place for each label")
        return tuple(Value(str(label), self._known(str(label), known)) for label, known in found.items())

    def _known(self, label: str, known: Any) -> Known:
        if isinstance(known, bool) or not isinstance(known, (int, float, str, list)):
            raise self.error(label, f"{label!r} is {known!r}: give a number, numbers, '#rrggbb' or a path of names")
        if not isinstance(known, list):
            return known if isinstance(known, str) else float(known)
        if known and all(isinstance(each, str) for each in known):
            return tuple(known)
        if known and all(isinstance(each, (int, float)) and not isinstance(each, bool) for each in known):
            return tuple(float(each) for each in known)
        raise self.error(label, f"{label!r} is {known!r}: give numbers only, or names only")
