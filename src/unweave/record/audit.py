"""The audit: what a run's figures, claims and report show, compared with its saved tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from unweave.base.errors import UnweaveError, oserror_line
from unweave.base.files import read_json
from unweave.record.claims import check_claims
from unweave.record.figure import FigureSpec
from unweave.record.figure_audit import audit_figure
from unweave.record.markup import table_html

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from unweave.record.run import Run


@dataclass(frozen=True)
class Discrepancy:
    """Something shown that its saved table does not hold: where, and what."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


def audit_run(run: Run) -> list[Discrepancy]:
    """Compares every figure, claim and the report of a run with the saved tables; an empty list means no difference."""
    found: list[Discrepancy] = []
    for name in run.tables():
        try:
            run.load_table(name)
        except UnweaveError as error:
            found.append(Discrepancy(f"table {name}", str(error)))
    folder = run.path / "figures"
    for stray in sorted({path.name.split(".svg")[0].removesuffix(".narrow") for path in folder.glob("*.svg")}):
        if stray not in run.figures():
            found.append(Discrepancy(f"figure {stray}", "has no specification, so nothing says what it shows"))
    for name in run.figures():
        found += [Discrepancy(f"figure {name}", what) for what in _saved_figure(run, name)]
    try:
        checked = check_claims(run)
        found += [
            Discrepancy(f"claim {one.claim.sentence!r}", f"{one.verdict}: {one.reason}")
            for one in checked
            if one.verdict != "held"
        ]
    except UnweaveError as error:
        found.append(Discrepancy("claims", str(error)))
    return found + [Discrepancy("report", what) for what in _report(run)]


def _saved_figure(run: Run, name: str) -> Iterator[str]:
    folder = run.path / "figures"
    try:
        spec = FigureSpec.from_json(read_json(folder / f"{name}.json"))
        table = run.load_table(spec.table)
        for file in (f"{name}.svg", f"{name}.narrow.svg"):
            yield from (f"{file}: {what}" for what in audit_figure(_text(folder / file), table, spec))
    except UnweaveError as error:
        yield str(error)


def _report(run: Run) -> Iterator[str]:
    if not (run.path / "report.html").exists():
        return
    try:
        page = _text(run.path / "report.html")
        for name in run.figures():
            for file in (f"{name}.svg", f"{name}.narrow.svg"):
                if f'id="figure-{name}"' in page and _text(run.path / "figures" / file).strip() not in page:
                    yield f"shows another drawing than {file}"
        for name in run.tables():
            if f'id="table-{name}"' in page and table_html(run.load_table(name)) not in page:
                yield f"shows other values than table {name!r}"
    except UnweaveError as error:
        yield str(error)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise oserror_line(error, path) from error
