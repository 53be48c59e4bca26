"""The token that lets requests in: made, kept in a file that only its owner reads, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import stat
from pathlib import Path

from unweave.base.errors import UnweaveError, oserror_line

_TOKEN = re.compile(r"[A-Za-z0-9_-]{32,200}")


def new_token() -> str:
    """A token of 256 random bits, in characters that a URL takes as they are."""
    return secrets.token_urlsafe(32)


def token_from(path: Path) -> str:
    """The token in the file ``path``, which is made with a new one where there is none.

    The file is made with mode 0600 and missing folders above it with 0700, whatever the umask. A file that others may
    read, that somebody else owns, that is a symlink or that holds no token is refused. On Windows the folder's own
    rights hold instead of modes.
    """
    path = Path(path)
    try:
        for folder in [folder for folder in reversed(path.parents) if not folder.exists()]:
            folder.mkdir(mode=0o700)
        token = new_token()
        try:
            made = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return _read(path)
        with open(made, "w", encoding="ascii") as file:
            file.write(token + "\n")
        return token
    except OSError as error:
        raise oserror_line(error, path) from error


def _read(path: Path) -> str:
    if path.is_symlink():
        raise UnweaveError(f"{path} is a symlink: give the token's own file")
    with open(os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0)), encoding="ascii", errors="replace") as file:
        facts = os.fstat(file.fileno())
        if not stat.S_ISREG(facts.st_mode):
            raise UnweaveError(f"{path} is not a file: give one that holds a token, or a path for a new one")
        if os.name == "posix" and (facts.st_mode & 0o077 or facts.st_uid != os.getuid()):
            raise UnweaveError(f"{path} holds a token that others can read or change: own it, and `chmod 600` it")
        token = file.read(1000).strip()
    if _TOKEN.fullmatch(token) is None:
        raise UnweaveError(f"{path} holds no token of 32 or more letters, digits, '-' and '_': remove it for a new one")
    return token


def cookie_of(token: str, port: int) -> str:
    """The session's cookie value: a function of the token, so that another token ends every session."""
    return hmac.new(token.encode(), f"unweave session on port {port}".encode(), hashlib.sha256).hexdigest()


def same(given: bytes, wanted: str) -> bool:
    """Whether two secrets are equal, in a time that does not tell where they differ."""
    return hmac.compare_digest(given, wanted.encode())
