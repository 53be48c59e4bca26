"""Writes that are whole or absent, and hashes of what was written."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from unweave.base.errors import oserror_line

_PARTIAL = ".part"


@contextmanager
def atomic_path(path: Path, private: bool = False) -> Iterator[Path]:
    """Yields a temporary path beside ``path`` that replaces it when the block succeeds.

    On any exception, Ctrl-C included, the temporary file is removed and ``path`` keeps its old content. A ``private``
    file is its owner's alone whatever the umask, and so is the folder it stands in if that is made here.
    Raises ``UnweaveError`` naming the path when the disk is full or not writable.
    """
    path = Path(path)
    folder: Path | None = None
    try:
        path.parent.mkdir(0o700 if private else 0o777, parents=True, exist_ok=True)
        # In a folder of its own, because some writers (safetensors) make a temporary file beside the one they write.
        folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=_PARTIAL, dir=path.parent))
        temporary = folder / path.name
        temporary.touch(0o600 if private else 0o666)
        # What the umask left of it; asking for the umask would set it, for other threads too.
        mode = stat.S_IMODE(temporary.stat().st_mode)
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        os.chmod(temporary, mode)
        os.replace(temporary, path)
    except OSError as error:
        raise oserror_line(error, path) from error
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def atomic_folder(path: Path, replace: bool = False) -> Iterator[Path]:
    """Yields a temporary folder beside ``path`` that becomes ``path`` when the block succeeds.

    With ``replace`` an existing folder is swapped out only after the new one is complete; without it an existing
    folder is refused.
    """
    path = Path(path)
    temporary: Path | None = None
    try:
        if path.exists() and not replace:
            from unweave.base.errors import UnweaveError

            raise UnweaveError(f"{path} already exists: choose another --out, or remove it first")
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=_PARTIAL, dir=path.parent))
        mode = _new_folder_mode(temporary)
        yield temporary
        os.chmod(temporary, mode)
        # Some writers (safetensors) create their files for the owner only.
        for written in temporary.rglob("*"):
            if written.is_file():
                os.chmod(written, 0o666 & mode)
        if path.exists():
            old = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".old", dir=path.parent))
            os.replace(path, old / path.name)
            os.replace(temporary, path)
            shutil.rmtree(old, ignore_errors=True)
        else:
            os.replace(temporary, path)
        temporary = None
    except OSError as error:
        raise oserror_line(error, path) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def remove_partial(path: Path) -> None:
    """Removes what processes killed while they wrote ``path`` left beside it. No other process may be writing it."""
    path = Path(path)
    for left in path.parent.glob(f".{glob.escape(path.name)}.{'?' * 8}{_PARTIAL}"):
        shutil.rmtree(left, ignore_errors=True)


def check_writable(folder: Path) -> None:
    """Makes the folder if need be and writes a byte in it, so that hours of work do not end in a refusal."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"0")
    except OSError as error:
        raise oserror_line(error, folder) from error


@contextmanager
def sole_writer(path: Path, seconds: float = 10.0) -> Iterator[None]:
    """Holds a lock beside ``path`` (``PATH.lock``, its owner's alone) while what is there is read and written anew.

    It keeps out other threads and other processes. Raises ``UnweaveError`` when it is not free within ``seconds``.
    """
    from filelock import FileLock, Timeout

    from unweave.base.errors import UnweaveError

    path = Path(path)
    lock = FileLock(path.with_name(f"{path.name}.lock"), timeout=seconds, mode=0o600)
    try:
        lock.acquire()
    except Timeout as error:
        raise UnweaveError(f"{path}: another program is writing it: try again, or stop that one") from error
    except OSError as error:
        raise oserror_line(error, path) from error
    try:
        yield
    finally:
        lock.release()


def write_json(path: Path, value: Any, private: bool = False) -> None:
    """Writes ``value`` as readable JSON, whole or not at all. NaN and infinity are refused."""
    content = json_bytes(value)
    with atomic_path(path, private) as temporary:
        temporary.write_bytes(content)


def json_bytes(value: Any) -> bytes:
    """What ``write_json`` writes of ``value``."""
    return (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False, sort_keys=False) + "\n").encode("utf-8")


def read_json(path: Path) -> Any:
    """Reads JSON, or raises ``UnweaveError`` that names the file and what is wrong with it."""
    try:
        return parsed_json(Path(path).read_bytes(), path)
    except OSError as error:
        raise oserror_line(error, path) from error


