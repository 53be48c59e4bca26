"""Where a corpus lies and the hash of its bytes there, so that a later change of it can be seen."""

from __future__ import annotations

import os
from importlib.resources import as_file, files
from pathlib import Path

from unweave.base.files import path_hash
from unweave.corpora.bundled import CORPORA


def corpus_place(spec: str | os.PathLike[str]) -> dict[str, str]:
    """``bundled`` (a file of the package) or ``path`` of the corpus that ``load_corpus(spec)`` reads, and ``bytes``."""
    if isinstance(spec, str) and spec in CORPORA:
        name = f"{spec}.json.xz"
        with as_file(files("unweave.corpora") / "data" / name) as file:
            return {"bundled": name, "bytes": path_hash(file)}
    path = Path(spec).expanduser()
    return {"path": str(path), "bytes": path_hash(path)} if path.exists() else {}
