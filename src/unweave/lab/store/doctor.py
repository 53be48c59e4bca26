"""The doctor: looks over a whole lab, repairs what can be repaired without losing anything, and says the rest."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from unweave.lab import deeds
from unweave.lab.store.finding import Finding
from unweave.lab.store.folder_check import examine_folders, is_sandboxed
from unweave.lab.store.salvage import backup, examine_database
from unweave.record.environment import is_gone

if TYPE_CHECKING:
    from unweave.lab.lab import Lab

__all__ = ["Finding", "examine"]


def examine(lab: Lab, repair: bool = False) -> list[Finding]:
    """What is wrong with the lab: its database, its files' permissions, its run folders, its queue and its threads.

    With ``repair`` what can be put right is, and the database is copied to ``.lab/backups`` once it is sound. Nothing
    is removed: what is in the way is moved to ``.lab/lost``. Without ``repair`` nothing is changed but the index.
    """
    found = list(examine_database(lab, repair))
    found += _modes(lab, repair)
    if any(not one.repaired for one in found if one.where == "lab.db"):
        # The rest is compared with what the database says.
        return found
    found += examine_folders(lab, repair)
    lab.runs.sync()
    found += _queue(lab, repair)
    found += _threads(lab)
    found += _deeds(lab)
    if repair and not lab.database.read_only:
        backup(lab)
    return found


def _modes(lab: Lab, repair: bool) -> Iterator[Finding]:
    """The lab's own files are its owner's alone: tokens' hashes, who did what, and copies of them."""
    if os.name != "posix" or not lab.home.exists():
        return
    for path in (lab.home, *sorted(lab.home.rglob("*"))):
        if is_sandboxed(lab, path):
            continue
        if path.is_symlink():
            yield Finding(_name(lab, path), "is a link among the lab's own files", False, "remove it")
            continue
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
        except FileNotFoundError:
            continue  # the database's log comes and goes
        if not mode & 0o077 or "lost" in path.relative_to(lab.home).parts[:-1]:
            continue
        what = f"others may open it (mode {mode:o})"
        wanted = 0o700 if path.is_dir() else 0o600
        if repair:
            try:
                path.chmod(wanted)
            except OSError as error:
                yield Finding(_name(lab, path), what, False, f"its mode cannot be changed: {error.strerror}")
                continue
        yield Finding(_name(lab, path), what, repair, f"mode {wanted:o}" if repair else f"`chmod {wanted:o}` it")


def _queue(lab: Lab, repair: bool) -> Iterator[Finding]:
    """Jobs without a run folder, jobs whose worker is gone, and the note of a scheduler that is."""
    from unweave.lab.queue.agreement import reconcile
    from unweave.lab.queue.job import ACTIVE
    from unweave.lab.queue.keeper import Keeper, KeptAlready, keeper_of

    lost = []
    for job in lab.queue.list(ACTIVE):
        if not (lab.root / job.run / "run.json").exists():
            lost.append((job.id, "is in the queue, and its run's folder is gone", "ended as failed"))
        elif job.state in ("running", "paused") and job.worker and is_gone(dict(job.worker)):
            lost.append((job.id, f"is {job.state} in the queue, and its worker is gone", "waits for a worker again"))
    keeper = keeper_of(lab.home)
    stale = keeper is not None and is_gone(dict(keeper))
    if stale:
        lost.append(("keeper.json", "names a scheduler that is gone", "removed"))
    if not lost:
        return
    done = False
    if repair:
        held = Keeper(lab)
        try:
            held.take()
            try:
                reconcile(lab)
            finally:
                held.give_back()
            done = True
        except KeptAlready:
            pass  # whoever keeps the queue puts it right
    for where, what, remedy in lost:
        yield Finding(where, what, done, remedy if done else "the queue's next scheduler puts it right")


def _threads(lab: Lab) -> Iterator[Finding]:
    for id, wrong in lab.threads.check_all().items():
        yield Finding(f"threads/{id}", wrong, False, "restore it from a bundle; until then nothing is added to it")


def _deeds(lab: Lab) -> Iterator[Finding]:
    number = deeds.broken_chain(lab.database)
    if number is not None:
        what = f"deed {number} or the one before it was changed or taken out"
        yield Finding("lab.db", what, False, f"compare with a copy in {_name(lab, lab.home / 'backups')}")


def _name(lab: Lab, path: Path) -> str:
    return path.relative_to(lab.root).as_posix()