def save_tensors(tensors: Mapping[str, Any], path: Path, metadata: Mapping[str, str] | None = None) -> None:
    """Writes tensors as safetensors to ``path``, to be called inside ``atomic_path`` or ``atomic_folder``.

    safetensors reports a full disk as an error of its own; here it is an ``OSError`` again, so that the line a person
    reads is the same as for every other file.
    """
    import errno
    import re

    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        save_file(dict(tensors), path, metadata=dict(metadata) if metadata else None)
    except SafetensorError as error:
        code = re.search(r"os error (\d+)", str(error))
        raise OSError(int(code[1]) if code else errno.EIO, str(error)) from error


@contextmanager
def open_inside(folder: Path, name: str) -> Iterator[BinaryIO]:
    """The regular file ``name`` (parts joined by ``/``) below ``folder``, open to read, reached through no symlink.

    Raises ``OSError`` where there is no such file, and for a symlink even one that has just taken a file's place: each
    part is opened from the folder that holds it. Where a system cannot do that, the resolved path is compared instead.
    """
    parts = _parts(folder, name)
    if os.open not in os.supports_dir_fd:
        path = Path(folder, *parts)
        if path.resolve() != Path(folder).resolve().joinpath(*parts) or not path.is_file():
            raise FileNotFoundError(f"{path} is not a file of its own")
        with open(path, "rb") as source:
            yield source
        return
    with _descended(folder, parts[:-1]) as holder:
        # Without O_NONBLOCK a pipe would be waited for.
        file = os.open(parts[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=holder)
        with open(file, "rb") as source:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise FileNotFoundError(f"{name!r} is not a regular file below {folder}")
            yield source


@contextmanager
def folder_inside(folder: Path, name: str) -> Iterator[int]:
    """The descriptor of the folder ``name`` (parts joined by ``/``) below ``folder``, reached through no symlink.

    Raises ``OSError`` where there is no such folder. For systems that open a file from its folder's descriptor.
    """
    with _descended(folder, _parts(folder, name)) as opened:
        yield opened


@contextmanager
def _descended(folder: Path, parts: Sequence[str]) -> Iterator[int]:
    opened = [os.open(folder, os.O_RDONLY | os.O_DIRECTORY)]
    try:
        for part in parts:
            opened.append(os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=opened[-1]))
        yield opened[-1]
    finally:
        for each in opened:
            os.close(each)


def _parts(folder: Path, name: str) -> list[str]:
    parts = name.split("/")
    if any(part in ("", ".", "..") or set(part) & set("\\\0:") for part in parts):
        raise FileNotFoundError(f"{name!r} is not the name of a file below {folder}")
    return parts


def read_inside(folder: Path, name: str) -> bytes:
    """The content of a file that ``open_inside`` opens."""
    with open_inside(folder, name) as source:
        return source.read()


def read_json_inside(folder: Path, name: str) -> Any:
    """Reads JSON as ``read_inside`` reads a file; every refusal is an ``UnweaveError`` that names the file."""
    path = Path(folder, name)
    try:
        return parsed_json(read_inside(folder, name), path)
    except OSError as error:
        if error.errno is None or path.is_symlink() or path.parent.is_symlink():
            from unweave.base.errors import UnweaveError

            raise UnweaveError(f"{path} is no file of its own, and links are not followed: remove it") from error
        raise oserror_line(error, path) from error


def file_hash(path: Path) -> str:
    """sha256 of a file's bytes, streamed."""
    digest = hashlib.sha256()
    with open(path, "rb") as source:
        for block in iter(lambda: source.read(1 << 22), b""):
            digest.update(block)
    return digest.hexdigest()


def path_hash(path: Path) -> str:
    """sha256 of a file's bytes, or of the names and hashes of all files below a folder."""
    path = Path(path)
    if path.is_file():
        return file_hash(path)
    digest = hashlib.sha256()
    for file in sorted(one for one in path.rglob("*") if one.is_file()):
        digest.update(f"{file.relative_to(path).as_posix()}\0{file_hash(file)}\n".encode())
    return digest.hexdigest()


def parsed_json(content: bytes, path: Path) -> Any:
    """JSON from bytes that were read at ``path``, which a refusal names."""
    from unweave.base.errors import UnweaveError

    try:
        return json.loads(content.decode("utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnweaveError(f"{path} is not valid JSON ({error}): it was damaged or is another kind of file") from error


def _new_folder_mode(inside: Path) -> int:
    """The permissions that the umask leaves to a folder, without setting it to ask."""
    probe = inside / "mode"
    probe.mkdir()
    mode = stat.S_IMODE(probe.stat().st_mode) & 0o777
    probe.rmdir()
    return mode
