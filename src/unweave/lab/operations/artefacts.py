"""Operations on what a run wrote: its log, tables and figures."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from unweave.base.errors import nearest, oserror_line
from unweave.base.files import open_inside, read_inside, read_json_inside
from unweave.base.secrets import scrubbed
from unweave.lab.operations.finding import open_run, open_table
from unweave.lab.operations.registry import Missing, operation
from unweave.lab.operations.run_models import (
    ColumnEntry,
    FigureAnswer,
    FigureRequest,
    LogAnswer,
    LogRequest,
    TableAnswer,
    TableRequest,
)
from unweave.record.figure import FigureSpec

if TYPE_CHECKING:
    from unweave.lab.lab import Lab
    from unweave.lab.people import Person

LOG = "log.txt"
AT_WORK = ("waiting", "running", "paused")


@operation("log", "what a run printed", LogRequest, LogAnswer, "read", agent=True)
def log(lab: Lab, person: Person, request: LogRequest) -> LogAnswer:
    run = open_run(lab, request.run)
    # Read before the log, so that what is printed last is not missed.
    ended = run.status not in AT_WORK
    path = run.path / LOG
    size, content = 0, b""
    try:
        with open_inside(run.path, LOG) as file:
            size = os.fstat(file.fileno()).st_size
            start = min(request.after_byte, size)
            file.seek(start)
            content = file.read(request.limit)
    except FileNotFoundError:
        start = 0
    except OSError as error:
        raise oserror_line(error, path) from error
    whole = _whole_characters(content, start + len(content) >= size and ended)
    # What a run at work printed is scrubbed in the file when it ends.
    text = scrubbed(whole.decode("utf-8", "replace"))
    return LogAnswer(run=run.id, text=text, start=start, next=start + len(whole), size=size, ended=ended)


@operation("table", "rows of a run's table", TableRequest, TableAnswer, "read", agent=True)
def table(lab: Lab, person: Person, request: TableRequest) -> TableAnswer:
    run = open_run(lab, request.run)
    found = open_table(run, request.table)
    columns = [
        ColumnEntry(name=name, kind=kind, unit=found.units.get(name), digits=found.digits.get(name))
        for name, kind in zip(found.columns, found.kinds, strict=True)
    ]
    return TableAnswer(
        run=run.id,
        table=found.name,
        caption=found.caption,
        columns=columns,
        rows=[list(row) for row in found.rows[request.offset : request.offset + request.limit]],
        offset=request.offset,
        total=len(found.rows),
        sha256=found.sha256,
    )


@operation("figure", "a run's figure as SVG", FigureRequest, FigureAnswer, "read")
def figure(lab: Lab, person: Person, request: FigureRequest) -> FigureAnswer:
    run = open_run(lab, request.run)
    name = request.figure
    if name not in run.figures():
        raise Missing(f"run {run.id!r} has no figure {name!r}; {nearest(name, run.figures())}")
    folder = run.path / "figures"
    try:
        spec = FigureSpec.from_json(read_json_inside(folder, f"{name}.json"))
        wide, narrow = (read_inside(folder, f"{name}{part}.svg").decode("utf-8", "replace") for part in ("", ".narrow"))
    except OSError as error:
        raise Missing(f"run {run.id!r} has no figure {name!r} that can be read ({error.strerror})") from error
    return FigureAnswer(
        run=run.id, figure=name, svg=wide, narrow=narrow, title=spec.title, table=spec.table, sha256=spec.sha256
    )


def _whole_characters(content: bytes, complete: bool) -> bytes:
    """``content`` without the beginning of a character whose end is not there yet."""
    if complete:
        return content
    for back in range(1, min(4, len(content)) + 1):
        first = content[-back]
        if first & 0xC0 != 0x80:
            length = 1 if first < 0x80 else 2 if first < 0xE0 else 3 if first < 0xF0 else 4
            return content if back >= length else content[:-back]
    return content
