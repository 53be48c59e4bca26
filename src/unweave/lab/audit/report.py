"""The numbers in a run's reports: those that a study wrote into ``report.html``, and those of a ``report.md``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from unweave.base.errors import UnweaveError, oserror_line
from unweave.base.files import read_inside
from unweave.lab.audit.finding import Finding
from unweave.lab.audit.text import check_prose, check_text, cited_claims
from unweave.record.claims import Claim, check_claim
from unweave.record.metric import metric_rows
from unweave.record.run import Run
from unweave.record.seal import check_seal

MARKDOWN = "report.md"
_SKIPPED = ("style", "script", "svg", "figure", "article", "nav")
_SKIPPED_CLASSES = ("facts", "claims", "byline", "alarm", "source")
_READ = ("h1", "p", "dd")
_VOID = ("meta", "br", "hr", "img", "link", "input")


def report_findings(run: Run, root: Path, seals: Mapping[str, str]) -> Iterator[Finding]:
    """Numbers of the reports with no artefact behind them.

    In ``report.md``, which a person or an agent wrote, each must be of a claim of the run, or of a claim of another run
    in ``root`` that the text refers to, that holds, and whose run is as it was sealed. In the prose of
    ``report.html``, which the study's code wrote, each must at least be in some table, metric or setting of the run;
    one that is not is told of.
    """
    if (run.path / MARKDOWN).exists():
        text = _text(run, MARKDOWN)
        claims = {f"{owner}#{number}": claim for number, claim in enumerate(run.claims()) for owner in ("", run.id)}
        cited = {key: claim for key, claim in cited_claims(text, root).items() if key not in claims}
        yield from _cited(cited, root, seals)
        yield from check_text(text, {**claims, **cited}, [run.config, run.state().get("seeds")], MARKDOWN)
    if (run.path / "report.html").exists():
        reader = _Prose()
        reader.feed(_text(run, "report.html"))
        cells, settings = _values(run), [run.state()]
        for text in reader.texts:
            for finding in check_prose(text, cells, settings, "report.html"):
                yield Finding(
                    "number", finding.where, finding.what.replace("no claim", "nothing in the run"), grave=False
                )


def _cited(claims: Mapping[str, Claim], root: Path, seals: Mapping[str, str]) -> Iterator[Finding]:
    for reference, claim in claims.items():
        name = reference.partition("#")[0]
        source = Run.open(root / name)
        checked = check_claim(source, claim)
        if checked.verdict != "held":
            told = f"refers to claim {reference}, which is {checked.verdict}: {checked.reason}"
            yield Finding("evidence", MARKDOWN, told, grave=checked.verdict == "failed")
        elif source.status != "finished":
            yield Finding("evidence", MARKDOWN, f"refers to claim {reference} of a run that is {source.status}")
        else:
            for differs in check_seal(source.path, seals.get(name))[:1]:
                yield Finding("evidence", MARKDOWN, f"refers to run {name!r}, whose seal is broken: {differs}")


def _values(run: Run) -> list[Any]:
    values: list[Any] = [claim.value for claim in run.claims()]
    for name in run.tables():
        try:
            table = run.load_table(name)
        except UnweaveError:
            continue
        values += [cell for row in table.rows for cell in row]
        values.append(len(table.rows))
    with suppress(UnweaveError):
        values += [value for row in metric_rows(run.path) for value in row.values()]
    return [value for value in values if isinstance(value, (int, float, str)) and not isinstance(value, bool)]


def _text(run: Run, name: str) -> str:
    try:
        return read_inside(run.path, name).decode("utf-8", errors="replace")
    except OSError as error:
        raise oserror_line(error, run.path / name) from error


class _Prose(HTMLParser):
    """Collects the paragraphs of a report: no tables, drawings, model output, claims, or facts about the making."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._open: list[tuple[str, bool]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _VOID:
            return
        classes = (dict(attrs).get("class") or "").split()
        skipped = tag in _SKIPPED or any(name in _SKIPPED_CLASSES for name in classes)
        self._open.append((tag, skipped))
        if tag in _READ and not any(skip for _, skip in self._open):
            self.texts.append("")
        if tag == "code" and self._reading():
            self.texts[-1] += "`"

    def handle_endtag(self, tag: str) -> None:
        if tag == "code" and self._reading():
            self.texts[-1] += "`"
        while self._open:
            if self._open.pop()[0] == tag:
                break

    def handle_data(self, data: str) -> None:
        if self._reading():
            self.texts[-1] += data

    def _reading(self) -> bool:
        inside = any(tag in _READ for tag, _ in self._open)
        return inside and bool(self.texts) and not any(skip for _, skip in self._open)
