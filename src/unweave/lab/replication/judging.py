"""Verdicts on a paper's rows, from numbers that the auditor recomputed and not from what the runs say of themselves."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from unweave.lab.audit.finding import Audit
from unweave.lab.audit.process import audit
from unweave.lab.replication.citing import Source, cite_rows, values_of
from unweave.lab.replication.goalposts import MOVED, moved
from unweave.lab.replication.paper import Row
from unweave.lab.replication.planned import first_made, runs_of_plan
from unweave.lab.replication.starting import thread_paper, thread_runs
from unweave.lab.sweeps.comparison import LEAST_SEEDS, LEVEL
from unweave.lab.threads.events import ROW_VERDICTS, Conclusion, Reference, RowVerdict, StateChange, ThreadRun, Tried
from unweave.record.claims import CheckedClaim

if TYPE_CHECKING:
    from unweave.lab.lab import Lab
    from unweave.lab.people import Person
    from unweave.lab.threads.thread import Thread
    from unweave.record.run import Run


def judge_replication(lab: Lab, thread: str, by: Person | None = None) -> dict[str, RowVerdict]:
    """Judges every row of the thread's paper and adds the verdicts to the thread; returns them by row.

    Our numbers are cited in a run of their own, whose claims the auditor recomputes in a process apart. A row whose run
    failed or is invalid, or whose claim does not hold, is not testable. May be called again, when more runs have ended.
    """
    author = by if by is not None else lab.people.here()
    author.must("run")
    found = lab.threads.get(thread)
    paper, _ = thread_paper(found)
    sources = _sources(lab, found)
    run = cite_rows(lab.root, paper, sources, {"thread": thread, "person": author.name})
    judged = None
    if run is not None:
        lab.threads.add(thread, ThreadRun(run.id, "replication"), author)
        judged = _Judged(run, audit(lab, run.id))
    verdicts: dict[str, RowVerdict] = {}
    for row in paper.rows:
        verdict = _dated(_verdict(row, sources.get(row.id), judged), found, sources.get(row.id))
        added = lab.threads.add(thread, verdict, author)
        verdicts[row.id] = cast(RowVerdict, added)
    _conclude(lab, thread, verdicts, sources, author)
    return verdicts


@dataclass(frozen=True)
class _Judged:
    """The run that cites our numbers, and its audit."""

    run: Run
    audit: Audit

    def claim(self, row: str) -> tuple[int, CheckedClaim] | None:
        """The number and the audited claim of a row."""
        for number, checked in enumerate(self.audit.claims):
            if checked.claim.row.get("item") == row:
                return number, checked
        return None

    def ours(self, row: Row) -> dict[str, Any]:
        """Our number for a row with its spread, as a verdict holds it; nothing where there is none."""
        found = self.claim(row.id)
        if found is None:
            return {}
        number, checked = found
        table = self.run.load_table(checked.claim.table)
        line = table.records()[table.find({"item": row.id})[0]]
        spread = {name: line.get(name) for name in ("low", "high", "deviation", "count")}
        digits = checked.claim.digits
        return {"value": checked.claim.value, "unit": row.unit, "digits": digits, "claim": number, **spread}

    def p_of(self, row: Row) -> float | None:
        """p of the paired test that our number is not the bound of a directional row; None where seeds cannot tell."""
        from unweave.stats import paired_test

        values = values_of(row.id, self.run.load_table("evidence"))
        if len(values) < LEAST_SEEDS or row.number is None or math.isclose(max(values), min(values), abs_tol=1e-12):
            return None
        return paired_test([row.number] * len(values), values).p

    def refusal(self, row: Row) -> str | None:
        """Why the auditor does not stand behind our number for a row."""
        found = self.claim(row.id)
        if found is None:
            lines = self.run.load_table("missing").records() if "missing" in self.run.tables() else []
            return next((str(line["why"]) for line in lines if line["item"] == row.id), "its run gives no number")
        if found[1].verdict != "held":
            return f"the auditor does not confirm our number: {found[1].reason}"
        return f"the auditor does not confirm our run: {self.audit.reasons[0]}" if self.audit.reasons else None


def _sources(lab: Lab, thread: Thread) -> dict[str, Source]:
    """The run of each row, audited; one run for all rows that share it."""
    runs = thread_runs(lab, thread)
    found: dict[str, Source] = {}
    for planned in runs_of_plan(thread):
        run = first_made(planned, runs)
        if run is None or run.status != "finished":
            note = run.state().get("note") if run is not None else None
            told = f"run {run.id!r} is {run.status}{': ' + note if note else ''}" if run else "its run was not made"
            source = Source(None, None, told)
        else:
            checked = audit(lab, run.id)
            invalid = f"the auditor finds run {run.id!r} invalid: {checked.reasons[0]}" if checked.reasons else ""
            source = Source(run, checked, invalid)
        found |= dict.fromkeys(planned.rows, source)
    return found


def _verdict(row: Row, source: Source | None, judged: _Judged | None) -> RowVerdict:
    ours = judged.ours(row) if judged is not None else {}
    run = judged.run.id if judged is not None and ours else ""
    if row.unknowable or row.number is None or row.tolerance is None:
        return RowVerdict(row.id, "not testable", row.unknowable, run, ours)
    if source is None or source.missing or judged is None:
        return RowVerdict(row.id, "not testable", source.missing if source else "nothing here tests it")
    refusal = judged.refusal(row)
    if refusal:
        return RowVerdict(row.id, "not testable", refusal, run, ours)
    verdict = "reproduced" if row.tolerance.allows(float(ours["value"]), row.number) else "not reproduced"
    reason = f"our number, as the auditor recomputed it, against {row.allowed}"
    if row.directional:
        p = judged.p_of(row)
        if p is None:
            told = f"a direction needs {LEAST_SEEDS} seeds or more that differ"
            return RowVerdict(row.id, "not testable", told, run, ours)
        ours, reason = {**ours, "p": p}, f"{reason}: p {p:.2g}"
        verdict = verdict if p <= 1 - LEVEL else "not reproduced"
    return RowVerdict(row.id, verdict, reason, run, ours)


def _dated(verdict: RowVerdict, thread: Thread, source: Source | None) -> RowVerdict:
    """The verdict, marked where its row is newer than its run."""
    run = source.run if source is not None else None
    when = moved(thread, verdict.row, run) if run is not None else None
    if when is None or verdict.verdict == "not testable":
        return verdict
    reason = f"{verdict.reason}; {MOVED.format(when)}"
    return replace(verdict, reason=reason, ours={**verdict.ours, "moved": when})


def _conclude(
    lab: Lab, thread: str, verdicts: Mapping[str, RowVerdict], sources: Mapping[str, Source], author: Person
) -> None:
    for what in dict.fromkeys(source.missing for source in sources.values() if source.missing):
        rows = [row for row, source in sources.items() if source.missing == what]
        lab.threads.add(thread, Tried(f"rows {', '.join(rows)}", what), author)
    decided = [one for one in verdicts.values() if one.verdict != "not testable"]
    if not decided:
        return
    named = {verdict: [one.row for one in verdicts.values() if one.verdict == verdict] for verdict in ROW_VERDICTS}
    text = " ".join(f"{verdict.capitalize()}: {', '.join(rows)}." for verdict, rows in named.items() if rows)
    newer = [one.row for one in decided if one.ours.get("moved")]
    text += f" By rows that are newer than their runs: {', '.join(newer)}." if newer else ""
    claims = tuple(Reference(one.run, int(one.ours["claim"])) for one in decided)
    lab.threads.add(thread, Conclusion(text, claims), author)
    if not any(source.missing for source in sources.values()):
        lab.threads.add(thread, StateChange("concluded", "every row has its verdict"), author)
