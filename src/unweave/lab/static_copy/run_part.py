"""A run on a static page: what it was, what it claims and what the auditor says of that, its tables and figures."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from unweave.base.errors import UnweaveError, oserror_line
from unweave.base.files import read_inside
from unweave.lab.audit.finding import Audit
from unweave.lab.audit.process import audit
from unweave.lab.static_copy.page import facts_html, json_html, picture_html, some_rows_html
from unweave.record.figure import FigureSpec
from unweave.record.markup import text_html

if TYPE_CHECKING:
    from unweave.lab.lab import Lab
    from unweave.record.run import Run


def run_html(lab: Lab, run: Run) -> str:
    """Everything of a run that a reader may want, audited now."""
    checked = audit(lab, run.id)
    return "".join(
        (
            _verdict(checked),
            _claims(checked),
            *(_figure(run, name) for name in run.figures()),
            *(_table(run, name) for name in run.tables()),
            _made(run),
        )
    )


def _verdict(checked: Audit) -> str:
    notes = [str(finding) for finding in checked.findings if not finding.grave]
    parts = [f"<p>The auditor, who reads only the run’s files, finds the run {checked.verdict}.</p>"]
    for kind, texts in (("differences", checked.reasons), ("said", notes)):
        if texts:
            parts.append(f'<ul class="{kind}">{"".join(f"<li>{text_html(text)}</li>" for text in texts)}</ul>')
    return "".join(parts)


def _claims(checked: Audit) -> str:
    items = "".join(
        f'<li class="{text_html(one.verdict.replace(" ", "-"))}"><p>{text_html(one.claim.sentence)}</p>'
        f'<p class="source"><b>{text_html(one.verdict.capitalize())}</b> {text_html(one.reason)}; row '
        f"{text_html(', '.join(f'{name} = {value}' for name, value in one.claim.row.items()) or '–')}; "
        f"sha256 {text_html(str(one.claim.sha256)[:12])}</p></li>\n"
        for one in checked.claims
    )
    return f'<ol class="claims">{items}</ol>\n' if items else "<p>It claims nothing.</p>\n"


def _figure(run: Run, name: str) -> str:
    try:
        spec = FigureSpec.from_json(json.loads(read_inside(run.path / "figures", f"{name}.json")))
        drawings = [read_inside(run.path / "figures", f"{name}{part}.svg").decode("utf-8") for part in ("", ".narrow")]
    except (UnweaveError, OSError, ValueError) as error:
        return f'<p class="said">Figure {text_html(name)} cannot be shown: {text_html(_said(error, name))}</p>\n'
    wide, narrow = (picture_html(drawing, f"{spec.title}. {spec.caption}") for drawing in drawings)
    return (
        f'<figure class="drawing"><div class="wide">{wide}</div><div class="narrow">{narrow}</div><figcaption>'
        f"{text_html(spec.caption)} Drawn from table {text_html(spec.table)}.</figcaption></figure>\n"
    )


def _table(run: Run, name: str) -> str:
    try:
        table = run.load_table(name)
    except UnweaveError as error:
        return f'<p class="said">Table {text_html(name)} cannot be shown: {text_html(error)}</p>\n'
    return f'<h3>{text_html(name)}</h3>\n{some_rows_html(table)}<p class="said">sha256 {table.sha256}</p>\n'


def _made(run: Run) -> str:
    state = run.state()
    made: dict[str, Any] = state["environment"]
    facts = [
        ("Status", f"{run.status}{': ' + str(state['note']) if state.get('note') else ''}"),
        ("Study", run.study),
        ("Created", state["created"]),
        ("Finished", state.get("finished")),
        ("Seeds", ", ".join(map(str, state["seeds"])) if isinstance(state.get("seeds"), list) else None),
        ("Started by", state.get("person")),
        ("unweave", f"{made.get('unweave')}, commit {made.get('commit')}" if made else None),
        ("Machine", f"{made.get('platform')}, {made.get('cpus')} CPUs" if made else None),
    ]
    parts = [facts_html(facts), json_html(state["config"], "Settings")]
    for key in ("plan", "identities", "deviations", "environment", "usage"):
        if state.get(key):
            parts.append(json_html(state[key], key.capitalize()))
    return "".join(parts)


def _said(error: Exception, name: str) -> str:
    return str(oserror_line(error, name)) if isinstance(error, OSError) else str(error)
