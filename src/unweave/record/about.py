"""What else a run knows of itself: the plan and thread it belongs to, its seeds, and the code a person wrote for it."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unweave.base.errors import UnweaveError, nearest, oserror_line
from unweave.record.table import check_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

KEYS = ("plan", "seeds", "thread", "job", "person", "parents", "tags", "source")
KINDS = ("target", "data", "held-out", "decomposition")
"""What a run's numbers depend on beside its code and its config."""
_SOURCE_BYTES = 1_000_000


def checked_about(about: Mapping[str, Any]) -> dict[str, Any]:
    """``about`` with what is not None, or ``UnweaveError`` for a key that no run has or a value of another kind."""
    found = {key: value for key, value in about.items() if value is not None}
    for key, value in found.items():
        if key not in KEYS:
            raise UnweaveError(f"{key!r} is not something a run records of itself; {nearest(key, KEYS)}")
        try:
            json.dumps(value if key != "source" else None, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise UnweaveError(f"{key!r} of a run is not plain JSON ({error})") from error
        if key in ("parents", "tags") and not _all(value, str):
            raise UnweaveError(f"{key!r} of a run is {value!r}: give a list of texts")
        if key in ("thread", "job", "person") and not isinstance(value, str):
            raise UnweaveError(f"{key!r} of a run is {value!r}: give its name as text")
    if "seeds" in found:
        found["seeds"] = checked_seeds(found["seeds"])
    return found


def checked_seeds(seeds: Sequence[int]) -> list[int]:
    """``seeds`` as a list of different whole numbers."""
    if not _all(seeds, int) or len(set(seeds)) != len(seeds) or not seeds:
        raise UnweaveError(f"seeds are {seeds!r}: give a list of different whole numbers")
    return list(seeds)


def keep_source(source: str | Path, folder: Path) -> dict[str, str]:
    """Copies the Python file of a person's own study into ``folder/code``; returns its name there and its sha256."""
    source = Path(source)
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}\.py", source.name):
        raise UnweaveError(f"{source}: give a Python file whose name has letters, digits, '_', '-' and '.' only")
    try:
        if not source.is_file() or source.stat().st_size > _SOURCE_BYTES:
            raise UnweaveError(f"{source} is not a Python file of at most {_SOURCE_BYTES:,} bytes")
        content = source.read_bytes()
        (folder / "code").mkdir()
        (folder / "code" / source.name).write_bytes(content)
    except OSError as error:
        raise oserror_line(error, source) from error
    return {"file": f"code/{source.name}", "sha256": hashlib.sha256(content).hexdigest()}


def with_identity(
    known: Sequence[Mapping[str, Any]], kind: str, name: str, sha256: str, facts: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """``known`` with one more identity; one that is there already must be of the same bytes."""
    if kind not in KINDS:
        raise UnweaveError(f"{kind!r} is no kind of what a run depends on; {nearest(kind, KINDS)}")
    if not name or not re.fullmatch(r"[0-9a-f]{16,64}", sha256):
        raise UnweaveError(f"{kind} {name!r} has sha256 {sha256!r}: give a name and at least 16 hexadecimal digits")
    for one in known:
        if (one["kind"], one["name"]) == (kind, name) and one["sha256"] != sha256:
            raise UnweaveError(
                f"the run was started with another {kind} {name!r}: put that one back, or start a new run"
            )
    others = [dict(one) for one in known if (one["kind"], one["name"]) != (kind, name)]
    return [*others, {"kind": kind, "name": name, "sha256": sha256, **facts}]


def with_deviation(known: Mapping[str, str], what: str, why: str) -> dict[str, str]:
    """``known`` deviations from the plan with one more: what differs, as ``config.tokens`` or ``seeds``, and why."""
    if not re.fullmatch(r"(config|data|identities)\..+|study|seeds|code|metric", what):
        raise UnweaveError(f"{what!r} is no part of a plan: use study, seeds, code, metric, config.NAME or data.NAME")
    if not why.strip():
        raise UnweaveError(f"a deviation from the plan in {what!r} needs a reason: say why")
    return {**known, what: why}


def check_id(name: str) -> str:
    """``name``, where it can be a run's: refused before it becomes part of a path."""
    check_name(name, "run")
    return name


def _all(values: Any, kind: type) -> bool:
    return isinstance(values, (list, tuple)) and all(
        isinstance(value, kind) and not isinstance(value, bool) for value in values
    )
