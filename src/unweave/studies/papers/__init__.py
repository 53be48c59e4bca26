"""Papers whose claims the studies can test: one JSON file each, in the form that ``unweave.lab.replication`` reads."""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).parent


def papers() -> dict[str, Path]:
    """The file of every paper that comes with unweave, by its id."""
    return {path.stem: path for path in sorted(_FOLDER.glob("*.json"))}
