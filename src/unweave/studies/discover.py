"""Studies from elsewhere: a single Python file, and packages that offer some by the entry point ``unweave.studies``."""

from __future__ import annotations

import ast
import hashlib
import sys
import warnings
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from unweave.base.errors import UnweaveError, first_line, oserror_line
from unweave.base.source_file import module_name, read_source, run_source
from unweave.studies import registry

if TYPE_CHECKING:
    from unweave.studies.registry import Study

GROUP = "unweave.studies"
_OWN = "unweave_user_"


def load_source(path: Path | str, sha256: str | None = None) -> dict[str, Study]:
    """Runs a Python file, which is to register studies with ``@study``, and returns those, by name.

    The same file may be loaded again, changed or not; what it registered before is replaced. It runs with all rights
    of this process: code that nobody has read belongs into the sandbox. Raises ``UnweaveError`` for a file that is
    none, that has other bytes than those of ``sha256``, that fails, that registers nothing, or that takes the name of
    a study from elsewhere.
    """
    path = Path(path).resolve()
    content = read_source(path, "a study", sha256)
    name = module_name(path, _OWN)
    forget_module(name)
    try:
        run_source(path, content, name)
    except UnweaveError:
        forget_module(name)
        raise
    found = {study.name: study for study in registry.registered().values() if study.function.__module__ == name}
    if not found:
        forget_module(name)
        raise UnweaveError(f"{path.name} registers no study: decorate a function with @study(name, question, Config)")
    return found


def named_in(path: Path | str) -> list[str]:
    """The names of the studies that a Python file registers, read from its text: nothing of it runs.

    Seen are functions decorated with ``@study("NAME", ...)``; a name that is computed is not. Raises ``UnweaveError``
    for a file that is no Python.
    """
    path = Path(path)
    try:
        tree = ast.parse(path.read_bytes(), path.name)
    except OSError as error:
        raise oserror_line(error, path) from error
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UnweaveError(f"{path.name} is not Python: {first_line(error)}") from error
    found = []
    for node in ast.walk(tree):
        for call in node.decorator_list if isinstance(node, ast.FunctionDef) else ():
            called = getattr(call, "func", None)
            if isinstance(call, ast.Call) and "study" in (getattr(called, "attr", None), getattr(called, "id", None)):
                named = [keyword.value for keyword in call.keywords if keyword.arg == "name"]
                found += [getattr(value, "value", None) for value in (*call.args[:1], *named)]
    return [name for name in found if isinstance(name, str)]


def source_hash(path: Path | str) -> str:
    """sha256 of a source file's bytes, by which it is recorded and allowed."""
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError as error:
        raise oserror_line(error, path) from error


@cache
def load_entry_points() -> None:
    """Imports what installed packages offer under ``unweave.studies``; one that fails is said and left out."""
    for point in metadata.entry_points(group=GROUP):
        try:
            point.load()
        except Exception as error:  # another package's fault must not take the other studies away
            warnings.warn(
                f"the studies of {point.value!r} do not load: {first_line(error)} ({type(error).__name__})",
                RuntimeWarning,
                stacklevel=2,
            )


def forget_sources() -> None:
    """Takes back what files loaded by ``load_source`` registered."""
    for name in [name for name in sys.modules if name.startswith(_OWN)]:
        forget_module(name)


def forget_module(name: str) -> None:
    """Takes back what the module ``name`` registered."""
    sys.modules.pop(name, None)
    for study in [study for study in registry.registered().values() if study.function.__module__ == name]:
        registry.unregister(study.name)
