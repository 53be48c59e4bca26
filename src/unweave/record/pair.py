"""A table and its description: two files that are written both or neither, whatever kills the process."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from unweave.base.errors import oserror_line

_NEXT = ".next"


def write_pair(folder: Path, name: str, files: dict[str, bytes]) -> None:
    """Writes two files of ``name``, ``{"csv": b"...", "json": b"..."}``, in place of what is there.

    Both are put into a folder ``.<name>.next``, whose renaming is the moment at which the new pair counts; then they
    are moved to their places. ``read_file`` looks in that folder first.
    Raises ``UnweaveError`` when they cannot be written; then the old pair counts.
    """
    waiting = _next(folder, name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        settle(folder)
        made = Path(tempfile.mkdtemp(prefix=f".{name}.", suffix=".part", dir=folder))
        try:
            for ending, content in files.items():
                with open(made / f"{name}.{ending}", "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
            os.rename(made, waiting)
        except BaseException:
            shutil.rmtree(made, ignore_errors=True)
            raise
        try:
            _move(waiting, folder)
        except OSError:
            # Once one is in its place, the other counts from where it is.
            if len(os.listdir(waiting)) == len(files):
                shutil.rmtree(waiting)
            raise
    except OSError as error:
        raise oserror_line(error, folder / name) from error


def read_file(folder: Path, name: str, ending: str) -> bytes:
    """The content of one of a pair's files. Raises ``FileNotFoundError`` where there is none."""
    for path in (_next(folder, name) / f"{name}.{ending}", folder / f"{name}.{ending}"):
        try:
            return path.read_bytes()
        except FileNotFoundError:
            continue
    # It was moved to its place between the two looks.
    return (folder / f"{name}.{ending}").read_bytes()


def settle(folder: Path) -> None:
    """Moves pairs to their places that a killed process left beside them. No other process may be writing here."""
    for waiting in folder.glob(f".*{_NEXT}"):
        _move(waiting, folder)


def _move(waiting: Path, folder: Path) -> None:
    for file in sorted(waiting.iterdir()):
        os.replace(file, folder / file.name)
    waiting.rmdir()


def _next(folder: Path, name: str) -> Path:
    return folder / f".{name}{_NEXT}"
