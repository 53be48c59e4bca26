"""Behaviours from a person's own Python file."""

from __future__ import annotations

import sys
from pathlib import Path

from unweave.base.errors import UnweaveError
from unweave.base.source_file import module_name, read_source, run_source
from unweave.preferences.behaviours.registry import Behaviour, all_behaviours, forget_behaviours

_OWN = "unweave_behaviours_"


def load_behaviours(path: Path | str, sha256: str | None = None) -> dict[str, Behaviour]:
    """Runs a Python file, which is to register behaviours with ``@behaviour``, and returns those, by name.

    The same file may be loaded again, changed or not; what it registered before is replaced. It runs with all rights of
    this process: load only what you have read. Raises ``UnweaveError`` for a file that is none, that has other bytes
    than those of ``sha256``, that fails, that registers nothing, or that takes the name of a behaviour from elsewhere.
    """
    path = Path(path).resolve()
    content = read_source(path, "a behaviour", sha256)
    # Those of unweave are registered first, so that it is the file that is refused where both use a name.
    all_behaviours()
    name = module_name(path, _OWN)
    _forget(name)
    try:
        run_source(path, content, name)
    except UnweaveError:
        _forget(name)
        raise
    found = {each.name: each for each in all_behaviours().values() if each.function.__module__ == name}
    if not found:
        _forget(name)
        raise UnweaveError(
            f"{path.name} registers no behaviour: decorate a function with @behaviour(name, meaning, family, unit)"
        )
    return found


def _forget(name: str) -> None:
    sys.modules.pop(name, None)
    forget_behaviours(name)
