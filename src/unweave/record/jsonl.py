"""Files of one JSON record a line that survive a process killed in the middle of a write."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

from unweave.base.errors import UnweaveError, oserror_line

_WRITING = threading.Lock()


def append(path: Path, record: dict[str, Any], durable: bool = False) -> None:
    """Adds one line; with ``durable`` it is on the disk when the call returns.

    One process writes a file at a time, in any of its threads. A torn last line, left by a killed process or a full
    disk, is cut off first, so that it never joins the new one.
    Raises ``UnweaveError`` when the line cannot be written, and then leaves the file as it was.
    """
    path = Path(path)
    line = json.dumps(record, ensure_ascii=True, allow_nan=False).encode("ascii") + b"\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _WRITING, open(path, "ab+", buffering=0) as file:
            end = _whole_length(file)
            file.truncate(end)
            try:
                written = 0
                while written < len(line):
                    written += file.write(line[written:]) or 0
                if durable:
                    os.fsync(file.fileno())
            except BaseException:
                file.truncate(end)
                raise
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


def _whole_length(file: Any) -> int:
    end = file.seek(0, os.SEEK_END)
    step = 1
    while end:
        start = max(0, end - step)
        file.seek(start)
        newline = file.read(end - start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end, step = start, 1 << 16
    return 0
