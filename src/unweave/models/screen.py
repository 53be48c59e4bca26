"""Keys of a model's JSON files that would make a library run or fetch code, refused before anything is loaded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from unweave.base.errors import UnweaveError


def screen(value: Any, path: Path) -> None:
    """Raises ``UnweaveError`` for a key, at any depth of a config, that asks for code from elsewhere.

    Implementations of attention and experts may name a hub repository of kernels (``org/name``), which is fetched and
    run: CVE-2026-4372 was such a key that held with remote code switched off. ``trust_remote_code`` in a nested
    config was CVE-2026-5241.
    """
    for where, key, found in _entries(value, ()):
        name = ".".join((*where, key))
        if key == "trust_remote_code" and found not in (False, None):
            raise UnweaveError(f"{path}: {name} is {found!r}, and code that comes with a model is never run: remove it")
        if "implementation" in key and isinstance(found, (str, dict)) and "/" in str(found):
            raise UnweaveError(f"{path}: {name} names code on a hub ({str(found)[:80]!r}), never run: remove it")
        if key == "use_kernels" and found:
            raise UnweaveError(f"{path}: {name} asks for kernels from a hub, which are never run: remove it")


def _entries(value: Any, where: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str, Any]]:
    if isinstance(value, dict):
        for key, found in value.items():
            yield where, str(key), found
            yield from _entries(found, (*where, str(key)))
    elif isinstance(value, list):
        for found in value:
            yield from _entries(found, where)
