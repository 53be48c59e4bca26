"""The seal of a finished run: a hash of every file, and one of them all, so that a later change shows."""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unweave.base.errors import UnweaveError, oserror_line
from unweave.base.files import file_hash, json_bytes, read_json_inside, write_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from unweave.record.run import Run

SEAL = "seal.json"
UNSEALED = (SEAL, "log.txt", "progress.json", "cancel")
"""Files of a run's folder that go on changing while and after it ends, and that no number rests on."""
# What a killed process left of a file that it was writing.
_PARTIAL = re.compile(r"\..+\.[^.]{8}\.(part|old)")


def seal_run(run: Run, state: Mapping[str, Any] | None = None) -> str:
    """Writes ``seal.json`` and returns its digest; ``state`` is what ``run.json`` is about to hold, where it changes.

    Only the run's own process seals it, after all others that wrote to it have ended.
    """
    files, links = _files(run.path)
    if links:
        raise UnweaveError(f"{run.path / links[0]} is a link, which cannot be sealed: put the file itself there")
    try:
        found = {name: [file_hash(run.path / name), (run.path / name).stat().st_size] for name in files}
    except OSError as error:
        raise oserror_line(error, error.filename or run.path) from error
    if state is not None:
        content = json_bytes(dict(state))
        found["run.json"] = [hashlib.sha256(content).hexdigest(), len(content)]
    digest = _digest(found)
    write_json(run.path / SEAL, {"files": dict(sorted(found.items())), "digest": digest})
    return digest


def read_seal(path: Path) -> str | None:
    """The digest that the seal in a run's folder states; None without a seal. Nothing is checked."""
    if not (Path(path) / SEAL).exists():
        return None
    seal = read_json_inside(Path(path), SEAL)
    digest = seal.get("digest") if isinstance(seal, dict) else None
    if not isinstance(digest, str):
        raise UnweaveError(f"{Path(path) / SEAL} is not a seal: it was damaged")
    return digest


def check_seal(path: Path, digest: str | None = None) -> list[str]:
    """What differs from the seal in a run's folder, a line each; nothing when all is as it was sealed.

    ``digest`` is that of the seal when it was first seen, where somebody kept it: a run that was changed and sealed
    again differs from that one only.
    """
    path = Path(path)
    try:
        stated = read_seal(path)
        if stated is None:
            return [f"{SEAL} is missing"]
        sealed = read_json_inside(path, SEAL)["files"]
        if not isinstance(sealed, dict) or not all(isinstance(entry, list) for entry in sealed.values()):
            return [f"{SEAL} is damaged"]
    except UnweaveError as error:
        return [str(error)]
    except KeyError:
        return [f"{SEAL} is damaged"]
    found: list[str] = []
    if digest is not None and digest != stated:
        found.append(f"{SEAL} is another one than when this run was first seen")
    if _digest(sealed) != stated:
        found.append(f"{SEAL} was edited")
    files, links = _files(path)
    found += [f"{name} is a link" for name in links]
    for name in sorted({*files, *sealed}):
        if name not in sealed:
            found.append(f"{name} was added")
        elif name not in files:
            found.append(f"{name} is missing")
        else:
            try:
                size, hashed = (path / name).stat().st_size, file_hash(path / name)
            except OSError as error:
                found.append(str(oserror_line(error, name)))
                continue
            if sealed[name] != [hashed, size]:
                found.append(f"{name} was changed")
    return found


def _digest(files: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(files, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _files(folder: Path) -> tuple[list[str], list[str]]:
    """The names of the files below ``folder`` that a seal covers, and of what is neither a file nor a folder."""
    files: list[str] = []
    links: list[str] = []
    waiting = [""]
    while waiting:
        inside = waiting.pop()
        try:
            entries = list(os.scandir(folder / inside))
        except OSError as error:
            raise oserror_line(error, folder / inside) from error
        for entry in entries:
            name = f"{inside}{entry.name}"
            if name in UNSEALED or name.startswith(".progress.json.") or _PARTIAL.fullmatch(entry.name):
                continue
            if entry.is_dir(follow_symlinks=False):
                waiting.append(f"{name}/")
            elif entry.is_file(follow_symlinks=False):
                files.append(name)
            else:
                links.append(name)
    return sorted(files), sorted(links)
