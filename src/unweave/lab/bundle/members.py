"""Which files a bundle may hold: names that mean one and the same file on every system, and nothing that is a link."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from unweave.base.errors import UnweaveError
from unweave.record.folder import files_of, is_local

LONGEST_PART = 200
LONGEST = 500
_ILLEGAL = re.compile(r'[\x00-\x1f\x7f-\x9f<>:"|?*\\\u202a-\u202e\u2066-\u2069\ud800-\udfff]')
# Windows gives these to devices, whatever follows a dot; the superscripts too.
_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)(\..*)?", re.IGNORECASE)


def check_member(name: str) -> None:
    """Refuses a name that is absolute, leaves its folder, or is another file's name on some system."""
    parts = name.split("/")
    wrong = next(filter(None, map(_wrong, parts)), None)
    if not wrong and is_local("/".join(parts[2:])):
        wrong = "is that of a file that belongs to one machine"
    if not wrong and (len(name) > LONGEST or len(parts) < 3 or unicodedata.normalize("NFC", name) != name):
        wrong = "is too long, not below a run or thread, or has another spelling in Unicode"
    if wrong:
        raise UnweaveError(f"the name {shown(name)} in the bundle {wrong}: the bundle is refused whole")


def check_members(names: Iterable[str]) -> None:
    """Refuses a name that occurs twice, that differs from another in case only, or that is another's folder."""
    seen: dict[str, str] = {}
    folders: dict[str, str] = {}
    for name in names:
        key = folded(name)
        if key in seen:
            raise UnweaveError(
                f"the bundle holds {shown(seen[key])} and {shown(name)}, one file on some systems: it is refused whole"
            )
        seen[key] = name
        for end in (match.start() for match in re.finditer("/", key)):
            # The same folder in two spellings is one folder on some systems and two on others.
            if folders.setdefault(key[:end], name[:end]) != name[:end]:
                raise UnweaveError(
                    f"the bundle holds the folder of {shown(name)} in two spellings: it is refused whole"
                )
    for name in seen:
        if name in folders:
            raise UnweaveError(f"{shown(seen[name])} is a file and a folder in the bundle: it is refused whole")


def folded(name: str) -> str:
    """The name as a file system that ignores case and spelling compares it."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def shown(name: str) -> str:
    """A name from a stranger, fit to be printed."""
    text = ascii(name)
    return text if len(text) <= 120 else text[:117] + "...'"


def members_of(folder: Path) -> list[str]:
    """The files below ``folder`` that travel with it, sorted, relative to it.

    Raises ``UnweaveError`` for a link, for what is neither file nor folder, and for a name that no bundle may hold.
    """
    files, links = files_of(folder)
    if links:
        raise UnweaveError(f"{folder / links[0]} is a link or a device, and a bundle holds files: remove it")
    for name in files:
        if any(part.startswith(".") for part in name.split("/")):
            raise UnweaveError(f"{folder / name} is hidden, and a bundle takes nothing hidden: remove or rename it")
        check_member(f"runs/x/{name}")
    return files


def _wrong(part: str) -> str | None:
    if part in ("", ".", ".."):
        return "leaves its folder, or is no file's"
    if _ILLEGAL.search(part) or part[-1] in ". " or part[0] == " ":
        return "has a character that some system forbids"
    if _DEVICE.fullmatch(part):
        return "is that of a device on Windows"
    if part.startswith("."):
        return "is that of a hidden file"
    return "has too long a part" if len(part) > LONGEST_PART else None
