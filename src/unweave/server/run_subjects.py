"""Runs that can be asked about live, beside harvests: those that are named, and the finished ones of the lab."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from threading import RLock
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


class Subjects(Mapping[str, Any]):
    """Subjects by the id that they have in URLs: those given, and the finished runs of the folder ``root``.

    Whenever all of them are gone through, runs that have finished since are looked for, so that may take a moment; to
    ask for one reads no file.
    """

    def __init__(self, given: Mapping[str, Any], root: Path | None) -> None:
        self._known, self._root = dict(given), root
        self._seen: dict[Path, int] = {}
        """When what a run's folder says of itself was last changed, of all that were looked at."""
        self._looking = RLock()
        self._look()

    def __getitem__(self, name: str) -> Any:
        return self._known[name]

    def __len__(self) -> int:
        return len(self._known)

    def __iter__(self) -> Iterator[str]:
        with self._looking:
            self._look()
            return iter(list(self._known))

    def _look(self) -> None:
        for description in sorted(self._root.glob("*/run.json")) if self._root is not None else ():
            try:
                changed = description.stat().st_mtime_ns
                # Every change of a run's state writes this file anew.
                if self._seen.get(description) == changed:
                    continue
                subject = _opened(description.parent) if _finished(description.parent) else None
            except OSError:
                # It may be readable the next time.
                continue
            except UnweaveError:
                subject = None
            self._seen[description] = changed
            if subject is not None:
                self._known.setdefault(subject.id, subject)


def open_runs(given: Sequence[Path], root: Path | None, beside: Mapping[str, Any] | None = None) -> Subjects:
    """The subjects of the runs that are named, of finished ones in ``root``, and those that are open ``beside`` them.

    Raises ``UnweaveError`` for a named run that is not finished or damaged, or holds a symlink: its files are its own.
    Such a run of ``root`` is left out.
    """
    found = dict(beside or {})
    for folder in given:
        subject = _opened(folder)
        found[subject.id] = subject
    return Subjects(found, root)


def _kind(folder: Path) -> RunKind | None:
    if not (folder / "run.json").is_file():
        return None
    return next((kind for kind in RUN_KINDS if kind.holds(folder)), None)


def _finished(folder: Path) -> bool:
    # A half-written folder of a killed process starts with a dot.
    if folder.name.startswith(".") or folder.is_symlink() or _kind(folder) is None:
        return False
    return Run.open(folder).status == "finished"


def _opened(folder: Path) -> Any:
    _, links = files_of(folder)
    if links:
        raise UnweaveError(f"{folder} holds a symlink, {links[0]!r}: a run's files are its own")
    return next(kind for kind in RUN_KINDS if kind.holds(folder)).open(folder)
