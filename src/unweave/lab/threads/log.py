"""The file of a thread's events: only ever added to, each line bound to the one before it by its sha256."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

from unweave.base.errors import UnweaveError, oserror_line
from unweave.base.files import read_inside, read_json_inside
from unweave.lab.threads.events import Event, Question, event_from_json
from unweave.record import jsonl

FILE = "events.jsonl"
IMPORTED = "imported.json"
"""Says, beside the events, how many of them came from another lab."""


def append(folder: Path, event: Event, last: Event | None) -> Event:
    """Adds ``event`` after ``last`` and returns it as read back: on the disk, with its place. The caller has the lock.

    ``last`` is what ``read`` found at the end, None for a new file.
    """
    placed = replace(event, seq=last.seq + 1 if last else 1, previous=last.digest if last else "")
    jsonl.append(folder / FILE, placed.to_json(), durable=True)
    return _event(_content(folder).split(b"\n")[-2], placed.seq, placed.previous, folder / FILE)


def read(folder: Path) -> list[Event]:
    """All events in order. A torn last line was never acknowledged and is left out.

    Raises ``UnweaveError`` naming the line where the history was changed: its place or its hash is not what follows.
    """
    return parse(_content(folder), folder / FILE)


def parse(content: bytes, where: object) -> list[Event]:
    """The events in a file's ``content``, as ``read`` reads them; ``where`` names it in an error."""
    events: list[Event] = []
    for line in content.split(b"\n")[:-1]:
        events.append(_event(line, len(events) + 1, events[-1].digest if events else "", where))
    if events and not isinstance(events[0], Question):
        raise UnweaveError(f"{where} does not begin with a question: it is not a thread's history")
    return events


def imported(folder: Path) -> int:
    """How many of the first events came from another lab with a bundle."""
    if not (folder / IMPORTED).is_file():
        return 0
    count = read_json_inside(folder, IMPORTED).get("events")
    if not isinstance(count, int):
        raise UnweaveError(f"{folder / IMPORTED} does not say how many events were imported: it was damaged")
    return count


def check(folder: Path, count: int = 0, head: str = "") -> str | None:
    """What is wrong with the history, or None. ``count`` and ``head`` are its length and last hash as known before."""
    try:
        events = read(folder)
    except UnweaveError as error:
        return str(error)
    if not events:
        return f"{folder / FILE} has no events"
    if len(events) < count:
        return f"{folder / FILE} has {len(events)} events, and had {count}: the later ones were cut off"
    if count and events[count - 1].digest != head:
        return f"{folder / FILE} was written anew: event {count} is not the one that stood there"
    return None


def _content(folder: Path) -> bytes:
    path = folder / FILE
    try:
        return read_inside(folder.parent, f"{folder.name}/{FILE}")
    except FileNotFoundError:
        return b""
    except OSError as error:
        if path.is_symlink() or folder.is_symlink():
            raise UnweaveError(f"{path} is a link, and links are not followed: put the file itself there") from error
        raise oserror_line(error, path) from error


def _event(line: bytes, number: int, previous: str, path: object) -> Event:
    where = f"{path} line {number}"
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UnweaveError(f"{where} is damaged: restore the file from a bundle or a copy") from error
    if not isinstance(value, dict):
        raise UnweaveError(f"{where} is not an event: restore the file from a bundle or a copy")
    if value.get("seq") != number or value.get("previous") != previous:
        raise UnweaveError(f"{where} does not follow from the line before it: the history was changed")
    try:
        return event_from_json(value, hashlib.sha256(line).hexdigest())
    except UnweaveError as error:
        raise UnweaveError(f"{where}: {error}") from error
