"""Which files of a folder are a run's or a thread's: what a seal covers and what travels with it, by one rule."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from pathlib import Path

from unweave.base.errors import oserror_line

LOCAL = ("cancel", "progress.json", "imported.json", "run.json.lock", "events.jsonl.lock")
"""Files at the top of a folder that belong to this machine or this moment."""
# What a killed process left of a file that it was writing.
_PARTIAL = re.compile(r"\..+\.[^.]{8}\.(part|old)")


def is_partial(name: str) -> bool:
    """Whether a file or folder of that name is what a killed process left of one that it was writing."""
    return _PARTIAL.fullmatch(name) is not None


def is_local(name: str) -> bool:
    """Whether a file, named from the top of a run's or thread's folder, is no part of it.

    Other hidden files are part: a table that is about to take an older one's place is one, and is read.
    """
    return name in LOCAL or name.startswith(".progress.json.") or any(map(is_partial, name.split("/")))


def files_of(folder: Path, but: Collection[str] = ()) -> tuple[list[str], list[str]]:
    """The names of the files that are part of a run or a thread, and of what is neither a file nor a folder; sorted.

    Both are named from ``folder``, parts joined by ``/``, and without those of ``but``. No link is followed.
    Raises ``UnweaveError`` for a folder that cannot be read.
    """
    files: list[str] = []
    links: list[str] = []
    waiting = [""]
    while waiting:
        inside = waiting.pop()
        try:
            entries = list(os.scandir(folder / inside))
        except OSError as error:
            raise oserror_line(error, folder / inside) from error
        for entry in entries:
            name = f"{inside}{entry.name}"
            if is_local(name) or name in but:
                continue
            if entry.is_dir(follow_symlinks=False):
                waiting.append(f"{name}/")
            elif entry.is_file(follow_symlinks=False):
                files.append(name)
            else:
                links.append(name)
    return sorted(files), sorted(links)
