"""Holds a process to reading: nothing is written, no socket opened, no program started, no model library loaded."""

from __future__ import annotations

import os
import sys
from typing import Any

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_REFUSED = (
    "ctypes.",
    "ftplib.",
    "http.client.",
    "os.chmod",
    "os.chown",
    "os.exec",
    "os.fork",
    "os.link",
    "os.mkdir",
    "os.posix_spawn",
    "os.putenv",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.spawn",
    "os.symlink",
    "os.system",
    "os.truncate",
    "os.utime",
    "shutil.",
    "socket.",
    "sqlite3.",
    "subprocess.",
    "tempfile.",
    "urllib.",
)
_UNWANTED = ("torch", "transformers", "numpy", "ray")


def confine() -> None:
    """From here on this process refuses all of that, until it ends."""
    sys.addaudithook(_refuse)


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    # Every event of the process passes here, so the common ones are told apart first.
    if event == "open":
        path, mode, flags = arguments
        if (isinstance(mode, str) and set(mode) & set("wax+")) or (isinstance(flags, int) and flags & _WRITING):
            raise PermissionError(f"the auditor only reads, and was to write {path!r}")
    elif event == "import":
        if str(arguments[0]).partition(".")[0] in _UNWANTED:
            raise ImportError(f"the auditor needs no {arguments[0]}")
    elif event.startswith(_REFUSED):
        raise PermissionError(f"the auditor only reads files, and was to do {event}")
