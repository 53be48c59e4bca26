"""Taking a bundle into a lab: everything is checked first, then written to a folder aside, then moved into place."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from unweave.base.errors import UnweaveError, oserror_line
from unweave.base.files import open_inside, sole_writer, write_json
from unweave.lab.bundle.archive import Archive, copy
from unweave.lab.bundle.contents import check_contents
from unweave.lab.bundle.manifest import Manifest
from unweave.lab.bundle.members import members_of
from unweave.lab.threads import log

if TYPE_CHECKING:
    from unweave.lab.lab import Lab

LARGEST_GB = 8.0


@dataclass(frozen=True)
class Imported:
    """What a bundle brought: ``new`` and ``known`` are folders such as ``runs/ID`` that it added or that were there."""

    manifest: Manifest
    new: tuple[str, ...]
    known: tuple[str, ...]


def import_bundle(lab: Lab, path: Path | str, largest_gb: float = LARGEST_GB) -> Imported:
    """Takes a run, or a thread with its runs, into the lab, or refuses the whole bundle and writes nothing.

    What is there already with the same bytes is left as it is; an id that is there with others is refused. Who wrote
    what in an imported thread is what its file says: those names are no accounts of this lab, and an approval that
    came with it approves nothing here. ``largest_gb`` is how much may be unpacked.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            archive = Archive(file, int(largest_gb * 1e9))
            _check_room(archive, lab.root)
            archive.check()
            check_contents(archive)
            with sole_writer(lab.home / "import", 600):
                return _take(lab, archive, path)
    except OSError as error:
        raise oserror_line(error, path) from error


def _take(lab: Lab, archive: Archive, path: Path) -> Imported:
    manifest = archive.manifest
    known = [folder for folder in manifest.folders if _is_there(lab, manifest, folder)]
    new = [folder for folder in manifest.folders if folder not in known]
    for left in lab.home.glob("import-*"):
        shutil.rmtree(left, ignore_errors=True)
    aside = Path(tempfile.mkdtemp(prefix="import-", dir=lab.home))
    try:
        for folder in new:
            _unpack(archive, folder, aside)
            if folder.startswith("threads/"):
                events = len(log.read(aside / folder))
                write_json(aside / folder / log.IMPORTED, {"events": events, "at": _now(), "from": path.name})
        with _sealed(lab, manifest, new):
            _move(lab, new, aside)
    except OSError as error:
        raise oserror_line(error, lab.root) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    lab.runs.sync()
    lab.threads.sync()
    return Imported(manifest, tuple(new), tuple(known))


def _place(lab: Lab, folder: str) -> Path:
    return lab.root / folder.removeprefix("runs/")


def _is_there(lab: Lab, manifest: Manifest, folder: str) -> bool:
    """Whether the folder is there with the very same files; refuses one that is there with others."""
    place, named = _place(lab, folder), folder.replace("s/", " ", 1)
    if not os.path.lexists(place):
        known = lab.runs.sealed(place.name) if folder.startswith("runs/") else None
        if known not in (None, manifest.seals.get(place.name)):
            raise UnweaveError(f"{named} was here before with other content, as the ledger says: it is refused whole")
        return False
    listed = manifest.of(folder)
    refusal = f"{named} is here already, with other content: remove it first, or keep yours"
    if place.is_symlink() or not place.is_dir() or members_of(place) != sorted(listed):
        raise UnweaveError(refusal)
    for name, what in listed.items():
        with open_inside(place, name) as source:
            if copy(source) != what:
                raise UnweaveError(refusal)
    return True


def _unpack(archive: Archive, folder: str, aside: Path) -> None:
    for name in archive.manifest.of(folder):
        target = aside / folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(target, "xb") as sink:
            archive.extract(f"{folder}/{name}", sink)
            sink.flush()
            os.fsync(sink.fileno())


def _move(lab: Lab, new: list[str], aside: Path) -> None:
    """All of them, or after a failure none."""
    moved: list[Path] = []
    try:
        for folder in new:
            place = _place(lab, folder)
            place.parent.mkdir(mode=0o700, exist_ok=True)
            if os.path.lexists(place):
                raise UnweaveError(f"{place} appeared while the bundle was read: import it again")
            os.rename(aside / folder, place)
            moved.append(place)
    except BaseException:
        for place in moved:
            shutil.rmtree(place, ignore_errors=True)
        raise


@contextmanager
def _sealed(lab: Lab, manifest: Manifest, new: list[str]) -> Iterator[None]:
    """The seals that the runs had where they come from enter the ledger here, so that any change since is noticed.

    They are there before the runs are, whenever the process is killed; and go again where the block fails.
    """
    wanted = {run: digest for run, digest in manifest.seals.items() if f"runs/{run}" in new}
    added = [run for run in wanted if lab.runs.sealed(run) is None]
    with lab.database.write() as connection:
        rows = [(run, wanted[run], f"imported {_now()}") for run in added]
        connection.executemany("INSERT INTO seals (run, digest, seen) VALUES (?, ?, ?)", rows)
    try:
        yield
    except BaseException:
        with lab.database.write() as connection:
            connection.executemany("DELETE FROM seals WHERE run = ?", [(run,) for run in added])
        raise


def _check_room(archive: Archive, root: Path) -> None:
    needed = sum(size for _, size in archive.manifest.files.values())
    with suppress(OSError):
        free = shutil.disk_usage(root).free
        if needed > free:
            raise UnweaveError(
                f"the bundle unpacks to {needed / 1e9:,.2f} GB, and the disk of {root} has {free / 1e9:,.2f} GB left: "
                "free some space"
            )


def _now() -> str:
    return datetime.now(UTC).isoformat()
