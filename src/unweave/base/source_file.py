"""A person's own Python file that registers something: its bytes, and running it as a module."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from pathlib import Path

from unweave.base.errors import UnweaveError, first_line, oserror_line


def read_source(path: Path, registers: str, sha256: str | None = None) -> bytes:
    """The bytes of a ``.py`` file that ``registers`` something: ``a study`` and the like.

    Raises ``UnweaveError`` for a file that is none, or that has other bytes than those of ``sha256``.
    """
    if path.suffix != ".py":
        raise UnweaveError(f"{path.name} is not a Python file: give one ending in .py that registers {registers}")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise oserror_line(error, path) from error
    if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
        raise UnweaveError(f"{path.name} was changed since the run was started: run the changed file anew")
    return content


def module_name(path: Path, prefix: str) -> str:
    """Named for the place, so that a second file of the same name does not replace the first one's module."""
    return f"{prefix}{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"


def run_source(path: Path, content: bytes, name: str) -> None:
    """Runs a file's bytes as the module ``name``, with all rights of this process.

    Raises ``UnweaveError`` where it fails; what it registered until then is the caller's to take back.
    """
    spec = importlib.util.spec_from_loader(name, loader=None, origin=str(path))
    if spec is None:
        raise UnweaveError(f"{path} cannot be loaded as a module")
    module = importlib.util.module_from_spec(spec)
    module.__file__ = str(path)
    sys.modules[name] = module
    try:
        # Compiled from the bytes that were read: those whose hash is recorded, and no cached version of others.
        exec(compile(content, str(path), "exec"), module.__dict__)  # noqa: S102  # the user's own file
    except Exception as error:
        where = f" ({type(error).__name__})" if not isinstance(error, UnweaveError) else ""
        raise UnweaveError(f"{path.name} does not load: {first_line(error)}{where}") from error
