"""A run's folder as a row of the index: what its description says, and a stamp that changes when that does."""

from __future__ import annotations

import json
import os
import re
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unweave.base.errors import UnweaveError
from unweave.record.environment import is_gone
from unweave.record.run import Run
from unweave.record.seal import SEAL, read_seal

if TYPE_CHECKING:
    from collections.abc import Iterable

DAMAGED = "damaged"
_CONFIG_CHARACTERS, _CHARACTERS = 4000, 20_000
_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")


@dataclass(frozen=True)
class Described:
    """What the index keeps of one run folder. A folder that cannot be read has the status ``damaged`` and says why."""

    id: str
    study: str
    status: str
    created: str
    finished: str | None
    seconds: float | None
    thread: str | None
    job: str | None
    person: str | None
    note: str | None
    headline: str | None
    words: str
    stamp: int
    seal: str | None = None
    """The digest that its seal states."""


def folder_names(root: Path) -> list[str]:
    """The folders in ``root`` that may be runs: told by their names alone."""
    # What starts with a dot is the lab's own, or the half-written folder of a killed process, and is no id.
    return [entry.name for entry in os.scandir(root) if is_id(entry.name) and entry.is_dir(follow_symlinks=False)]


def stamps(root: Path, names: Iterable[str]) -> dict[str, int]:
    """The stamps of those folders that are runs."""
    inside = str(root)
    found = {name: _stamp(f"{inside}/{name}") for name in names}
    return {name: stamp for name, stamp in found.items() if stamp}


def stamp_of(folder: Path) -> int:
    """A number that changes when ``run.json`` or the seal is written anew; 0 where there is no run."""
    return _stamp(str(folder))


def refuse_link(folder: Path) -> None:
    """Refuses a run whose description is a link, which could lead anywhere."""
    if (folder / "run.json").is_symlink():
        raise UnweaveError(f"{folder / 'run.json'} is a link, and links are not followed: put the file itself there")


def describe(folder: Path) -> Described:
    """Reads a run's folder for the index. Its stamp is read first, so that a change meanwhile is seen the next time."""
    stamp = stamp_of(folder)
    name = folder.name
    try:
        refuse_link(folder)
        run = Run.open(folder)
        state = run.state()
        status = state["status"]
        if status == "running" and is_gone(state["process"]):
            status = "interrupted"
        ended = status == "finished"
        texts = {key: _text(state.get(key)) for key in ("finished", "thread", "job", "person", "note")}
        tags = [str(tag) for tag in state.get("tags") or ()]
        config = json.dumps(state["config"], ensure_ascii=False)[:_CONFIG_CHARACTERS]
        words = "\n".join([name, state["study"], *(texts[key] or "" for key in ("thread", "note")), *tags, config])
        return Described(
            id=name,
            study=_text(state["study"]) or "",
            status=_text(status) or "",
            created=_text(state["created"]) or "",
            seconds=_seconds(state["created"], texts["finished"]),
            headline=_headline(run) if ended else None,
            words=_text(words.casefold()) or "",
            stamp=stamp,
            seal=_seal(folder) if ended else None,
            **texts,
        )
    except UnweaveError as error:
        note = str(error)
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        note = f"run.json cannot be read ({type(error).__name__}: {error})"
    return Described(name, "", DAMAGED, _changed(folder), None, None, None, None, None, _text(note), None, name, stamp)


def is_id(name: str) -> bool:
    """Whether a folder's name can be a run's id."""
    return _ID.fullmatch(name) is not None


def _stamp(folder: str) -> int:
    found = 0
    for name in ("run.json", SEAL):
        try:
            facts = os.stat(f"{folder}/{name}", follow_symlinks=False)
        except OSError:
            if name == "run.json":
                return 0
            continue
        # The time of a change of the file cannot be set by hand, as that of its content can; Windows has only this.
        changed = facts.st_mtime_ns if sys.platform == "win32" else facts.st_ctime_ns
        found = hash((found, changed, facts.st_mtime_ns, facts.st_size, facts.st_ino))
    return found & 0x7FFF_FFFF_FFFF_FFFF or 1


def _headline(run: Run) -> str | None:
    try:
        claims = run.claims()
    except UnweaveError:
        return None  # the audit says what is wrong with them
    return _text(claims[0].sentence) if claims else None


def _seal(folder: Path) -> str | None:
    try:
        return read_seal(folder)
    except UnweaveError:
        return None  # a run that had one before is found out by its first digest


def _seconds(created: str, finished: str | None) -> float | None:
    try:
        spent = datetime.fromisoformat(finished) - datetime.fromisoformat(created) if finished else None
    except (TypeError, ValueError):
        return None
    return spent.total_seconds() if spent is not None else None


def _text(value: Any) -> str | None:
    """Text as SQLite takes it, at most so much of it."""
    return value[:_CHARACTERS].encode("utf-8", "replace").decode("utf-8") if isinstance(value, str) else None


def _changed(folder: Path) -> str:
    """When a folder that does not say when it was made was last changed."""
    try:
        return datetime.fromtimestamp(folder.stat().st_mtime, UTC).isoformat()
    except (OSError, ValueError):
        return ""
