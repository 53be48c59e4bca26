"""Starting the server: the address is checked and taken first, then subjects and the lab are opened, then it serves."""

from __future__ import annotations

import errno
import ipaddress
import logging
import math
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

from unweave.base.errors import UnweaveError
from unweave.base.terminal import printable
from unweave.lab.lab import Lab
from unweave.lab.serving import announced
from unweave.server.app import make_app
from unweave.server.guard import Guard
from unweave.server.protocol import patient_protocol
from unweave.server.run_subjects import open_runs, told_apart
from unweave.server.scheduling import scheduling
from unweave.server.settings import ServerSettings, origin_of
from unweave.server.token import new_token, token_from

DESCRIPTION = "harvest.json"
GRACE_SECONDS = 3
HEAD_BYTES = 32 * 1024


@dataclass(frozen=True)
class Service:
    """A server that is ready: its socket listens, and its subjects and its lab are known.

    ``without_lab`` says why there is no lab; ``announces`` lets other commands find the page of the lab.
    """

    url: str
    subjects: Mapping[str, Any]
    server: uvicorn.Server
    socket: socket.socket
    lab: Lab | None = None
    without_lab: str = ""
    starts_jobs: bool = True
    announces: bool = True

    def run(self, log: bool = False) -> int:
        """Serves until Ctrl-C and returns the exit code; ``log`` writes a line for each request to standard error.

        Meanwhile it starts the jobs that wait in the lab's queue, unless another process does.
        """
        with ExitStack() as around:
            if self.lab is not None:
                around.callback(self.lab.close)
                if self.announces:
                    around.enter_context(announced(self.lab, self.url))
                if self.starts_jobs:
                    around.enter_context(scheduling(self.lab))
            return self._serve(log)

    def _serve(self, log: bool) -> int:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(_Printable("%(message)s"))
        logger = logging.getLogger("unweave")
        logger.addHandler(handler)
        logging.getLogger("unweave.access").setLevel(logging.INFO if log else logging.WARNING)
        try:
            self.server.run(sockets=[self.socket])
        except KeyboardInterrupt:
            pass  # how a server is meant to end
        finally:
            logger.removeHandler(handler)
            self.socket.close()
        return 0


