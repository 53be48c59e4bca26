"""Run folders under a doctor's eye: half-written lines, lost files, runs whose process is gone, broken seals."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unweave.base.errors import UnweaveError, oserror_line
from unweave.base.files import atomic_path, read_json
from unweave.lab.store.finding import Finding, set_aside
from unweave.lab.store.folders import is_id
from unweave.lab.store.index import CHANGED
from unweave.record.environment import is_gone
from unweave.record.folder import is_partial
from unweave.record.life import NOT_RUNS
from unweave.record.run import Run
from unweave.record.seal import SEAL, check_seal, read_seal, seal_run

if TYPE_CHECKING:
    from unweave.lab.lab import Lab

_OLD_SECONDS = 600.0
_KEEP = "restore it from a copy or a bundle, or move the folder away"


def examine_folders(lab: Lab, repair: bool) -> Iterator[Finding]:
    """Every entry of the lab's folder, one after the other; what is wrong with one never hides the next."""
    for left in sorted(lab.home.rglob(".*")):
        if is_partial(left.name) and left.parent.name != "lost" and not is_sandboxed(lab, left):
            yield from _partial(lab, left, repair)
    for entry in sorted(os.scandir(lab.root), key=lambda entry: entry.name):
        path = Path(entry.path)
        if entry.name == ".lab" or entry.name in NOT_RUNS:
            continue
        try:
            if is_partial(entry.name):
                yield from _partial(lab, path, repair)
            elif entry.is_symlink() and (path / "run.json").exists():
                yield Finding(entry.name, "is a link in the place of a run", False, "put the run's folder itself there")
            elif entry.is_dir(follow_symlinks=False):
                yield from _folder(lab, path, repair)
        except (UnweaveError, OSError, ValueError, TypeError, RecursionError) as error:
            yield Finding(entry.name, f"could not be examined: {error}", False, _KEEP)


def is_sandboxed(lab: Lab, path: Path) -> bool:
    """Whether a path in the lab's own folder is what code in a sandbox made, in a folder that others cannot enter."""
    return path.relative_to(lab.home).parts[:1] == ("sandboxes",) and path != lab.home / "sandboxes"


def _folder(lab: Lab, path: Path, repair: bool) -> Iterator[Finding]:
    name = path.name
    if not (path / "run.json").exists():
        if any((path / part).exists() for part in ("metrics.jsonl", "tables", "cells", SEAL)):
            yield Finding(name, "has what a run writes, and no run.json", False, _KEEP)
        return
    if not is_id(name):
        yield Finding(
            name, "is a run whose folder's name is no id", False, "rename it: a-z, 0-9, '.', '_' and '-' only"
        )
        return
    try:
        if (path / "run.json").is_symlink():
            raise UnweaveError("run.json is a link, and links are not followed")
        run = Run.open(path)
        state = run.state()
    except UnweaveError as error:
        yield Finding(name, str(error), False, _KEEP)
        return
    if state["status"] == "finished":
        yield from _finished(lab, run, repair)
        return
    if state["status"] == "running" and not is_gone(state["process"]):
        return  # its process writes to it
    yield from _stopped(lab, run, repair)
    for left in sorted(path.rglob(".*")):
        if is_partial(left.name):
            yield from _partial(lab, left, repair)
    for file in sorted([*path.glob("metrics*.jsonl"), *(path / "cells").glob("*.jsonl")]):
        yield from _lines(lab, name, file, repair)
    yield from _artefacts(run)


def _finished(lab: Lab, run: Run, repair: bool) -> Iterator[Finding]:
    first = lab.runs.sealed(run.id)
    if first is None and not _is_sealed(run.path):
        what = "finished under a version that did not seal"
        if repair:
            seal_run(run)
            lab.runs.update(run.id)
            yield Finding(run.id, what, True, "sealed as it is now; what was changed before this cannot be told")
        else:
            yield Finding(run.id, what, False, "`unweave doctor --repair` seals it as it is")
        return
    wrong = check_seal(run.path, first)
    if not wrong:
        if first is not None and lab.runs.changed(run.id):
            if repair:
                lab.runs.reinstate(run.id)
            remedy = "it is valid again" if repair else "`unweave doctor --repair` makes it valid again"
            yield Finding(run.id, "was changed after it finished, and is again as it was sealed", repair, remedy)
        return
    if repair:
        lab.runs.invalidate(run.id, f"{CHANGED}{'; '.join(wrong[:3])}")
    remedy = "put the files back as they were, or run it again; its numbers count no more"
    for line in wrong:
        yield Finding(run.id, f"{line} after the run was sealed", False, remedy)


