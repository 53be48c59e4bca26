"""Where a lab is served: a file in the lab that its owner alone can read, for commands that open the page."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

from unweave.base.errors import UnweaveError
from unweave.base.files import read_json_inside, write_json
from unweave.record.environment import is_gone, this_process

if TYPE_CHECKING:
    from unweave.lab.lab import Lab

FILE = "server.json"


@dataclass(frozen=True)
class Served:
    """A server that runs: its address, and the token that lets its owner in."""

    origin: str
    token: str

    def page(self, path: str) -> str:
        """The address that signs a browser in and leads to ``path``."""
        return f"{self.origin}/?{urlencode({'token': self.token, 'to': path})}"


@contextmanager
def announced(lab: Lab, url: str) -> Iterator[None]:
    """Says in the lab, while it is entered, that ``url`` (with its token) serves it; one that is only read stays so."""
    path = lab.home / FILE
    # Another server of the same lab may have said so; the last one is found.
    with suppress(UnweaveError):
        write_json(path, {"url": url, "process": this_process()}, private=True)
    try:
        yield
    finally:
        with suppress(UnweaveError, OSError):
            if read_json_inside(lab.home, FILE)["url"] == url:
                path.unlink()


def served_at(root: Path) -> Served | None:
    """The server of the lab in ``root``; None where none runs."""
    try:
        said = read_json_inside(Path(root) / ".lab", FILE)
        if is_gone(said["process"]):
            return None
        parts = urlsplit(said["url"])
        token = dict(pair.split("=", 1) for pair in parts.query.split("&"))["token"]
    except (UnweaveError, OSError, KeyError, TypeError, ValueError):
        return None
    return Served(f"{parts.scheme}://{parts.netloc}", token)
