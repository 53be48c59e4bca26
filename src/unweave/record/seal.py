"""The seal of a finished run: a hash of every file, and one of them all, so that a later change shows."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unweave.base.errors import UnweaveError, oserror_line
from unweave.base.files import file_hash, json_bytes, read_json_inside, write_json
from unweave.record.environment import this_process
from unweave.record.folder import files_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from unweave.record.run import Run

SEAL = "seal.json"
UNSEALED = (SEAL, "log.txt")
"""Files of a run that go on changing while and after it ends, and that no number rests on."""
_SEALING = "sealing"
_LOOKS = 20


def seal_run(run: Run, state: Mapping[str, Any] | None = None) -> str:
    """Writes ``seal.json`` and returns its digest; ``state`` is what ``run.json`` is about to hold, where it changes.

    While files are hashed a seal of nothing stands there, so that whoever else writes to the run is refused. A seal
    that fails leaves none, and one whose process was killed counts as none.
    """
    place = run.path / SEAL
    try:
        write_json(place, {_SEALING: this_process()})
        seen: dict[str, tuple[int, ...]] = {}
        hashed: dict[str, list[Any]] = {}
        for _ in range(_LOOKS):
            now = _facts(run.path)
            hashed = {
                name: hashed[name] if seen.get(name) == facts else _hashed(run.path / name)
                for name, facts in now.items()
            }
            sealed = dict(hashed)
            if state is not None:
                content = json_bytes(dict(state))
                sealed["run.json"] = [hashlib.sha256(content).hexdigest(), len(content)]
            digest = _digest(sealed)
            write_json(place, {"files": dict(sorted(sealed.items())), "digest": digest})
            # Whoever looked for the seal just before it stood there has written by now.
            if _facts(run.path) == now:
                return digest
            seen = now
        raise UnweaveError(f"another program goes on writing in {run.path}: stop it, then finish the run")
    except BaseException:
        with suppress(OSError):
            place.unlink(missing_ok=True)
        raise


def read_seal(path: Path) -> str | None:
    """The digest that the seal in a run's folder states; None without a whole seal. Nothing is checked."""
    if not (Path(path) / SEAL).exists():
        return None
    seal = read_json_inside(Path(path), SEAL)
    if isinstance(seal, dict) and set(seal) == {_SEALING}:
        return None
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
    files, links = files_of(path, UNSEALED)
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


def _facts(folder: Path) -> dict[str, tuple[int, ...]]:
    """What changes with the content of each file that a seal covers."""
    files, links = files_of(folder, UNSEALED)
    if links:
        raise UnweaveError(f"{folder / links[0]} is a link, which cannot be sealed: put the file itself there")
    found = {}
    for name in files:
        try:
            facts = os.stat(folder / name, follow_symlinks=False)
        except OSError as error:
            raise oserror_line(error, folder / name) from error
        found[name] = (facts.st_ino, facts.st_size, facts.st_mtime_ns)
    return found


def _hashed(path: Path) -> list[Any]:
    try:
        return [file_hash(path), path.stat().st_size]
    except OSError as error:
        raise oserror_line(error, path) from error
