"""Runs that can be asked about live, beside harvests: those that are named, and the finished ones of the lab."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from unweave.base.errors import UnweaveError
from unweave.base.views import RUN_KINDS, RunKind
from unweave.record.folder import files_of
from unweave.record.run import Run


def told_apart(given: Sequence[Path], root: Path | None) -> tuple[list[Path], list[Path]]:
    """Of what is named for serving, what is no such run, and the runs: by their path, or by their id in ``root``."""
    others: list[Path] = []
    runs: list[Path] = []
    for path in map(Path, given):
        places = [path] if root is None else [path, root / path]
        found = next((place for place in places if _kind(place) is not None), None)
        if found is None:
            others.append(path)
        else:
            runs.append(found)
    return others, runs


def open_runs(given: Sequence[Path], root: Path | None) -> dict[str, Any]:
    """The subjects of the runs that are named, and of finished ones in ``root``, by the id that they have in URLs.

    Raises ``UnweaveError`` for a named run that is not finished or damaged, or holds a symlink: its files are its own.
    Such a run of ``root`` is left out.
    """
    found: dict[str, Any] = {}
    for folder in given:
        subject = _opened(folder)
        found[subject.id] = subject
    for folder in _finished(root) if root is not None else ():
        try:
            subject = _opened(folder)
        except UnweaveError:
            continue
        found.setdefault(subject.id, subject)
    return found


def _kind(folder: Path) -> RunKind | None:
    if not (folder / "run.json").is_file():
        return None
    return next((kind for kind in RUN_KINDS if kind.holds(folder)), None)


def _finished(root: Path) -> Iterator[Path]:
    for description in sorted(root.glob("*/run.json")):
        folder = description.parent
        # A half-written folder of a killed process starts with a dot.
        if folder.name.startswith(".") or folder.is_symlink() or _kind(folder) is None:
            continue
        try:
            finished = Run.open(folder).status == "finished"
        except UnweaveError:
            continue
        if finished:
            yield folder


def _opened(folder: Path) -> Any:
    _, links = files_of(folder)
    if links:
        raise UnweaveError(f"{folder} holds a symlink, {links[0]!r}: a run's files are its own")
    return next(kind for kind in RUN_KINDS if kind.holds(folder)).open(folder)
