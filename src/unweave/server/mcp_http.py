"""Starting the MCP server over HTTP: the same address, token and protocol as the page's server."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from unweave.lab.lab import Lab
from unweave.server.mcp import PATH, make_mcp_app
from unweave.server.serve import Service, bind, check_address, make_server, names_of
from unweave.server.settings import ServerSettings, origin_of
from unweave.server.token import new_token, token_from


def prepare_mcp(
    runs: Path,
    allowed: str,
    host: str = "127.0.0.1",
    port: int = 8766,
    trusted: Sequence[str] = (),
    token_file: Path | None = None,
) -> tuple[Service, str]:
    """A server that is ready, and its token. Refuses what ``unweave serve`` refuses.

    Where its tools can submit runs, it starts them too, unless another process does.
    """
    checked = check_address(host, trusted, token_file)
    lab = Lab(runs)
    token = token_from(token_file) if token_file is not None else new_token()
    bound = bind(checked, port)
    try:
        number = bound.getsockname()[1]
        names = names_of(checked, number, trusted)
        settings = ServerSettings(token, number, names)
        server = make_server(make_mcp_app(lab, settings, allowed), settings)
    except BaseException:
        bound.close()
        raise
    url = f"{origin_of(names[0], number)[1].decode()}{PATH}"
    return Service(url, {}, server, bound, lab, starts_jobs=allowed != "none", announces=False), token
