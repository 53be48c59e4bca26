"""Where things are cached and whether the network may be used."""

from __future__ import annotations

import os
from pathlib import Path

from unweave.base.errors import UnweaveError


def cache_folder(*parts: str) -> Path:
    """The folder for converted models and captured activations: ``$UNWEAVE_CACHE``, else the platform's own."""
    chosen = os.environ.get("UNWEAVE_CACHE")
    if chosen:
        root = Path(chosen).expanduser()
    else:
        import platformdirs

        root = Path(platformdirs.user_cache_dir("unweave", appauthor=False))
    return root.joinpath(*parts)


def offline() -> bool:
    """True when ``UNWEAVE_OFFLINE`` (or Hugging Face's own switch) forbids the network."""
    return any(_is_on(os.environ.get(name)) for name in ("UNWEAVE_OFFLINE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"))


def set_offline() -> None:
    """Forbids the network for this process and the libraries it loads later."""
    os.environ["UNWEAVE_OFFLINE"] = "1"
    os.environ["HF_HUB_OFFLINE"] = "1"


def refuse_when_offline(what: str) -> None:
    """Raises ``UnweaveError`` when ``what`` would need the network and the network is forbidden."""
    if offline():
        raise UnweaveError(
            f"{what} needs the network, and offline is set: use a local folder, or unset UNWEAVE_OFFLINE"
        )


def launched_process() -> tuple[int, int]:
    """The number of this process, from 0, and how many torchrun started with it; (0, 1) without torchrun."""
    count = int(os.environ.get("WORLD_SIZE", "1")) if "MASTER_ADDR" in os.environ else 1
    return (int(os.environ.get("RANK", "0")), count) if count > 1 else (0, 1)


def _is_on(value: str | None) -> bool:
    return value is not None and value.strip().lower() not in ("", "0", "false", "no", "off")
