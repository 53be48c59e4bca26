"""A run's folder on its way to a machine that does not see the lab, and back: by files, in blocks, checked by hash."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath

from unweave.base.errors import UnweaveError
from unweave.base.files import atomic_path, file_hash
from unweave.record.folder import files_of

BLOCK = 1 << 24
LAST = ("seal.json", "run.json")
"""Written after everything else, in this order: with them a run is finished."""
_APPENDED = (".jsonl", "log.txt")


def listing(folder: Path) -> dict[str, tuple[str, int]]:
    """Every file of the run in ``folder`` with its sha256 and size; not its links, which no finished run has."""
    return {name: (file_hash(folder / name), (folder / name).stat().st_size) for name in files_of(folder)[0]}


def blocks(path: Path, size: int) -> Iterator[bytes]:
    """The first ``size`` bytes of a file."""
    with open(path, "rb") as source:
        while size > 0 and (block := source.read(min(BLOCK, size))):
            size -= len(block)
            yield block


def receive(
    folder: Path, wanted: Mapping[str, tuple[str, int]], fetch: Callable[[str, int, int], bytes], run: str
) -> None:
    """Brings ``folder`` in line with a listing of the same run elsewhere; ``fetch(name, start, size)`` reads there.

    Files that are here with the same content are not fetched. Raises ``UnweaveError`` for a name that leads out of the
    folder, and for bytes that are not those listed; a file is replaced only by a whole one.
    """
    for name in sorted(wanted, key=lambda each: (LAST.index(each) if each in LAST else -1, each)):
        digest, size = wanted[name]
        path = inside(folder, name)
        if path.is_file() and path.stat().st_size == size and file_hash(path) == digest:
            continue
        with atomic_path(path) as temporary:
            found = hashlib.sha256()
            with open(temporary, "wb") as target:
                for start in range(0, size, BLOCK):
                    block = fetch(name, start, min(BLOCK, size - start))
                    found.update(block)
                    target.write(block)
            if found.hexdigest() != digest:
                raise UnweaveError(f"{name} of run {run!r} was damaged on its way from another machine: resume the run")


def inside(folder: Path, name: str) -> Path:
    """The path of a file below ``folder``; ``UnweaveError`` for a name that is not one."""
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or any(part in ("..", ".") or set(part) & set("\\:\0") for part in parts):
        raise UnweaveError(f"{name!r} is not the name of a file of a run")
    path = folder.joinpath(*parts)
    if path.resolve() != folder.resolve().joinpath(*parts):
        raise UnweaveError(f"{name!r} leads out of the run's folder")
    return path


class Growth:
    """What has been added to a run's files that only grow, since this was asked last."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._sent = {
            name: path.stat().st_size for name, path in self._files() if name != "progress.json" and path.is_file()
        }
        self._progress = b""

    def news(self, most: int = 1 << 20) -> list[tuple[str, int, bytes]]:
        """(name, where it starts, bytes) for each, and the whole of ``progress.json`` where it has changed."""
        found = []
        for name, path in self._files():
            try:
                if name == "progress.json":
                    progress = path.read_bytes()
                    if progress != self._progress:
                        self._progress = progress
                        found.append((name, 0, progress))
                    continue
                start = self._sent.get(name, 0)
                with open(path, "rb") as file:
                    # The log is cut at its limit.
                    start = min(start, file.seek(0, os.SEEK_END))
                    file.seek(start)
                    block = file.read(most)
            except OSError:
                continue
            if block:
                found.append((name, start, block))
            self._sent[name] = start + len(block)
        return found

    def _files(self) -> Iterator[tuple[str, Path]]:
        for path in [*self.folder.glob("*"), *self.folder.glob("cells/*")]:
            name = path.relative_to(self.folder).as_posix()
            if not path.name.startswith(".") and (name.endswith(_APPENDED) or name == "progress.json"):
                yield name, path


def add_news(folder: Path, news: list[tuple[str, int, bytes]]) -> None:
    """Writes what ``Growth`` told of the same run elsewhere."""
    for name, start, block in news:
        path = inside(folder, name)
        path.parent.mkdir(exist_ok=True)
        if name == "progress.json":
            temporary = path.with_name(f".{path.name}.{os.getpid()}")
            temporary.write_bytes(block)
            os.replace(temporary, path)
            continue
        with open(path, "r+b" if path.exists() else "w+b") as file:
            if file.seek(0, os.SEEK_END) < start:
                # A gap would be read as zeros; the whole file comes at the end.
                continue
            file.truncate(start)
            file.seek(start)
            file.write(block)
