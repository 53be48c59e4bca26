"""Taking what a sandbox wrote: regular files under plain names, within the limits, through no link."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from unweave.base.errors import UnweaveError, oserror_line
from unweave.base.files import atomic_path, read_inside
from unweave.lab.sandbox.limits import MEGABYTE, Limits

# What a run folder is made of; a run's own description is the lab's to write, never the code's.
TAKEN = re.compile(
    r"metrics\.jsonl|claims\.json|report\.html|(?:cells/[a-z0-9][a-z0-9._-]*\.jsonl)"
    r"|(?:tables|figures|edits|files)/[A-Za-z0-9][A-Za-z0-9._-]{0,149}"
)
LEFT = ("run.json", "progress.json", "cancel", "log.txt", "seal.json")
"""What every run folder has, the code's own version of which is of no use."""


def collect(made: Path, run: Path, limits: Limits) -> list[str]:
    """Copies what code in the sandbox wrote in ``made`` into the folder ``run``; returns what was left out, and why.

    A symlink, a file with several names, a device, a pipe, and a name that a run does not have are left out. Raises
    ``UnweaveError`` when it is more than the limits allow, and then nothing was copied.
    """
    wanted, left_out, total = [], [], 0
    for name, facts in _files(Path(made)):
        if not stat.S_ISREG(facts.st_mode):
            left_out.append(f"{name}: not a regular file")
        elif facts.st_nlink != 1:
            left_out.append(f"{name}: a file with several names")
        elif TAKEN.fullmatch(name) is None:
            if name not in LEFT:
                left_out.append(f"{name}: no file of a run")
        else:
            wanted.append(name)
            total += facts.st_size
            if facts.st_size > limits.file_mb * MEGABYTE:
                raise UnweaveError(
                    f"{name} is {facts.st_size / MEGABYTE:.0f} MB, and {limits.file_mb:g} MB is the most"
                )
        if len(wanted) + len(left_out) > limits.files:
            raise UnweaveError(f"the code wrote more than {limits.files:,} files: none is taken")
    if total > limits.disk_mb * MEGABYTE:
        raise UnweaveError(f"the code wrote {total / MEGABYTE:.0f} MB, and {limits.disk_mb:g} MB is the most")
    for name in wanted:
        try:
            # Opened part by part without following links: a name may have become a link since it was looked at.
            content = read_inside(made, name)
        except OSError:
            left_out.append(f"{name}: it changed while it was read")
            continue
        with atomic_path(Path(run, name)) as temporary:
            temporary.write_bytes(content)
    return left_out


def _files(made: Path) -> list[tuple[str, os.stat_result]]:
    found: list[tuple[str, os.stat_result]] = []
    try:
        for root, folders, names in os.walk(made, followlinks=False):
            for name in sorted(names):
                path = Path(root, name)
                found.append((path.relative_to(made).as_posix(), path.lstat()))
            for name in list(folders):
                if Path(root, name).is_symlink():
                    folders.remove(name)
                    found.append((Path(root, name).relative_to(made).as_posix(), Path(root, name).lstat()))
    except OSError as error:
        raise oserror_line(error, made) from error
    return found
