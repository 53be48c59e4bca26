"""Connecting to a Ray cluster: to the one whose address is given, or to a new one that nobody else can reach."""

from __future__ import annotations

import os
import secrets
from importlib import import_module
from typing import Any

from unweave.base.errors import UnweaveError, first_line

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_USUAL: dict[str, Any] = {"log_to_driver": False, "namespace": "unweave", "logging_level": "warning"}


def connect(address: str | None) -> Any:
    """Ray, connected to the cluster at ``address``, or to a new one of this machine alone on the loopback address.

    Raises ``UnweaveError`` where Ray is not installed, does not answer, or the address is not HOST:PORT.
    """
    # Nothing is reported to Ray's makers.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if address is None and "RAY_AUTH_MODE" not in os.environ:
        # Other users of this machine reach the loopback address too; versions that know tokens ask them for this one.
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    try:
        import ray
    except ImportError as error:
        raise UnweaveError("running on other machines needs Ray: pip install 'unweave[ray]'") from error
    if address is not None and (address in ("auto", "local") or "://" in address or ":" not in address):
        raise UnweaveError(f"ray address {address!r}: give HOST:PORT of the cluster's head, as `ray start` prints it")
    if address is None or address.rpartition(":")[0] in LOOPBACK:
        # Ray takes the machine's outward address in its place: such a cluster does not listen there, or should not.
        vars(import_module("ray._private.ray_constants"))["ENABLE_RAY_CLUSTER"] = False
    try:
        if address is None:
            ray.init(address="local", _node_ip_address="127.0.0.1", include_dashboard=False, **_USUAL)
        else:
            ray.init(address=address, **_USUAL)
    except Exception as error:
        raise UnweaveError(f"Ray at {address or 'this machine'}: {first_line(error)}") from error
    return ray
