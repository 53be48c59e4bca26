"""The life of a run: how its description begins, the words for where it stands, and what an exception makes of it."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from unweave.base.errors import NothingFound, UnweaveError, oserror_line
from unweave.base.files import atomic_folder, write_json
from unweave.record.about import checked_about, keep_source
from unweave.record.environment import environment, this_process
from unweave.record.ledger import was_sealed
from unweave.record.table import check_name

STATUSES = ("waiting", "running", "finished", "failed", "interrupted", "cancelled")
ENDINGS = STATUSES[2:]
NOT_RUNS = ("threads",)
"""Folders beside the runs that are none."""


class RunCancelled(UnweaveError):
    """The run was asked to stop, and stopped. Exit code 130, as after Ctrl-C."""

    exit_code = 130


def make_folder(
    study: str, config: Mapping[str, Any], root: Path, name: str | None, about: Mapping[str, Any], status: str
) -> Path:
    """Makes a run's folder with its description in it, whole or not at all; see ``Run.create``."""
    check_name(study, "study")
    known = checked_about(about)
    made = datetime.now(UTC)
    name = name if name is not None else f"{study}-{made:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    check_new(Path(root), name)
    path = Path(root) / name
    begun = status == "running"
    state = {
        "id": path.name,
        "study": study,
        "config": json_config(study, config),
        "status": status,
        "created": made.isoformat(),
        "began": made.isoformat() if begun else None,
        "finished": None,
        "resumed": [],
        "note": None,
        "environment": environment() if begun else {},
        "process": this_process(),
        **known,
    }
    if not path.parent.exists():
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise oserror_line(error, path.parent) from error
    with atomic_folder(path) as folder:
        if "source" in known:
            state["source"] = keep_source(known["source"], folder)
        write_json(folder / "run.json", state)
    return path


def check_new(root: Path, name: str) -> None:
    """Raises ``UnweaveError`` unless a new run in ``root`` may have that name."""
    check_name(name, "run")
    if name in NOT_RUNS:
        raise UnweaveError(f"{name!r} is a folder of the lab's own, and no run's: choose another name")
    if (root / name).exists():
        raise UnweaveError(f"run {root / name} exists already: choose another name, or resume it")
    if was_sealed(root, name):
        # Nothing would tell another run of that name from the first one, edited and sealed again.
        raise UnweaveError(
            f"a run {name!r} finished here before, and its seal is kept though its folder is gone: choose another name"
        )


def json_config(study: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """``config``, or ``UnweaveError`` for the field that is not plain JSON."""
    for name, value in config.items():
        try:
            json.dumps({name: value}, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise UnweaveError(f"field {name!r} of the config of {study!r} is not plain JSON ({error})") from error
    return dict(config)


def ending(error: BaseException | None) -> str:
    """How a run has ended whose block was left by ``error``."""
    if error is None or isinstance(error, NothingFound):
        return "finished"
    if isinstance(error, RunCancelled):
        return "cancelled"
    return "failed" if isinstance(error, Exception) else "interrupted"


def now() -> str:
    """The time as a run writes it."""
    return datetime.now(UTC).isoformat()
