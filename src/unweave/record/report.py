"""The report: one HTML file that shows a run's tables, figures and claims, and loads nothing from anywhere."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from importlib import resources
from typing import TYPE_CHECKING, Any

from unweave.base.errors import UnweaveError, nearest, oserror_line
from unweave.base.files import atomic_path, read_json
from unweave.record.audit import Discrepancy, audit_run
from unweave.record.claims import check_claims, claimed_cell
from unweave.record.figure import FigureSpec
from unweave.record.markup import figure_html, rich_html, table_html, text_html
from unweave.record.table import number_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from unweave.record.run import Run

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"


@dataclass(frozen=True)
class Headline:
    """A number at the head of the report: one cell of a saved table, never a typed one."""

    label: str
    table: str
    row: Mapping[str, Any]
    column: str
    digits: int = 2
    signed: bool = False
    note: str = ""


@dataclass(frozen=True)
class Continuation:
    """What the target wrote after ``prompt`` before and after the edit, with the language identifier's verdicts."""

    language: str
    prompt: str
    before: str
    after: str
    before_verdict: str = ""
    after_verdict: str = ""


@dataclass(frozen=True)
class Section:
    """A part of the report, shown in the order of its fields; `` `code` `` in paragraphs and facts is set as code."""

    heading: str
    paragraphs: Sequence[str] = ()
    facts: Sequence[tuple[str, str]] = ()
    figures: Sequence[str] = ()
    tables: Sequence[str] = ()
    continuations: Sequence[Continuation] = field(default_factory=tuple)


def write_report(
    run: Run, title: str, lead: str, sections: Sequence[Section], headlines: Sequence[Headline] = ()
) -> Path:
    """Writes ``report.html`` into the run's folder and returns its path.

    Audits the run first and shows what the audit found. Raises ``UnweaveError`` for a table or figure that the run has
    not saved and for a headline that selects no single cell.
    """
    found = [one for one in audit_run(run) if one.where != "report"]
    known = [*(text_html(section.heading) for section in sections)]
    parts = [_section(run, section, number) for number, section in enumerate(sections, start=1)]
    if run.claims():
        known.append("Claims")
        parts.append(_claims(run, len(known)))
    known.append("How this was made")
    parts.append(_provenance(run, found, len(known)))
    contents = "".join(f'<li><a href="#part-{number}">{name}</a></li>' for number, name in enumerate(known, start=1))
    style = resources.files("unweave.record").joinpath("report.css").read_text(encoding="utf-8")
    page = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">\n'
        f"<title>{text_html(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        f'<header class="masthead"><p class="kicker">{text_html(run.study.replace("-", " "))}</p>'
        f'<h1>{text_html(title)}</h1><p class="lead">{rich_html(lead)}</p>{_byline(run)}{_alarm(found)}'
        f"{_band(run, headlines)}</header>\n"
        f'<nav class="contents" aria-label="Contents"><ol>{contents}</ol></nav>\n'
        f"<main>\n{''.join(parts)}</main>\n</body>\n</html>\n"
    )
    path = run.path / "report.html"
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return path


def _byline(run: Run) -> str:
    state = run.state()
    made = datetime.fromisoformat(state["created"])
    return (
        f'<p class="byline"><span>Run {text_html(run.id)}</span> <span>{made.day} {made:%B %Y, %H:%M} UTC</span> '
        f"<span>unweave {text_html(state['environment']['unweave'])}</span></p>"
    )


def _alarm(found: Sequence[Discrepancy]) -> str:
    if not found:
        return ""
    plural = "s" if len(found) > 1 else ""
    return (
        f'<p class="alarm"><strong>The audit found {len(found)} difference{plural}</strong> between what this page '
        "shows and the saved tables. They are listed under “How this was made”.</p>"
    )


def _band(run: Run, headlines: Sequence[Headline]) -> str:
    entries = []
    for headline in headlines:
        table = run.load_table(headline.table)
        cell = claimed_cell(table, headline.row, headline.column)
        shown = table.shown(headline.column, cell)
        if isinstance(cell, float):
            shown = number_text(cell, headline.digits, headline.signed)
        unit = table.units.get(headline.column)
        unit_html = f' <span class="unit">{text_html(unit)}</span>' if unit and cell is not None else ""
        note = f'<dd class="note">{rich_html(headline.note)}</dd>' if headline.note else ""
        value = f"<dd>{text_html(shown.replace('-', '−'))}{unit_html}</dd>"
        entries.append(f"<div><dt>{text_html(headline.label)}</dt>{value}{note}</div>")
    return f'<dl class="band">{"".join(entries)}</dl>' if entries else ""


