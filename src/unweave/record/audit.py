"""The audit: what a run's figures, claims and report show, compared with its saved tables."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unweave.base.errors import UnweaveError, oserror_line
from unweave.base.files import read_json
from unweave.record.claims import check_claims
from unweave.record.figure import FigureSpec
from unweave.record.figure_audit import audit_figure
from unweave.record.markup import rich_html, table_html

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from unweave.record.run import Run


_CLAIMED = re.compile(r'<li class="[a-z-]*"><p>(.*?)</p>', re.DOTALL)


@dataclass(frozen=True)
class Discrepancy:
    """Something shown that its saved table does not hold: where, and what."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


def audit_run(run: Run, claims: bool = True) -> list[Discrepancy]:
    """Compares every figure, claim and the report of a run with the saved tables; an empty list means no difference.

    ``claims`` are left to somebody who checks them in another way. What the lab audits beside this is in
    ``unweave.lab.audit``.
    """
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
    if claims:
        found += _claims(run)
    return found + [Discrepancy("report", what) for what in _report(run)]


def _claims(run: Run) -> Iterator[Discrepancy]:
    try:
        for one in check_claims(run):
            if one.verdict != "held":
                yield Discrepancy(f"claim {one.claim.sentence!r}", f"{one.verdict}: {one.reason}")
    except UnweaveError as error:
        yield Discrepancy("claims", str(error))


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
        known = {rich_html(claim.sentence) for claim in run.claims()}
        for sentence in _CLAIMED.findall(page.partition('<ol class="claims">')[2].partition("</ol>")[0]):
            if sentence not in known:
                yield f"shows a claim that the run does not make: {sentence!r}"
    except UnweaveError as error:
        yield str(error)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise oserror_line(error, path) from error
