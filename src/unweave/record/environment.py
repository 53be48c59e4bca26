"""Where and with what a run was made, and whether the process that made it still lives."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

LIBRARIES = ("torch", "transformers", "peft", "tokenizers", "safetensors", "numpy")


def environment() -> dict[str, Any]:
    """Versions, code commit and hash, platform and CPU count, read without importing the libraries.

    None of the process's environment variables, which may hold keys, is among them. Read once a process: what it has
    imported does not change with the files.
    """
    # The package itself is above no room, so it is asked for its version without an import.
    return {"unweave": sys.modules["unweave"].__version__, **_read_once()}


@cache
def _read_once() -> dict[str, Any]:
    package = Path(__file__).resolve().parents[1]
    return {
        **_commit(package),
        "code": {"tree": code_tree(package)},
        "python": platform.python_version(),
        "libraries": {name: _version(name) for name in LIBRARIES},
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
    }


def code_tree(package: Path) -> str:
    """sha256 over the names and bytes of a package's Python files: one other byte of code is another tree."""
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py"), key=lambda path: path.relative_to(package).as_posix()):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(package).as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def this_process(pid: int | None = None) -> dict[str, Any]:
    """What later tells this process (or ``pid``) from another one: host, process id, and when the process started."""
    pid = pid or os.getpid()
    return {"host": platform.node(), "pid": pid, "started": _start_of(pid)}


def is_gone(process: dict[str, Any]) -> bool:
    """True only when the process is certainly dead.

    A process on another host cannot be looked at from here, so it counts as alive; so does one on Windows, where
    signal 0 would end the process instead of asking for it. A process id that was given to a newer process is told by
    its start time, where the system shows it (Linux).
    """
    if process.get("host") != platform.node() or sys.platform == "win32":
        return False
    pid = process.get("pid")
    if not isinstance(pid, int) or pid <= 0:
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return process.get("started") is not None and _start_of(pid) != process["started"]


def _start_of(pid: int) -> str | None:
    """Boot id and start in clock ticks since boot."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None
    # A zombie has ended and only waits to be collected.
    return None if fields[0] == "Z" else f"{boot}/{fields[19]}"


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _commit(package: Path) -> dict[str, Any]:
    # An installed package may lie inside some other project's checkout, whose commit says nothing about this code.
    checkout = package.parent.parent
    if package.parent.name != "src" or not (checkout / ".git").exists():
        return {"commit": None, "modified": None}
    commit = _git(checkout, "rev-parse", "HEAD")
    changes = _git(checkout, "status", "--porcelain", "--untracked-files=no")
    return {"commit": commit or None, "modified": None if changes is None else bool(changes)}


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
