"""Operations on runs: the list, and all that is known of one."""

from __future__ import annotations

import math
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeGuard

from unweave.base.errors import UnweaveError
from unweave.base.files import read_json_inside
from unweave.lab.operations.finding import find_job, open_run
from unweave.lab.operations.models import Amounts, RunProgress
from unweave.lab.operations.registry import operation
from unweave.lab.operations.run_models import RunAnswer, RunRequest, RunRow, RunsAnswer, RunsRequest, TableEntry

if TYPE_CHECKING:
    from unweave.lab.lab import Lab
    from unweave.lab.people import Person
    from unweave.lab.store.page import RunRow as Listed
    from unweave.record.run import Run


@operation("runs", "the lab's runs, a page at a time", RunsRequest, RunsAnswer, "read", agent=True)
def runs(lab: Lab, person: Person, request: RunsRequest) -> RunsAnswer:
    lab.freshness.ensure()
    page = lab.runs.list(**request.model_dump())
    return RunsAnswer(rows=[RunRow(**row_of(one)) for one in page.rows], total=page.total, next=page.next)


@operation("run", "all that is known of one run", RunRequest, RunAnswer, "read", agent=True)
def run(lab: Lab, person: Person, request: RunRequest) -> RunAnswer:
    found = open_run(lab, request.run)
    row, state, job = lab.runs.get(found.id), found.state(), find_job(lab, found.id)
    return RunAnswer(
        **row_of(row),
        question=_question(found.study),
        config=found.config,
        plan=state.get("plan"),
        seeds=state.get("seeds") or [],
        parents=state.get("parents") or [],
        tags=state.get("tags") or [],
        environment=state["environment"],
        identities=state.get("identities") or [],
        source=(state.get("source") or {}).get("file"),
        resumed=state.get("resumed") or [],
        tables=_tables(found),
        figures=found.figures(),
        claims=len(found.claims()),
        metrics=any(found.path.glob("metrics*.jsonl")),
        report=(found.path / "report.html").is_file(),
        needs=Amounts(**job.needs.to_json()) if job else None,
        usage=dict(job.usage) if job else {},
        job_state=job.state if job else None,
    )


def row_of(row: Listed) -> dict[str, Any]:
    """A run of the index, as an answer has it."""
    listed = asdict(row)
    progress = listed.pop("progress")
    return {**listed, "progress": progress_of(progress)}


def progress_of(said: dict[str, Any] | None) -> RunProgress | None:
    """What a run at work last said of itself; None where that cannot be read."""
    done, total, at = ((said or {}).get(name) for name in ("done", "total", "at"))
    if not _is_number(done):
        return None
    when = datetime.fromtimestamp(at, UTC).isoformat() if _is_number(at) and 0 <= at < 1e11 else None
    note = str((said or {}).get("note") or "")
    return RunProgress(done=done, total=total if _is_number(total) else None, note=note, at=when)


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _question(study: str) -> str | None:
    from unweave.studies.registry import all_studies

    found = all_studies().get(study)
    return found.question if found else None


def _tables(run: Run) -> list[TableEntry]:
    """The tables by their descriptions: none of them is read, however large."""
    listed = []
    for name in run.tables():
        try:
            said = read_json_inside(run.path / "tables", f"{name}.json")
            columns = [str(column["name"]) for column in said["columns"]]
            listed.append(TableEntry(name=name, caption=str(said["caption"]), rows=int(said["rows"]), columns=columns))
        except (UnweaveError, KeyError, TypeError, ValueError):
            listed.append(TableEntry(name=name, caption="(its description is damaged)", rows=0, columns=[]))
    return listed
