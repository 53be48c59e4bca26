"""Preference pairs written as TRL reads them."""

from __future__ import annotations

import gzip
import json
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import date, time
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from unweave.base.errors import UnweaveError, first_line, nearest
from unweave.base.files import atomic_path
from unweave.corpora.pairs.layout import COLUMNS
from unweave.corpora.pairs.rows import suffix_of
from unweave.corpora.pairs.value import PreferencePair

if TYPE_CHECKING:
    import pyarrow as pa

WrittenLayout = Literal["conversational", "standard"]
_PART = 2000
_OWN = {"id", "prompt", "chosen", "rejected"}


def write_pairs(
    pairs: Iterable[PreferencePair], path: str | os.PathLike[str], layout: WrittenLayout = "conversational"
) -> int:
    """Writes pairs as JSON lines (``.jsonl``, ``.jsonl.gz``) or Parquet, whole or not at all, and returns how many.

    Columns are ``id``, ``prompt``, ``chosen`` and ``rejected``, then those of ``extra``. ``conversational`` writes
    lists of messages; ``standard`` writes texts, and refuses a prompt that is more than one user turn. What is written
    ``open_pairs`` reads back equal, but for what the format cannot hold: in JSON, NaN and infinity become null, dates
    and decimals their text; in Parquet, a column that a row lacks is null, and so is a missing field of an object.
    Raises ``UnweaveError`` for no pairs, an ``extra`` column that would be read as part of the pair, a value that the
    format cannot hold, and a path that cannot be written. At most some thousand pairs are held.
    """
    if layout not in get_args(WrittenLayout):
        raise UnweaveError(f"layout {layout!r} is not known; {nearest(layout, get_args(WrittenLayout))}")
    path = Path(path).expanduser()
    writers: dict[str, Callable[[Iterator[dict[str, Any]], Path], int]] = {
        ".jsonl": _write_lines,
        ".jsonl.gz": _write_lines,
        ".parquet": _write_parquet,
    }
    suffix = suffix_of(path)
    if suffix not in writers:
        raise UnweaveError(f"{path} does not end in {', '.join(writers)}: the ending says what is written")
    with atomic_path(path) as temporary:
        count = writers[suffix]((_row(pair, layout) for pair in pairs), temporary)
        if not count:
            raise UnweaveError(f"there are no pairs to write to {path}: give at least one")
    return count


def _row(pair: PreferencePair, layout: WrittenLayout) -> dict[str, Any]:
    # Beside a prompt of texts the reader would take a system column for a turn.
    taken = sorted((_OWN | set(COLUMNS["system"] if layout == "standard" else ())) & set(pair.extra))
    if taken:
        raise UnweaveError(
            f"pair {pair.id!r} has an extra column {taken[0]!r}, which would be read as part of the pair: rename it"
        )
    if layout == "standard":
        if [turn.role for turn in pair.prompt] != ["user"]:
            roles = ", ".join(turn.role for turn in pair.prompt)
            raise UnweaveError(
                f"pair {pair.id!r} has a prompt of turns ({roles}), and the standard layout holds one user turn: use "
                "layout='conversational'"
            )
        parts: dict[str, Any] = {"prompt": pair.prompt[0].content, "chosen": pair.chosen, "rejected": pair.rejected}
    else:
        parts = {
            "prompt": [{"role": turn.role, "content": turn.content} for turn in pair.prompt],
            "chosen": [{"role": "assistant", "content": pair.chosen}],
            "rejected": [{"role": "assistant", "content": pair.rejected}],
        }
    return {"id": pair.id, **parts, **pair.extra}


def _write_lines(rows: Iterator[dict[str, Any]], path: Path) -> int:
    count = 0
    with gzip.open(path, "wb") if path.suffix.lower() == ".gz" else open(path, "wb") as out:
        for row in rows:
            out.write(_line(row))
            count += 1
    return count


def _line(row: dict[str, Any]) -> bytes:
    try:
        text = json.dumps(_finite(row), ensure_ascii=False, allow_nan=False, default=_text)
    except TypeError as error:
        raise UnweaveError(f"pair {row['id']!r} cannot be written as JSON: {first_line(error)}; use Parquet") from error
    # Half of a surrogate pair has no UTF-8 and, as what it is in JSON, an escape.
    return re.sub("[\ud800-\udfff]", lambda half: f"\\u{ord(half[0]):04x}", text).encode("utf-8") + b"\n"


def _text(value: Any) -> str:
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"a value of an extra column is {type(value).__name__}, {value!r:.40}")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _write_parquet(rows: Iterator[dict[str, Any]], path: Path) -> int:
    """Parts of which each has its own types first, then the whole in the types that hold all of them."""
    import pyarrow as pa
    from pyarrow import parquet

    folder = path.parent / "parts"
    folder.mkdir()
    schemas, count = [], 0
    for part in iter(lambda: list(islice(rows, _PART)), []):
        table = _table(part)
        parquet.write_table(table, folder / str(len(schemas)))
        schemas.append(table.schema)
        count += len(part)
    if not schemas:
        return 0
    try:
        schema = pa.unify_schemas(schemas, promote_options="permissive")
        with parquet.ParquetWriter(path, schema) as writer:
            for index in range(len(schemas)):
                writer.write_table(_as(parquet.ParquetFile(folder / str(index)).read(), schema))
    except pa.ArrowException as error:
        raise UnweaveError(f"a column changes its type between rows ({first_line(error)}): write .jsonl") from error
    return count


def _table(rows: list[dict[str, Any]]) -> pa.Table:
    import pyarrow as pa

    columns = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        try:
            columns[name] = pa.array([row.get(name) for row in rows])
            _refuse_empty_objects(columns[name].type)
        except (pa.ArrowException, OverflowError, UnicodeError) as error:
            raise UnweaveError(
                f"column {name!r} of the pairs {rows[0]['id']!r} to {rows[-1]['id']!r} cannot be written as Parquet "
                f"({first_line(error)}): write .jsonl"
            ) from error
    return pa.table(columns)


def _refuse_empty_objects(kind: pa.DataType) -> None:
    import pyarrow as pa

    if pa.types.is_struct(kind) and not kind.num_fields:
        raise pa.ArrowInvalid("an object without fields")
    for index in range(kind.num_fields):
        _refuse_empty_objects(kind.field(index).type)


def _as(table: pa.Table, schema: pa.Schema) -> pa.Table:
    import pyarrow as pa

    columns = [
        table[field.name].cast(field.type) if field.name in table.column_names else pa.nulls(len(table), field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)
