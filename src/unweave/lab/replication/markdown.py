"""A replication as Markdown: what the paper states, what came out here, and what could not be known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from unweave.lab.replication.citing import STUDY
from unweave.lab.replication.goalposts import MOVED
from unweave.lab.replication.paper import Paper, Row
from unweave.lab.replication.starting import thread_paper, thread_runs
from unweave.lab.threads.events import ROW_VERDICTS, RowVerdict
from unweave.record.table import Table, number_text

if TYPE_CHECKING:
    from unweave.lab.lab import Lab
    from unweave.lab.threads.thread import Thread


def replication_tables(lab: Lab, thread: str) -> list[Table]:
    """The rows with their verdicts, what is to be said of them, deviations, corrections, and the runs behind them."""
    found = lab.threads.get(thread)
    paper, settings = thread_paper(found)
    counts = ", ".join(f"{sum(one.verdict == name for one in found.verdicts.values())} {name}" for name in ROW_VERDICTS)
    made = [
        Table.from_records("rows", [_verdict(row, found.verdicts.get(row.id)) for row in paper.rows], caption=counts),
        Table.from_records("remarks", list(_remarks(paper, found.verdicts)), ("row", "about", "text")),
        Table.from_records("deviations", [vars(one) for one in paper.deviations], ("what", "theirs", "ours")),
        Table.from_records("corrections", [vars(one) for one in paper.corrections], ("what", "where", "effect")),
        Table.from_records("runs", list(_runs(lab, found)), caption=f"Settings given: {_words(settings) or 'none'}"),
    ]
    return [table for table in made if table.rows]


def replication_markdown(lab: Lab, thread: str) -> str:
    """``replication_tables`` with headings."""
    return "\n".join(
        f"## {table.name.capitalize()}\n\n{table.to_markdown()}" for table in replication_tables(lab, thread)
    )


def _verdict(row: Row, verdict: RowVerdict | None) -> dict[str, str]:
    told = verdict.verdict if verdict is not None else "open"
    if verdict is not None and verdict.ours.get("moved"):
        told = f"{told}, by a row that is newer than its run"
    return {
        "row": row.id,
        "statement": row.statement,
        "where": row.where,
        "reported": row.allowed or "–",
        "known": row.known,
        "ours": _number(verdict.ours) if verdict is not None else "–",
        "verdict": told,
    }


def _number(ours: Mapping[str, Any]) -> str:
    """Our number with its spread and of how many it is made."""
    if ours.get("value") is None:
        return "–"
    digits = int(ours["digits"])
    spread = [number_text(float(ours[name]), digits) for name in ("low", "high") if ours.get(name) is not None]
    inside = [*([" to ".join(spread)] if spread else []), *([f"of {ours['count']}"] if ours.get("count") else [])]
    value = number_text(float(ours["value"]), digits)
    return " ".join(part for part in (value, ours["unit"], f"({', '.join(inside)})" if inside else "") if part)


def _remarks(paper: Paper, verdicts: Mapping[str, RowVerdict]) -> Iterator[dict[str, str]]:
    for row in paper.rows:
        verdict = verdicts.get(row.id)
        why = verdict.reason if verdict is not None and verdict.verdict == "not testable" else ""
        moved = MOVED.format(verdict.ours["moved"]) if verdict is not None and verdict.ours.get("moved") else ""
        p = verdict.ours.get("p") if verdict is not None else None
        test = "" if p is None else f"p {number_text(float(p), None)} over the seeds"
        told = (("reading", row.reading), ("note", row.notes), ("test", test), ("moved", moved), ("not testable", why))
        for about, text in told:
            if text:
                yield {"row": row.id, "about": about, "text": text}


def _runs(lab: Lab, thread: Thread) -> Iterator[dict[str, Any]]:
    for run in thread_runs(lab, thread):
        if run.study == STUDY:
            continue
        state, row = run.state(), lab.runs.get(run.id)
        made = state["environment"]
        commit = f"{(made.get('commit') or '–')[:7]}{', with local changes' if made.get('modified') else ''}"
        yield {
            "run": run.id,
            "status": row.status,
            "settings": _words(run.config),
            "date": state["created"][:10],
            "seconds": None if row.seconds is None else round(row.seconds),
            "unweave": f"{made.get('unweave')}, commit {commit}",
            "machine": f"{str(made.get('platform')).split('-')[0]}, {made.get('cpus')} CPUs",
        }


def _words(config: Mapping[str, Any]) -> str:
    told = {name: value for name, value in config.items() if value not in (None, "", [], False)}
    return ", ".join(f"{name}={','.join(map(str, v)) if isinstance(v, list) else v}" for name, v in told.items())
