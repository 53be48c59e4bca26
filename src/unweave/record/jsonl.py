"""Files of one JSON record a line that survive a process killed in the middle of a write."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unweave.base.errors import UnweaveError, oserror_line

try:
    import fcntl
except ImportError:  # Windows has no such locks: there one process writes a file
    fcntl = None

_WRITING = threading.Lock()


def append(path: Path, record: dict[str, Any], durable: bool = False) -> None:
    """Adds one line; with ``durable`` it is on the disk when the call returns.

    One writer at a time, among all threads and processes. A torn last line, left by a killed process or a full disk,
    is cut off first, so that it never joins the new one.
    Raises ``UnweaveError`` when the line cannot be written, and then leaves the file as it was.
    """
    path = Path(path)
    line = json.dumps(record, ensure_ascii=True, allow_nan=False).encode("ascii") + b"\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _WRITING, open(path, "ab+", buffering=0) as file, _alone(file.fileno()):
            write_line(file.fileno(), line, cut_torn_line(file.fileno()), durable)
    except OSError as error:
        raise oserror_line(error, path) from error


def read(path: Path) -> list[dict[str, Any]]:
    """All whole lines. A last line without its newline was never acknowledged and is left out.

    Raises ``UnweaveError`` naming the line when a whole line is not a JSON object. A missing file is empty.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise oserror_line(error, path) from error
    return parsed(content, path)


def parsed(content: bytes, path: Path) -> list[dict[str, Any]]:
    """The whole lines of ``content``, which was read from ``path``; see ``read``."""
    records = []
    for number, line in enumerate(content.split(b"\n")[:-1], start=1):
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if not isinstance(record, dict):
            raise UnweaveError(f"{path} line {number} is damaged: remove that line and resume, to compute it again")
        records.append(record)
    return records


def write_line(descriptor: int, line: bytes, end: int, durable: bool = False) -> None:
    """Writes ``line`` at the end, ``end``, of a file opened to append; after an error the file ends there again."""
    try:
        written = 0
        while written < len(line):
            written += os.write(descriptor, line[written:])
        if durable:
            os.fsync(descriptor)
    except BaseException:
        os.ftruncate(descriptor, end)
        raise


def cut_torn_line(descriptor: int) -> int:
    """Cuts off what follows the last newline, and returns where the file ends now."""
    size = os.lseek(descriptor, 0, os.SEEK_END)
    end, step = size, 1
    while end:
        start = max(0, end - step)
        os.lseek(descriptor, start, os.SEEK_SET)
        newline = os.read(descriptor, end - start).rfind(b"\n")
        if newline >= 0:
            end = start + newline + 1
            break
        end, step = start, 1 << 16
    if end < size:
        os.ftruncate(descriptor, end)
    return end


@contextmanager
def _alone(descriptor: int) -> Iterator[None]:
    if fcntl is None:
        yield
        return
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
