"""Writing a run, or a thread with its runs, into one file."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from unweave.base.errors import UnweaveError, nearest, oserror_line
from unweave.base.files import atomic_path, open_inside
from unweave.lab.bundle.archive import check_number, copy, entry
from unweave.lab.bundle.manifest import NAME, Manifest
from unweave.lab.bundle.members import check_members, members_of
from unweave.record.pair import settle
from unweave.record.run import ENDINGS
from unweave.record.seal import SEAL

if TYPE_CHECKING:
    from unweave.lab.lab import Lab


@dataclass(frozen=True)
class Exported:
    """Where the bundle is, and what it holds."""

    path: Path
    manifest: Manifest


def export_bundle(lab: Lab, id: str, out: Path | str | None = None) -> Exported:
    """Writes the run or thread ``id`` to ``out`` (``ID.zip`` by default); the same content gives the same bytes.

    A thread takes its runs along. Raises ``UnweaveError`` for a run that has not ended, for a link among the files, and
    when a file changes while it is read.
    """
    import unweave

    path = Path(out) if out is not None else Path(f"{id}.zip")
    if path.exists():
        raise UnweaveError(f"{path} already exists: choose another --out, or remove it first")
    lab.runs.sync()
    folders = list(_folders(lab, id))
    kind = "thread" if folders[-1][0].startswith("threads/") else "run"
    files: dict[str, tuple[str, int]] = {}
    listed = [(name, folder, below) for name, folder in folders for below in members_of(folder)]
    check_number(len(listed) + 1)
    check_members(f"{name}/{below}" for name, _, below in listed)
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, folder, below in listed:
            files[f"{name}/{below}"] = _packed(archive, f"{name}/{below}", folder, below)
        runs = [name.removeprefix("runs/") for name, _ in folders if name.startswith("runs/")]
        manifest = Manifest(kind, id, files, _seals(lab, runs), unweave.__version__)
        content = manifest.to_bytes()
        archive.writestr(entry(NAME, len(content)), content)
    return Exported(path, manifest)


def _folders(lab: Lab, id: str) -> Iterable[tuple[str, Path]]:
    """The folders that travel, the thread last."""
    threads = [row.id for row in lab.threads.list()]
    if id in threads:
        for run in lab.threads.get(id).runs:
            yield f"runs/{run.run}", _ended(lab, run.run)
        yield f"threads/{id}", lab.threads.path(id)
        return
    known = [row.id for row in lab.runs.list(limit=1000).rows]
    if id not in known and not lab.runs.list(ids=[id]).total:
        raise UnweaveError(f"there is no run or thread {id!r} in {lab.root}; {nearest(id, [*threads, *known])}")
    yield f"runs/{id}", _ended(lab, id)


def _ended(lab: Lab, id: str) -> Path:
    run = lab.runs.open(id)
    if run.state()["status"] not in ENDINGS:
        raise UnweaveError(f"run {id!r} is {run.status}: wait for its end, resume it or cancel it, then export it")
    if not (run.path / SEAL).exists():
        settle(run.path / "tables")  # a table that a killed process had written, and not put in its place
    return run.path


def _packed(archive: zipfile.ZipFile, name: str, folder: Path, below: str) -> tuple[str, int]:
    try:
        with open_inside(folder, below) as source:
            size = os.fstat(source.fileno()).st_size
            with archive.open(entry(name, size), "w") as sink:
                packed = copy(source, sink)
    except OSError as error:
        if (folder / below).is_symlink():
            raise UnweaveError(f"{folder / below} became a link while it was exported: it is not followed") from error
        raise oserror_line(error, folder / below) from error
    if packed[1] != size:
        raise UnweaveError(f"{folder / below} changed while it was exported: export again when nothing writes it")
    return packed


def _seals(lab: Lab, runs: list[str]) -> dict[str, str]:
    """The digests that the lab keeps, of runs that were sealed before and after it saw them first."""
    return {run: digest for run in runs if (digest := lab.runs.sealed(run))}
