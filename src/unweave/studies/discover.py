"""Studies in a file of one's own."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from pathlib import Path

from unweave.base.errors import UnweaveError, first_line, oserror_line
from unweave.studies.registry import registered_by


def load_source(path: Path) -> list[str]:
    """Runs a Python file that registers studies with ``@study``, once for each content, and returns their names."""
    path = Path(path)
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise oserror_line(error, path) from error
    name = f"unweave_source_{path.stem}_{digest[:12]}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise UnweaveError(f"{path} is not a Python file: give one that registers a study with @study")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            del sys.modules[name]
            if isinstance(error, UnweaveError):
                raise
            raise UnweaveError(f"{path}: {type(error).__name__}: {first_line(error)}") from error
    found = registered_by(name)
    if not found:
        raise UnweaveError(f"{path} registers no study: decorate a function (config, run=None) with @study")
    return found
