"""The operation that reads what a run wrote up in Markdown."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from pydantic import Field

from unweave.base.errors import UnweaveError, oserror_line
from unweave.base.files import read_inside
from unweave.lab.operations.finding import open_run
from unweave.lab.operations.models import Answer
from unweave.lab.operations.registry import operation
from unweave.lab.operations.run_models import RunRequest

if TYPE_CHECKING:
    from unweave.lab.lab import Lab
    from unweave.lab.people import Person

REPORT = "report.md"
LONGEST = 500_000


class ReportAnswer(Answer):
    """What a run wrote up."""

    run: str
    text: str | None = Field(description="Markdown, references to claims filled in; null where the run wrote none")


@operation("report", "what a run wrote up, in Markdown", RunRequest, ReportAnswer, "read", agent=True)
def report(lab: Lab, person: Person, request: RunRequest) -> ReportAnswer:
    from unweave.lab.audit.text import cited_claims, render_text

    run = open_run(lab, request.run)
    path = run.path / REPORT
    if not path.is_file() and not path.is_symlink():
        return ReportAnswer(run=run.id, text=None)
    try:
        text = read_inside(run.path, REPORT).decode("utf-8", "replace")[:LONGEST]
    except OSError as error:
        raise oserror_line(error, path) from error
    # A reference that leads nowhere stays as it was written: the audit says that it does.
    with suppress(UnweaveError):
        text = render_text(text, cited_claims(text, lab.root, run.id))
    return ReportAnswer(run=run.id, text=text)