class _Printable(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


def prepare(
    harvests: Sequence[Path] = (),
    host: str = "127.0.0.1",
    port: int = 8765,
    trusted: Sequence[str] = (),
    token_file: Path | None = None,
    runs: Path | None = None,
    starts_jobs: bool = True,
) -> Service:
    """Checks the address, takes the port (0: any that is free), opens the harvests, runs and the lab, and listens.

    ``harvests`` may name runs that can be asked about too; of none, the harvests below the current folder are taken.
    Such runs of the lab are shown anyway, also those that finish later. ``runs`` is the lab's folder, made where it is
    missing. Raises ``UnweaveError`` for an address that other machines reach unless names and a token file are given,
    for a port that is taken, and where there is neither a harvest nor a lab.
    """
    checked = check_address(host, trusted, token_file)
    named, given = told_apart(harvests, runs)
    folders = find_harvests(named) if named or not given else []
    lab, without_lab = open_lab(runs)
    if not folders and not given and lab is None:
        raise UnweaveError(
            f"there is no harvest here, and no lab{f' ({without_lab})' if without_lab else ''}: make a harvest with "
            "`unweave harvest`, give the path of one (unweave serve HARVEST), or start a run with `unweave run`"
        )
    token = token_from(token_file) if token_file is not None else new_token()
    bound = bind(checked, port)
    try:
        number = bound.getsockname()[1]
        names = names_of(checked, number, trusted)
        settings = ServerSettings(token, number, names)
        subjects = open_runs(given, lab.root if lab is not None else None, beside=open_subjects(folders))
        server = make_server(make_app(subjects, settings, lab=lab), settings)
    except BaseException:
        bound.close()
        raise
    url = f"{origin_of(names[0], number)[1].decode()}/?token={token}"
    return Service(url, subjects, server, bound, lab, without_lab, starts_jobs)


def names_of(host: str, port: int, trusted: Sequence[str]) -> tuple[str, ...]:
    """The names that a server answers to beside the local ones; the first is the one that it prints."""
    shown = f"[{host}]" if ":" in host else host
    return tuple(trusted) if trusted and not is_loopback(host) else (f"{shown}:{port}", *trusted)


def open_lab(runs: Path | None) -> tuple[Lab | None, str]:
    """The lab of that folder, ready to be asked; or None and why not, so that harvests are shown without it."""
    if runs is None:
        return None, ""
    try:
        lab = Lab(runs)
        lab.people.here()
        return lab, ""
    except UnweaveError as error:
        return None, str(error)


def make_server(app: Guard, settings: ServerSettings) -> uvicorn.Server:
    """uvicorn with this project's protocol: no websockets, no proxy's word taken, no log of its own but errors."""
    limits = settings.limits
    config = uvicorn.Config(
        app,
        http=patient_protocol(limits),
        ws="none",
        lifespan="on",
        log_config=None,
        log_level="error",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=math.ceil(limits.header_seconds),
        timeout_graceful_shutdown=GRACE_SECONDS,
        h11_max_incomplete_event_size=HEAD_BYTES,
    )
    return uvicorn.Server(config)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches ``host``; a name other than localhost may stand for anything."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_address(host: str, trusted: Sequence[str], token_file: Path | None) -> str:
    """The address to bind. Raises ``UnweaveError`` for one that other machines reach without the flags for that."""
    for name in trusted:
        origin_of(name, 1)
    lacking = [
        flag
        for flag, given in (("--trusted-host NAME", trusted), ("--token-file FILE", token_file is not None))
        if not given
    ]
    if not is_loopback(host) and lacking:
        raise UnweaveError(
            f"--host {host!r} lets other machines in: give {' and '.join(lacking)} too (the name that their browsers "
            "will show, and a token of your own), or leave --host out. Plain HTTP can be read on the way: better an "
            "ssh tunnel, or a proxy with TLS and --trusted-host https://NAME"
        )
    # What localhost stands for is in a file that others may have changed.
    return "127.0.0.1" if host == "localhost" else host


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens on ``port`` of ``host``; who connects waits until it is served. Raises ``UnweaveError``."""
    bound = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
        # On Windows the same option would let two servers share a port.
        option = getattr(socket, "SO_EXCLUSIVEADDRUSE", socket.SO_REUSEADDR)
        bound.setsockopt(socket.SOL_SOCKET, option, 1)
        bound.bind(address)
        # Without this a second server could bind the same port too, and would be refused only when it listens.
        bound.listen(128)
        return bound
    except (OSError, OverflowError) as error:
        if bound is not None:
            bound.close()
        number = getattr(error, "errno", None)
        if number == errno.EADDRINUSE:
            raise UnweaveError(
                f"port {port} on {host} is taken: stop the program that has it, or choose another with --port (0: any)"
            ) from error
        reason = getattr(error, "strerror", None) or error
        raise UnweaveError(
            f"cannot take port {port} on {host} ({reason}): choose others with --port and --host"
        ) from error


def find_harvests(given: Sequence[Path]) -> list[Path]:
    """Harvest folders: those given, else ``*.harvest`` here and one folder down. What is given must be one."""
    folders = [Path(folder) for folder in given]
    for folder in folders:
        if not (folder / DESCRIPTION).is_file():
            what = f"it has no {DESCRIPTION}" if folder.exists() else "there is no such folder"
            raise UnweaveError(f"{folder} is not a harvest: {what}")
    if not folders:
        found = sorted([*Path().glob("*.harvest"), *Path().glob("*/*.harvest")])
        folders = [folder for folder in found if not folder.is_symlink() and (folder / DESCRIPTION).is_file()]
    for folder in folders:
        linked = sorted(path.name for path in folder.iterdir() if path.is_symlink())
        if linked:
            raise UnweaveError(f"{folder} holds a symlink, {linked[0]!r}: a harvest's files are its own")
    return folders


def open_subjects(folders: Sequence[Path]) -> dict[str, Any]:
    """The subjects of harvest folders by the id that they have in URLs."""
    from unweave.read.subject import open_subject

    found: dict[str, Any] = {}
    for folder in folders:
        subject = open_subject(folder)
        if subject.id in found:
            raise UnweaveError(f"{folder} is given twice: give it once")
        found[subject.id] = subject
    return found
