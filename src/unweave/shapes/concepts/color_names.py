"""Names of colours, from the table of the npm package ``color-name-list``."""

from __future__ import annotations

import csv
import io
import os

from unweave.base.errors import UnweaveError
from unweave.corpora.text_file import read_text_file
from unweave.shapes.concepts.color import is_hex


def read_color_names(path: str | os.PathLike[str]) -> dict[str, str]:
    """``#rrggbb`` by name, of a CSV file with the columns ``name`` and ``hex``.

    ``color-name-list`` (MIT) has it as ``dist/colornames.csv``, and its best names as ``dist/colornames.bestof.csv``.
    Raises ``UnweaveError``, with the line, for a file without those columns, what is no colour, and a doubled name.
    """
    rows = csv.DictReader(io.StringIO(read_text_file(path)))
    if not {"name", "hex"} <= set(rows.fieldnames or ()):
        raise UnweaveError(f"{os.fspath(path)} has the columns {rows.fieldnames}: 'name' and 'hex' are needed")
    found: dict[str, str] = {}
    for row in rows:
        name, code = row["name"], row["hex"]
        where = f"{os.fspath(path)} line {rows.line_num}"
        if not is_hex(code):
            raise UnweaveError(f"{where}: the colour of {name!r} is {code!r}: write #rrggbb")
        if name in found:
            raise UnweaveError(f"{where}: {name!r} is given twice: keep one of them")
        found[name] = code.lower()
    if not found:
        raise UnweaveError(f"{os.fspath(path)} has no row: give one colour a line")
    return found
