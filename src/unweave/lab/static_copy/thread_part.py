"""A thread on a static page: its question, what was expected, planned, run, tried, concluded and said of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unweave.base.errors import UnweaveError
from unweave.lab.replication.markdown import replication_tables
from unweave.lab.static_copy.markdown import inline_html, markdown_html
from unweave.lab.static_copy.page import json_html, some_rows_html
from unweave.lab.threads.conclusions import conclusion_text, grounds
from unweave.lab.threads.events import Event, StateChange
from unweave.record.markup import text_html
from unweave.record.table import Table

if TYPE_CHECKING:
    from unweave.lab.lab import Lab
    from unweave.lab.threads.thread import Thread


def thread_sections(lab: Lab, thread: Thread) -> dict[str, tuple[str, str]]:
    """Heading and HTML by anchor, for what the thread has."""
    made = {
        "question": ("Question", markdown_html(thread.context)),
        "conclusions": ("Conclusions", _conclusions(lab, thread)),
        "replication": ("The paper, row by row", _replication(lab, thread)),
        "hypotheses": ("What was expected", _hypotheses(thread)),
        "plans": ("Plans", _plans(thread)),
        "runs": ("Runs", _runs(lab, thread)),
        "tried": ("Tried, and failed", _tried(thread)),
        "notes": ("Notes", "".join(_entry(one, markdown_html(one.text)) for one in thread.notes)),
        "reviews": ("Reviews", _reviews(thread)),
        "links": ("Other threads", _links(thread)),
        "history": ("History", _history(thread)),
    }
    return {anchor: part for anchor, part in made.items() if part[1]}


def _entry(event: Event, content: str) -> str:
    return f'<article><p class="said">{text_html(event.by)}, {text_html(event.at[:19])}</p>{content}</article>\n'


def _conclusions(lab: Lab, thread: Thread) -> str:
    parts = []
    for one in thread.conclusions:
        items = "".join(
            f'<li class="{text_html(ground.verdict.replace(" ", "-"))}"><p>{text_html(ground.sentence or "–")}</p>'
            f'<p class="source"><b>{text_html(ground.verdict.capitalize())}</b> {text_html(ground.reason)}; claim '
            f"{ground.reference.claim} of run {text_html(ground.reference.run)}</p></li>"
            for ground in grounds(lab.root, one)
        )
        parts.append(_entry(one, f'{markdown_html(conclusion_text(lab.root, one))}<ol class="claims">{items}</ol>'))
    return "".join(parts)


def _replication(lab: Lab, thread: Thread) -> str:
    if thread.paper is None:
        return ""
    try:
        tables = replication_tables(lab, thread.id)
    except UnweaveError as error:
        return f"<p>The paper cannot be shown: {text_html(error)}</p>"
    return "".join(f"<h3>{text_html(table.name.capitalize())}</h3>\n{some_rows_html(table)}" for table in tables)


def _hypotheses(thread: Thread) -> str:
    rows = [
        {"name": one.name, "statement": one.text, "predicted": one.predicted, "at": one.at[:19]}
        for one in thread.hypotheses
    ]
    return some_rows_html(Table.from_records("hypotheses", rows)) if rows else ""


def _plans(thread: Thread) -> str:
    parts = []
    for one in thread.plans:
        approval = thread.approved(one.sha256)
        told = f"approved by {approval.by} on {approval.at[:19]}" if approval else "not approved"
        replaced = "" if one is thread.plan else ", replaced by a later one"
        parts.append(_entry(one, f"<p>sha256 {one.sha256}: {text_html(told)}{replaced}.</p>"))
        parts.append(json_html(one.content, "The plan"))
    return "".join(parts)


def _runs(lab: Lab, thread: Thread) -> str:
    if not thread.runs:
        return ""
    rows = "".join(
        f'<tr><td><a href="#run-{text_html(one.run)}">{text_html(one.run)}</a></td><td>{text_html(one.part)}</td>'
        f"<td>{text_html(one.hypothesis)}</td><td>{text_html(_status(lab, one.run))}</td></tr>\n"
        for one in thread.runs
    )
    head = "".join(f'<th scope="col">{name}</th>' for name in ("run", "part", "hypothesis", "status"))
    return (
        '<figure class="table"><div class="scroll" tabindex="0" role="region" aria-label="Runs"><table><thead><tr>'
        f"{head}</tr></thead><tbody>{rows}</tbody></table></div></figure>\n"
    )


def _status(lab: Lab, run: str) -> str:
    try:
        row = lab.runs.get(run)
    except UnweaveError:
        return "its folder is gone"
    return row.status if row.valid else f"{row.status}, not valid: {row.reason}"


def _tried(thread: Thread) -> str:
    return "".join(
        _entry(one, f"<p>{inline_html(one.what)}</p><p>Why it failed: {inline_html(one.why)}</p>")
        for one in thread.tried
    )


def _reviews(thread: Thread) -> str:
    parts = []
    for one in thread.reviews:
        stale = "" if thread.is_current(one) else " Of an earlier state: the thread went on since."
        parts.append(_entry(one, f"<p><b>{text_html(one.verdict)}</b>{stale}</p>{markdown_html(one.text)}"))
    return "".join(parts)


def _links(thread: Thread) -> str:
    lines = [f"This thread {one.relation} {one.to}. {one.note}" for one in thread.links]
    lines += [f"{one.thread} {one.relation} this thread: {one.question}" for one in thread.linked_from]
    return f"<ul>{''.join(f'<li>{text_html(line)}</li>' for line in lines)}</ul>" if lines else ""


def _history(thread: Thread) -> str:
    rows = [
        {"event": one.seq, "at": one.at[:19], "by": f"{one.by} ({one.role})", "what": _what(one), "sha256": one.digest}
        for one in thread.events
    ]
    caption = "Each event is bound by its hash to all before it."
    if thread.imported:
        caption += f" The first {thread.imported} came from another lab, whose names they bear."
    return some_rows_html(Table.from_records("history", rows, caption=caption))


def _what(event: Event) -> str:
    return f"{event.kind}: {event.state}" if isinstance(event, StateChange) else event.kind
