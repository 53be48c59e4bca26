"""The walls: a bubblewrap command line with no network, no files but the interpreter's, and no other process in sight.

What is inside sees the interpreter, its packages and this package read-only, one writable folder, and an environment of
a few fixed variables. Nothing of the home folder, the lab, other runs, or any other process is there to be read.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from unweave.base.errors import UnweaveError

WORKSPACE = "/sandbox"
SCRATCH_BYTES = 256 << 20
PROGRAM = "bwrap"
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache", "/etc/alternatives")
FIXED = {
    "PATH": "/usr/bin:/bin",
    "HOME": f"{WORKSPACE}/home",
    "TMPDIR": "/tmp",  # noqa: S108  # inside, where it is the sandbox's own
    "LANG": "C.UTF-8",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONHASHSEED": "0",
    "UNWEAVE_OFFLINE": "1",
    "HF_HUB_OFFLINE": "1",
}


def unavailable() -> str | None:
    """Why no sandbox can be made here, in words; None where one can."""
    if not sys.platform.startswith("linux"):
        return f"bubblewrap needs Linux, and this is {sys.platform}"
    if shutil.which(PROGRAM) is None:
        return "bubblewrap is not installed (Debian and Ubuntu: apt install bubblewrap; Fedora: dnf install bubblewrap)"
    try:
        tried = subprocess.run(
            [PROGRAM, "--ro-bind", "/", "/", "--unshare-all", "--die-with-parent", "--proc", "/proc", "true"],
            capture_output=True,
            text=True,
            timeout=20,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return f"bubblewrap does not start ({error})"
    if tried.returncode:
        said = (tried.stderr.strip().splitlines() or ["no reason given"])[-1]
        return f"bubblewrap does not work here ({said})"
    return None


def walls(
    argv: Sequence[str],
    workspace: Path,
    hidden: Sequence[Path] = (),
    readable: Sequence[Path] = (),
    threads: int = 1,
) -> list[str]:
    """The command line that runs ``argv`` with ``workspace`` as its only writable folder, at ``/sandbox``.

    ``readable`` folders are shown read-only at their own path. Raises ``UnweaveError`` where a ``hidden`` path (the
    lab's folder) would be seen through one of them or through the interpreter's own folders.
    """
    shown = [*_interpreter(), *(Path(folder).resolve() for folder in readable)]
    for secret in hidden:
        secret = Path(secret).resolve()
        for folder in shown:
            if secret == folder or secret.is_relative_to(folder) or folder.is_relative_to(secret):
                raise UnweaveError(
                    f"{secret} lies inside {folder}, or the other way round, and {folder} is shown to code in the "
                    "sandbox: keep the lab elsewhere"
                )
    command = [PROGRAM, "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--clearenv"]
    command += ["--hostname", "sandbox"]
    for path in SYSTEM:
        if Path(path).is_symlink():
            command += ["--symlink", os.readlink(path), path]
        elif Path(path).exists():
            command += ["--ro-bind", path, path]
    # Folders in memory count for no process and no disk: each has a size, and the rest of the root is read-only.
    room = ["--size", str(SCRATCH_BYTES), "--tmpfs"]
    command += ["--proc", "/proc", "--dev", "/dev", *room, "/dev/shm", *room, "/tmp"]  # noqa: S108  # new, empty ones
    command += ["--bind", str(Path(workspace).resolve()), WORKSPACE, "--chdir", WORKSPACE]
    # After the others, which would lie over them.
    for folder in shown:
        command += ["--ro-bind", str(folder), str(folder)]
    command += ["--remount-ro", "/dev", "--remount-ro", "/"]
    counted = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))
    for name, value in {**FIXED, **counted}.items():
        command += ["--setenv", name, value]
    return [*command, "--", *argv]


def python_argv(*arguments: str) -> list[str]:
    """This interpreter in isolated mode: no environment variable, user folder or working folder adds to its path."""
    return [sys.executable, "-I", "-B", "-X", "utf8", *arguments]


def package_parent() -> Path:
    """The folder that holds this package."""
    return Path(__file__).resolve().parents[3]


def _interpreter() -> list[Path]:
    """The interpreter's folders and this package, without what lies in one already listed."""
    wanted = [Path(sys.base_prefix), Path(sys.prefix), package_parent() / "unweave"]
    found: list[Path] = []
    for folder in (path.resolve() for path in wanted):
        inside_system = any(folder.is_relative_to(top) for top in SYSTEM if Path(top).is_dir())
        if folder.exists() and not inside_system and not any(folder.is_relative_to(known) for known in found):
            found.append(folder)
    return found
