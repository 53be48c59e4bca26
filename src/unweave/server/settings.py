"""How a server is reached and what it bears: addresses, the token, limits."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from unweave.base.errors import UnweaveError

# A name or address as browsers write it in Host, with a port where it is not the scheme's own.
_TRUSTED = re.compile(
    r"(?:(https?)://)?([a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?|\[[0-9a-f:.]{2,45}\])(?::([1-9]\d{0,4}))?"
)
LOCAL_NAMES = ("127.0.0.1", "localhost", "[::1]")


@dataclass(frozen=True)
class Limits:
    """What one server bears before it refuses."""

    body_bytes: int = 1 << 20
    body_seconds: float = 15.0
    """Time for all of a request's body to arrive."""
    header_seconds: float = 10.0
    """Time for a request's first lines to arrive on an open connection, and for an idle one to be used again."""
    depth: int = 32
    """How deeply JSON may nest."""
    items: int = 50_000
    """Elements of one JSON list, and keys of one object."""
    running: int = 4
    """Views that run at once; others wait."""
    waiting: int = 64
    connections: int = 256


@dataclass(frozen=True)
class ServerSettings:
    """The token that lets requests in, the port, and names beside the local ones that the server answers to."""

    token: str
    port: int
    trusted: tuple[str, ...] = ()
    """``NAME``, ``NAME:PORT`` (a forwarded port), or ``https://NAME`` for a proxy that speaks TLS."""
    limits: Limits = field(default_factory=Limits)

    @cached_property
    def origins(self) -> Mapping[bytes, bytes]:
        """The origin of each value of the Host header that is answered, compared byte for byte."""
        local = [f"{name}:{self.port}" for name in LOCAL_NAMES]
        return dict(origin_of(name, self.port) for name in (*local, *self.trusted))


def origin_of(trusted: str, port: int) -> tuple[bytes, bytes]:
    """The Host header and the origin that a browser sends to a trusted name; ``UnweaveError`` for what is no name."""
    match = _TRUSTED.fullmatch(trusted)
    if match is None or int(match[3] or 1) > 65535:
        raise UnweaveError(
            f"--trusted-host {trusted!r} is not a name: give NAME, NAME:PORT, or https://NAME, in lower case, as the "
            "browser's address line shows it"
        )
    scheme, name, given = match[1] or "http", match[2], match[3]
    usual = {"http": 80, "https": 443}[scheme]
    # Behind a proxy the port is the proxy's, which its URL leaves out where it is the usual one.
    number = int(given) if given else usual if match[1] else port
    host = name if number == usual else f"{name}:{number}"
    return host.encode(), f"{scheme}://{host}".encode()
