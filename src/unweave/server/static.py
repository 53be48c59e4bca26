"""The page's files, read once at the start into a listing: no path of a request ever opens a file."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from unweave.base.files import read_inside

PAGE = "index.html"
_KINDS = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}


@dataclass(frozen=True)
class StaticFile:
    """A file's content, its type, and its tag."""

    content: bytes
    kind: str
    tag: str

    def reply(self, request: Request, status: int = 200) -> Response:
        """The file, or 304 for a browser that has it already."""
        # The browser keeps it and asks each time, so that a newer version of the page is seen at once.
        headers = {"etag": self.tag, "cache-control": "private, no-cache"}
        if status == 200 and self.tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(self.content, status, headers, self.kind)


def list_static(folder: Path) -> Mapping[str, StaticFile]:
    """The page's files below ``folder`` by name, of the types that a page is made of; symlinks are left out."""
    found: dict[str, StaticFile] = {}
    for root, _, names in os.walk(folder):
        for name in names:
            path = Path(root, name)
            kind = _KINDS.get(path.suffix)
            if kind is None or name.startswith(".") or path.is_symlink():
                continue
            relative = path.relative_to(folder).as_posix()
            content = read_inside(folder, relative)
            found[relative] = StaticFile(content, kind, f'"{hashlib.sha256(content).hexdigest()[:32]}"')
    return found


def bundled_static() -> Mapping[str, StaticFile]:
    """The files that ship with the package."""
    return list_static(Path(__file__).parent / "static")
