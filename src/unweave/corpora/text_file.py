"""One text file of a person's own, decoded."""

from __future__ import annotations

import os
from pathlib import Path

from unweave.base.errors import UnweaveError, oserror_line


def read_text_file(path: str | os.PathLike[str]) -> str:
    """A file's text without a byte order mark, its lines ended by ``\\n``.

    Raises ``UnweaveError`` for a file that cannot be read, bytes that are not UTF-8, and a zero byte.
    """
    path = Path(path).expanduser()
    try:
        data = path.read_bytes()
    except OSError as error:
        raise oserror_line(error, path) from error
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UnweaveError(
            f"{path} is not UTF-8 text: byte {data[error.start]:#04x} at offset {error.start}; "
            "save it as UTF-8, or leave it out"
        ) from error
    if "\0" in text:
        raise UnweaveError(f"{path} is not text: a zero byte at offset {data.index(0)}; leave it out")
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