def _section(run: Run, section: Section, number: int) -> str:
    parts = [f'<section id="part-{number}"><h2>{text_html(section.heading)}</h2>\n']
    parts += [f"<p>{rich_html(paragraph)}</p>\n" for paragraph in section.paragraphs]
    if section.facts:
        facts = "".join(
            f"<div><dt>{text_html(name)}</dt><dd>{rich_html(value)}</dd></div>" for name, value in section.facts
        )
        parts.append(f'<dl class="facts">{facts}</dl>\n')
    parts += [_figure(run, name) for name in section.figures]
    parts += [f'<div id="table-{name}">{table_html(run.load_table(name))}</div>\n' for name in section.tables]
    parts += [_continuation(one) for one in section.continuations]
    return "".join(parts) + "</section>\n"


def _figure(run: Run, name: str) -> str:
    folder = run.path / "figures"
    if name not in run.figures():
        raise UnweaveError(f"run {run.id!r} has no figure {name!r}; {nearest(name, run.figures())}")
    spec = FigureSpec.from_json(read_json(folder / f"{name}.json"))
    try:
        drawings = [
            (folder / file).read_text(encoding="utf-8").strip() for file in (f"{name}.svg", f"{name}.narrow.svg")
        ]
    except OSError as error:
        raise oserror_line(error, folder / name) from error
    return figure_html(name, drawings[0], drawings[1], spec.caption, spec.table)


def _continuation(one: Continuation) -> str:
    sides = "".join(
        f'<div class="{side}"><h4>{side.title()} {_verdict(verdict)}</h4><p dir="auto"><span class="prompt">'
        f"{text_html(one.prompt)}</span> {text_html(text)}</p></div>"
        for side, text, verdict in (("before", one.before, one.before_verdict), ("after", one.after, one.after_verdict))
    )
    return f'<article class="continuation"><h3>{text_html(one.language)}</h3>{sides}</article>\n'


def _verdict(verdict: str) -> str:
    return f'<span class="verdict">{text_html(verdict)}</span>' if verdict else ""


def _claims(run: Run, number: int) -> str:
    items = "".join(
        f'<li class="{checked.verdict.replace(" ", "-")}"><p>{rich_html(checked.claim.sentence)}</p>'
        f'<p class="source"><b>{checked.verdict.capitalize()}</b> {text_html(checked.reason)}; row '
        f"{text_html(', '.join(f'{name} = {value}' for name, value in checked.claim.row.items()))}; "
        f"sha256 {checked.claim.sha256[:12]}</p></li>\n"
        for checked in check_claims(run)
    )
    return (
        f'<section id="part-{number}"><h2>Claims</h2><p>Each sentence is bound to one cell of a saved table, and was '
        "recomputed from the bytes of that table when this page was written.</p>"
        f'<ol class="claims">{items}</ol></section>\n'
    )


def _provenance(run: Run, found: Sequence[Discrepancy], number: int) -> str:
    state = run.state()
    made = state["environment"]
    commit = f"{made['commit'][:12]}{', with local changes' if made['modified'] else ''}" if made["commit"] else "–"
    libraries = ", ".join(f"{name} {version}" for name, version in made["libraries"].items() if version)
    facts = {
        "Study": run.study,
        "unweave": f"{made['unweave']}, commit {commit}",
        "Python": f"{made['python']}; {libraries}",
        "Machine": f"{made['platform']}, {made['cpus']} CPUs",
        **{f"Setting {name}": json.dumps(value, ensure_ascii=False) for name, value in state["config"].items()},
    }
    rows = "".join(f"<div><dt>{text_html(name)}</dt><dd>{text_html(value)}</dd></div>" for name, value in facts.items())
    hashes = "".join(
        f'<tr><td>tables/{text_html(name)}.csv</td><td class="number">{len(run.load_table(name).rows)}</td>'
        f"<td><code>{run.load_table(name).sha256}</code></td></tr>\n"
        for name in run.tables()
        if not any(one.where == f"table {name}" for one in found)
    )
    files = (
        '<figure class="table"><figcaption>The saved tables and their hashes.</figcaption>'
        '<div class="scroll" tabindex="0" role="region" aria-label="Saved tables"><table><thead><tr>'
        '<th scope="col">file</th><th scope="col" class="number">rows</th><th scope="col">sha256</th></tr></thead>'
        f"<tbody>{hashes}</tbody></table></div></figure>\n"
    )
    return (
        f'<section id="part-{number}"><h2>How this was made</h2>{_audit(run, found)}<dl class="facts">{rows}</dl>'
        f"{files if hashes else ''}</section>\n"
    )


def _audit(run: Run, found: Sequence[Discrepancy]) -> str:
    figures, claims = len(run.figures()), len(run.claims())
    scope = (
        f"The audit read every value of {figures} figure{'s' * (figures != 1)} back from the positions of the marks "
        f"and of the axes’ ticks, and recomputed {claims} claim{'s' * (claims != 1)}"
    )
    if not found:
        return f"<p>{scope}. Everything agrees with the saved tables.</p>"
    items = "".join(f"<li>{text_html(one)}</li>" for one in found)
    return f'<p>{scope}. These differ from the saved tables:</p><ul class="differences">{items}</ul>'
