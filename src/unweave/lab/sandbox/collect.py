"""Taking what a sandbox wrote: regular files under plain names, within the limits, through no link."""

from __future__ import annotations

import errno
import glob
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from unweave.base.errors import UnweaveError
from unweave.base.files import atomic_path, folder_inside, read_inside
from unweave.base.terminal import one_line
from unweave.lab.sandbox.child import MADE
from unweave.lab.sandbox.limits import MEGABYTE, Limits
from unweave.record.seal import SEAL

SANDBOXES = "sandboxes"
"""The folder of the lab's own that workspaces are made in, each named after its run."""
GONE = ".gone"
"""How the name of a sandbox ends from which everything was taken."""
FOLDERS = ("cells", "tables", "figures", "edits", "files")
# What a run folder is made of; a run's own description is the lab's to write, never the code's.
TAKEN = re.compile(
    r"metrics\.jsonl|claims\.json|report\.html|(?:cells/[a-z0-9][a-z0-9._-]*\.jsonl)"
    r"|(?:tables|figures|edits|files)/[A-Za-z0-9][A-Za-z0-9._-]{0,149}"
)
LEFT = ("run.json", "progress.json", "cancel", "log.txt", "seal.json")
"""What every run folder has, the code's own version of which is of no use."""
MADE_ANEW = ("claims.json", "report.html")
"""What a run that goes on makes again, so that it is not handed in."""


class NotTaken(UnweaveError):
    """What the code wrote is more than its limits allow, or lies where the lab does not follow it."""


def collect(workspace: Path, run: Path, limits: Limits) -> list[str]:
    """Copies what code in the sandbox wrote into the folder ``run``; returns what was left out, and why.

    All below ``workspace`` is the code's to rename and to link, so that everything is opened from there, part by part.
    A symlink, a file with several names, a device, a pipe, and a name that a run does not have are left out. Raises
    ``NotTaken`` when it is more than the limits allow, and where the run's folder is itself a link; then nothing was
    copied.
    """
    made = f"{MADE}/{Path(run).name}"
    wanted: list[str] = []
    left_out: list[str] = []
    total = 0
    for name, facts in _entries(Path(workspace), made):
        if TAKEN.fullmatch(name) is None:
            if name not in LEFT:
                left_out.append(f"{one_line(name)}: no file of a run")
        elif not stat.S_ISREG(facts.st_mode):
            left_out.append(f"{name}: not a regular file")
        elif facts.st_nlink != 1:
            left_out.append(f"{name}: a file with several names")
        else:
            wanted.append(name)
            total += facts.st_size
            if facts.st_size > limits.file_mb * MEGABYTE:
                raise NotTaken(f"{name} is {facts.st_size / MEGABYTE:.0f} MB, and {limits.file_mb:g} MB is the most")
        if len(wanted) + len(left_out) > limits.files:
            raise NotTaken(f"the code wrote more than {limits.files:,} files: none is taken")
    if total > limits.disk_mb * MEGABYTE:
        raise NotTaken(f"the code wrote {total / MEGABYTE:.0f} MB, and {limits.disk_mb:g} MB is the most")
    for name in sorted(wanted):
        try:
            content = read_inside(workspace, f"{made}/{name}")
        except OSError:
            # It may have become a link since it was looked at.
            left_out.append(f"{name}: it changed while it was read")
            continue
        with atomic_path(Path(run, name)) as temporary:
            temporary.write_bytes(content)
    return sorted(left_out)


def collect_left(home: Path, run: Path, limits: Limits) -> list[str]:
    """Takes what sandboxes of ``run`` wrote whose worker was killed, and removes them; returns what was left out.

    ``home`` is the lab's own folder. No process may work on the run.
    """
    found = Path(home, SANDBOXES).glob(f"{glob.escape(Path(run).name)}.{'?' * 8}")
    left_out: list[str] = []
    for workspace in sorted(found, key=lambda path: path.lstat().st_mtime):
        try:
            left_out += collect(workspace, run, limits)
        except NotTaken as refusal:
            left_out.append(f"all that an earlier attempt wrote: {refusal}")
        remove(workspace)
    return left_out


def remove(workspace: Path) -> None:
    """Removes a sandbox of which everything was taken, under another name first: it is never taken from again."""
    gone = Path(f"{workspace}{GONE}")
    try:
        workspace.rename(gone)
    except OSError:
        gone = workspace
    for top, folders, _ in os.walk(gone):
        for folder in folders:
            # Code of the sandbox may have closed a folder of its own, to keep it.
            if not os.path.islink(os.path.join(top, folder)):
                os.chmod(os.path.join(top, folder), 0o700)
    shutil.rmtree(gone, ignore_errors=True)


def remove_orphaned(home: Path, root: Path) -> None:
    """Removes sandboxes of runs of ``root`` that are finished or gone, from which nothing will be taken any more."""
    for taken in Path(home, SANDBOXES).glob(f"*{GONE}"):
        remove(taken)
    for workspace in Path(home, SANDBOXES).glob(f"*.{'?' * 8}"):
        run = Path(root, workspace.name[:-9])
        if not (run / "run.json").exists() or (run / SEAL).exists():
            remove(workspace)


def hand_in(run: Path, folder: Path) -> None:
    """Copies what earlier attempts of ``run`` finished into ``folder``, for the code to go on from."""
    Path(folder).mkdir()
    for name, facts in _entries(Path(run).parent, Path(run).name):
        if stat.S_ISREG(facts.st_mode) and TAKEN.fullmatch(name) and name not in MADE_ANEW:
            Path(folder, name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(Path(run, name), Path(folder, name))


def _entries(workspace: Path, name: str) -> Iterator[tuple[str, os.stat_result]]:
    """What lies in the run's folder and in the folders that a run has; it has no deeper ones."""
    try:
        with folder_inside(workspace, name) as opened, os.scandir(opened) as entries:
            for entry in entries:
                with suppress(OSError):
                    facts = entry.stat(follow_symlinks=False)
                    if not (stat.S_ISDIR(facts.st_mode) and entry.name in FOLDERS):
                        yield entry.name, facts
                        continue
                    with folder_inside(workspace, f"{name}/{entry.name}") as below, os.scandir(below) as inner:
                        for each in inner:
                            yield f"{entry.name}/{each.name}", each.stat(follow_symlinks=False)
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise NotTaken(f"{name} is no folder of its own ({error.strerror})") from error
