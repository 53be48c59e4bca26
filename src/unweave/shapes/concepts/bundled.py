"""The concepts that come with the package; see ``data/NOTICE.txt`` for where their values are from."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path

from unweave.base.errors import UnweaveError, nearest, oserror_line
from unweave.shapes.concepts.concept import Concept
from unweave.shapes.concepts.layout import SUFFIXES, parse_concept, read_concept
from unweave.shapes.concepts.names import BUNDLED


@cache
def bundled_concept(name: str) -> Concept:
    """A bundled concept; raises ``UnweaveError`` for a name that there is none of."""
    if name not in BUNDLED:
        raise UnweaveError(
            f"no concept {name!r} comes with the package; {nearest(name, BUNDLED)}. One of your own is a file that "
            "ends in .toml or .json"
        )
    path = files("unweave.shapes.concepts") / "data" / f"{name}.toml"
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise oserror_line(error, path) from error
    return parse_concept(text, f"{name}.toml")


def find_concept(name: str) -> Concept:
    """A bundled concept by its name, or that of a TOML or JSON file by its path."""
    return read_concept(name) if Path(name).suffix.lower() in SUFFIXES else bundled_concept(name)
