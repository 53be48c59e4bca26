"""Errors a person can act on, each with the exit code the command line returns."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UnweaveError(Exception):
    """A refusal in one line: what was wrong, the value, and what to do. Exit code 2."""

    exit_code = 2


class DecompositionFailed(UnweaveError):
    """A decomposition was trained and did not pass its own check at the model's logits. Exit code 1."""

    exit_code = 1


class NothingFound(UnweaveError):
    """A study found no effect above its null. A result, not a fault: exit code 1."""

    exit_code = 1


def nearest(value: str, choices: Iterable[str], limit: int = 3) -> str:
    """The closest valid names, rendered for the end of an error line: ``nearest: 'a', 'b'``."""
    names = list(choices)
    close = difflib.get_close_matches(value, names, n=limit, cutoff=0.3) or names[:limit]
    return "nearest: " + ", ".join(repr(name) for name in close) if close else "there are none"


def oserror_line(error: OSError, path: object) -> UnweaveError:
    """Turns a failed write or read into one line that names the path and the remedy."""
    import errno

    remedy = {
        errno.ENOSPC: "the disk is full: free some space, or set UNWEAVE_CACHE or --out to another disk",
        errno.EDQUOT: "the disk quota is used up: free some space, or set UNWEAVE_CACHE or --out elsewhere",
        errno.EACCES: "no permission: choose a folder you can write to with --out or UNWEAVE_CACHE",
        errno.EPERM: "not permitted: choose a folder you can write to with --out or UNWEAVE_CACHE",
        errno.EROFS: "the file system is read-only: choose another folder with --out or UNWEAVE_CACHE",
        errno.EEXIST: "it exists already, as another kind of thing: choose another path",
        errno.EFBIG: "the file would be larger than this file system allows: choose another folder",
        errno.ENOENT: "it does not exist: check the path",
        errno.ENOTDIR: "part of the path is a file, not a folder: check the path",
        errno.EISDIR: "it is a folder, and a file was expected: check the path",
    }.get(error.errno or 0, error.strerror or "the operating system refused")
    return UnweaveError(f"{path}: {remedy}")


def first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
