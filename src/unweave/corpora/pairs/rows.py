"""Rows of one data file, a few at a time: JSON lines, a JSON array, Parquet, Arrow."""

from __future__ import annotations

import codecs
import gzip
import json
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from unweave.base.errors import UnweaveError, first_line, oserror_line

if TYPE_CHECKING:
    import pyarrow as pa

Kind = Literal["jsonl", "parquet", "arrow"]
KINDS: dict[str, Kind] = {
    ".jsonl": "jsonl",
    ".json": "jsonl",
    ".ndjson": "jsonl",
    ".jsonl.gz": "jsonl",
    ".json.gz": "jsonl",
    ".parquet": "parquet",
    ".arrow": "arrow",
}
BATCH = 256
_BLOCK = 1 << 20
_ARRAY = re.compile(rb"(?:\xef\xbb\xbf)?\s*\[\s*\{")
_LARGEST_ELEMENT = 1 << 26


@dataclass(frozen=True)
class DataFile:
    """One file of rows; ``name`` is its path below the folder that was opened, and names it in errors and row ids."""

    path: Path
    name: str
    kind: Kind


class BrokenRow(Exception):
    """What is wrong with one row, its value, and what to do."""


def suffix_of(path: Path) -> str:
    """``.jsonl.gz`` of ``train.jsonl.gz``, in lower case."""
    *_, last = path.suffixes or [""]
    return "".join(path.suffixes[-2:] if last.lower() == ".gz" else path.suffixes[-1:]).lower()


def read_rows(file: DataFile) -> Iterator[tuple[int, dict[str, Any] | BrokenRow]]:
    """Row numbers from 1 (line numbers in a file of lines) with each row, or with what is wrong with it.

    At most ``BATCH`` rows are held. Raises ``UnweaveError`` where the rest of the file cannot be read.
    """
    yield from _json_rows(file) if file.kind == "jsonl" else _table_rows(file)


def count_rows(file: DataFile) -> int | None:
    """How many rows a file holds where its own index says so, which that of JSON does not."""
    if file.kind == "jsonl":
        return None
    with _arrow_errors(file):
        if file.kind == "parquet":
            from pyarrow.parquet import read_metadata

            return read_metadata(file.path).num_rows
        import pyarrow as pa

        with pa.memory_map(str(file.path)) as source:
            return sum(batch.num_rows for batch in _ipc_batches(source))


def _json_rows(file: DataFile) -> Iterator[tuple[int, dict[str, Any] | BrokenRow]]:
    with _opened(file) as source:
        beginning = source.peek(64)[:64]  # type: ignore[attr-defined]
        yield from _array_elements(file, source) if _ARRAY.match(beginning) else _json_lines(source)


def _json_lines(source: BinaryIO) -> Iterator[tuple[int, dict[str, Any] | BrokenRow]]:
    for number, line in enumerate(source, start=1):
        line = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
        if line.strip():
            yield number, _json_line(line)


def _json_line(line: bytes) -> dict[str, Any] | BrokenRow:
    try:
        return _object(json.loads(line.decode("utf-8")))
    except UnicodeDecodeError as error:
        return BrokenRow(f"is not UTF-8: byte {line[error.start]:#04x} at {error.start}; save the file as UTF-8")
    except (json.JSONDecodeError, RecursionError) as error:
        return BrokenRow(f"is not valid JSON ({first_line(error)}), {line[:40]!r}: one object a line is expected")


def _object(value: Any) -> dict[str, Any] | BrokenRow:
    if isinstance(value, dict):
        return value
    return BrokenRow(f"is {type(value).__name__}, {str(value)[:40]!r}, and not an object: give it names and values")


def _array_elements(file: DataFile, source: BinaryIO) -> Iterator[tuple[int, dict[str, Any] | BrokenRow]]:
    """Elements of a JSON array that is read in blocks; an element that is not JSON ends the reading."""
    decoder, text = json.JSONDecoder(), codecs.getincrementaldecoder("utf-8-sig")()
    buffer, number, ended = "", 1, False
    while True:
        buffer = buffer.lstrip(" \t\r\n," if number > 1 else " \t\r\n[")
        if buffer.startswith("]"):
            return
        try:
            value, end = decoder.raw_decode(buffer)
        except (json.JSONDecodeError, RecursionError) as error:
            if ended or len(buffer) > _LARGEST_ELEMENT:
                raise UnweaveError(
                    f"{file.name} element {number} is not valid JSON, {buffer[:40]!r}: mend it, or write the array as "
                    "one object a line, where a reader can go on after a broken one"
                ) from error
            block = source.read(_BLOCK)
            ended = not block
            try:
                buffer += text.decode(block, ended)
            except UnicodeDecodeError as broken:
                raise UnweaveError(f"{file.name} is not UTF-8 after element {number - 1}: save it as UTF-8") from broken
            continue
        yield number, _object(value)
        buffer, number = buffer[end:], number + 1


def _table_rows(file: DataFile) -> Iterator[tuple[int, dict[str, Any] | BrokenRow]]:
    number = 0
    for batch in _batches(file):
        for row in batch.to_pylist():
            number += 1
            yield number, row


def _batches(file: DataFile) -> Iterator[pa.RecordBatch]:
    with _arrow_errors(file):
        if file.kind == "parquet":
            from pyarrow.parquet import ParquetFile

            # Buffered, because a file may hold all its rows in one group, which would be read whole.
            with ParquetFile(file.path, pre_buffer=False, buffer_size=_BLOCK) as opened:
                yield from opened.iter_batches(BATCH, use_threads=False)
            return
        import pyarrow as pa

        with pa.OSFile(str(file.path)) as source:
            for batch in _ipc_batches(source):
                yield from (batch.slice(start, BATCH) for start in range(0, batch.num_rows, BATCH))


def _ipc_batches(source: pa.NativeFile) -> Iterator[pa.RecordBatch]:
    """Record batches of either of Arrow's formats; ``datasets`` writes the stream, other programs the file."""
    import pyarrow as pa

    magic = source.read(6)
    source.seek(0)
    if magic == b"ARROW1":
        opened = pa.ipc.open_file(source)
        yield from (opened.get_batch(index) for index in range(opened.num_record_batches))
    else:
        yield from pa.ipc.open_stream(source)


@contextmanager
def _opened(file: DataFile) -> Iterator[BinaryIO]:
    packed = file.path.suffix.lower() == ".gz"
    try:
        with gzip.open(file.path, "rb") if packed else open(file.path, "rb") as source:
            yield source  # type: ignore[misc]
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UnweaveError(
            f"{file.path} ends too early or is not gzip ({first_line(error)}): fetch it again"
        ) from error
    except OSError as error:
        raise oserror_line(error, file.path) from error


@contextmanager
def _arrow_errors(file: DataFile) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except pa.ArrowException as error:
        raise UnweaveError(
            f"{file.path} cannot be read as {file.kind.capitalize()} ({first_line(error)}): fetch it again, or give it "
            "the ending of what it is"
        ) from error
    except OSError as error:
        if error.errno is None:
            raise UnweaveError(f"{file.path} cannot be read ({first_line(error)}): fetch it again") from error
        raise oserror_line(error, file.path) from error
