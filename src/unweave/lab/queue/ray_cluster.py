"""Connecting to a Ray cluster: to the one whose address is given, or to a new one that nobody else can reach."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

from unweave.base.errors import UnweaveError, first_line


def connect(address: str | None) -> Any:
    """Ray, connected to the cluster at ``address``, or to a new one of this machine alone on the loopback address."""
    try:
        # Nothing is reported to Ray's makers, and an actor without a GPU of Ray's keeps the machine's.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        import ray
    except ImportError as error:
        raise UnweaveError("running on other machines needs Ray: pip install 'unweave[ray]'") from error
    if address is not None and (address in ("auto", "local") or "://" in address or ":" not in address):
        raise UnweaveError(f"ray address {address!r}: give HOST:PORT of the cluster's head, as `ray start` prints it")
    usual: dict[str, Any] = {"log_to_driver": False, "include_dashboard": False, "namespace": "unweave"}
    try:
        if address is None:
            ray.init(address="local", _node_ip_address="127.0.0.1", **usual)
        else:
            if address.rpartition(":")[0] in ("127.0.0.1", "localhost", "[::1]"):
                # Ray takes the machine's outward address in its place, where such a cluster does not listen.
                vars(import_module("ray._private.ray_constants"))["ENABLE_RAY_CLUSTER"] = False
            ray.init(address=address, log_to_driver=False, namespace="unweave")
    except Exception as error:
        raise UnweaveError(f"Ray at {address or 'this machine'}: {first_line(error)}") from error
    return ray