def _is_sealed(path: Path) -> bool:
    try:
        return read_seal(path) is not None
    except UnweaveError:
        return True  # what is wrong with it is said


def _stopped(lab: Lab, run: Run, repair: bool) -> Iterator[Finding]:
    """A run that says it works or waits, and that nobody works on or will begin."""
    state = run.state()
    queued = lab.database.read("SELECT state FROM jobs WHERE id = ?", (run.id,))
    active = bool(queued) and queued[0]["state"] in ("waiting", "running", "paused", "interrupted")
    if active or state["status"] not in ("running", "waiting"):
        return
    what = "its process is gone" if state["status"] == "running" else "waits for a worker, and is in no queue"
    if repair:
        run.finish("interrupted", what)
        yield Finding(run.id, what, True, f"marked interrupted: `unweave run --resume {run.id}` goes on with it")
    else:
        yield Finding(run.id, what, False, f"`unweave run --resume {run.id}` goes on with it")


def _lines(lab: Lab, name: str, file: Path, repair: bool) -> Iterator[Finding]:
    """A file of one JSON record a line: a torn end, which nobody was told was written, and lines that are damaged."""
    try:
        content = file.read_bytes()
    except OSError as error:
        yield Finding(name, str(oserror_line(error, file.name)), False, _KEEP)
        return
    *lines, torn = content.split(b"\n")
    bad = [number for number, line in enumerate(lines, start=1) if not _is_record(line)]
    where = f"{name}/{file.relative_to(lab.root / name).as_posix()}"
    found = []
    if torn:
        found.append(f"its last line is half-written ({len(torn)} bytes): its writer was killed")
    if bad:
        found.append(f"{len(bad)} damaged line{'s' * (len(bad) != 1)}, the first is line {bad[0]}")
    if not found:
        return
    if not repair:
        yield Finding(where, "; ".join(found), False, "`unweave doctor --repair` leaves it out, and keeps a copy")
        return
    kept = set_aside(lab.home, file, copy=True)
    with atomic_path(file) as temporary:
        temporary.write_bytes(b"".join(line + b"\n" for line in lines if _is_record(line)))
    copy = kept.relative_to(lab.root).as_posix()
    yield Finding(where, "; ".join(found), True, f"left out; the file as it was is {copy}")


def _artefacts(run: Run) -> Iterator[Finding]:
    """Tables, figures and claims of a run that stopped early: what does not fit together is made again with it."""
    again = f"`unweave run --resume {run.id}` makes it again"
    described = {path.stem for path in (run.path / "tables").glob("*.json")}
    for name in sorted({*run.tables(), *described}):
        try:
            run.load_table(name)
        except UnweaveError as error:
            yield Finding(f"{run.id}/tables/{name}", str(error), False, again)
    for name in run.figures():
        for file in (f"{name}.svg", f"{name}.narrow.svg"):
            if not (run.path / "figures" / file).is_file():
                yield Finding(f"{run.id}/figures/{name}", f"{file} is missing", False, again)
    claims = run.path / "claims.json"
    if not claims.exists():
        return
    try:
        entries: Any = read_json(claims)
        named = {entry.get("table") for entry in entries if isinstance(entry, dict)}
    except (UnweaveError, TypeError) as error:
        yield Finding(f"{run.id}/claims.json", str(error), False, again)
        return
    for name in sorted(named - {None} - set(run.tables()), key=str):
        yield Finding(f"{run.id}/claims.json", f"claims from table {name!r}, which is gone", False, again)


def _partial(lab: Lab, path: Path, repair: bool) -> Iterator[Finding]:
    """What a killed process left of something that it was writing; one just made may belong to a live process."""
    if time.time() - path.lstat().st_mtime < _OLD_SECONDS:
        return
    where = path.relative_to(lab.root).as_posix()
    what = "was being written by a process that was killed"
    if repair:
        kept = set_aside(lab.home, path)
        yield Finding(where, what, True, f"moved to {kept.relative_to(lab.root).as_posix()}")
    else:
        yield Finding(where, what, False, "`unweave doctor --repair` moves it out of the way")


def _is_record(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False
