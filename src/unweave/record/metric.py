"""A number read from a run's metrics, bound to the bytes of the files that they were logged to."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unweave.base.errors import UnweaveError, nearest, oserror_line
from unweave.record import jsonl, spool

if TYPE_CHECKING:
    from collections.abc import Mapping

    from unweave.record.table import Value

HOW = ("last", "first", "max", "min", "mean")
PREFIX = "metrics:"
"""``metrics:last`` stands where a claim on a table has the table's name; no table's name holds a colon."""


def metric_lengths(folder: Path) -> dict[str, int]:
    """The bytes of whole lines that each of the run's metrics files holds."""
    return {path.name: content.rfind(b"\n") + 1 for path, content in _contents(folder).items()}


def metric_digest(folder: Path, lengths: Mapping[str, int]) -> str:
    """sha256 of the first ``lengths`` bytes of each metrics file, with the files' names and these lengths.

    Raises ``UnweaveError`` when a file is gone or shorter.
    """
    contents = {path.name: content for path, content in _contents(folder).items()}
    digest = hashlib.sha256()
    for name in sorted(lengths):
        content = contents.get(name, b"")
        if len(content) < lengths[name]:
            raise UnweaveError(f"{Path(folder) / name} is gone or shorter than it was: what was logged there is lost")
        digest.update(f"{name} {lengths[name]}\n".encode() + content[: lengths[name]])
    return digest.hexdigest()


def metric_rows(folder: Path, lengths: Mapping[str, int] | None = None) -> list[dict[str, Any]]:
    """Every logged row (or those in the first ``lengths`` bytes), of several writers in the order of their times."""
    return spool.in_order(
        [
            jsonl.parsed(content if lengths is None else content[: lengths.get(path.name, 0)], path)
            for path, content in _contents(folder).items()
        ]
    )


def read_metric(
    rows: list[dict[str, Any]], metric: str, how: str, where: Mapping[str, Value] | None = None
) -> float | int:
    """``how`` over ``metric`` in the rows that ``where`` selects; ``step>=`` and ``step<=`` bound the step.

    Raises ``UnweaveError`` where no row has the metric, and where one of them is no finite number.
    """
    values = [row[metric] for row in rows_read(rows, metric, how, where)]
    return {"max": max, "min": min, "mean": _mean}.get(how, lambda found: found[0])(values)


def rows_read(
    rows: list[dict[str, Any]], metric: str, how: str, where: Mapping[str, Value] | None = None
) -> list[dict[str, Any]]:
    """The rows whose values ``read_metric`` takes, or the ``UnweaveError`` that it raises."""
    if how not in HOW:
        raise UnweaveError(f"a metric's {how!r}: use one of {', '.join(HOW)}")
    chosen = rows_with(rows, metric, where or {})
    if not chosen:
        known = dict.fromkeys(name for row in rows for name in row if name not in ("time", "step"))
        raise UnweaveError(
            f"no row logged {metric!r}{f' with {dict(where)}' if where else ''}; {nearest(metric, known)}"
        )
    used = {"last": chosen[-1:], "first": chosen[:1]}.get(how, chosen)
    for row in used:
        value = row[metric]
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            at = f" at step {row['step']}" if "step" in row else ""
            raise UnweaveError(f"{metric!r}{at} is {value!r}, not a finite number: nothing to claim")
    return used


def rows_with(rows: list[dict[str, Any]], metric: str, where: Mapping[str, Value]) -> list[dict[str, Any]]:
    """The rows that ``where`` selects and that have the metric, whatever it came to."""
    return [row for row in rows if metric in row and _selected(row, where)]


def _selected(row: Mapping[str, Any], where: Mapping[str, Value]) -> bool:
    for name, wanted in where.items():
        if name in ("step>=", "step<="):
            step = row.get("step")
            if not isinstance(step, int) or not isinstance(wanted, int):
                return False
            if step < wanted if name == "step>=" else step > wanted:
                return False
        elif row.get(name) != wanted:
            return False
    return True


def _mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)


def _contents(folder: Path) -> dict[Path, bytes]:
    found = {}
    for path in spool.paths(folder):
        try:
            found[path] = path.read_bytes()
        except OSError as error:
            raise oserror_line(error, path) from error
    return found
