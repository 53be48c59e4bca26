"""A run that cites our numbers, each with its place and hash, and claims them, for the auditor to recompute."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from unweave.base.errors import UnweaveError
from unweave.lab.audit.finding import Audit
from unweave.lab.replication.paper import Cell, Paper, Row
from unweave.record.evidence import Evidence
from unweave.record.run import Run
from unweave.record.table import Table

STUDY = "replication"
SPREAD = ("median", "mean", "min", "max")


@dataclass(frozen=True)
class Source:
    """The run that a row reads, and its audit; ``missing`` says why it cannot be read."""

    run: Run | None
    audit: Audit | None = None
    missing: str = ""


def cite_rows(root: Path, paper: Paper, sources: Mapping[str, Source], about: Mapping[str, Any]) -> Run | None:
    """Makes the run in ``root``; None where no row has a run to cite.

    Its tables: ``evidence``, the cited cells; ``rows``, our number for each row with its spread; ``audits``, what the
    auditor found; ``missing``, rows whose run does not have what they read.
    """
    usable = [row for row in paper.rows if row.id in sources and not sources[row.id].missing]
    if not usable:
        return None
    config = {
        "paper": paper.id,
        "sha256": paper.sha256,
        "rows": {row.id: {"statement": row.statement, "number": row.number} for row in paper.rows},
    }
    parents = list(dict.fromkeys(run.id for row in usable if (run := sources[row.id].run) is not None))
    with Run.create(STUDY, config, root, about={**about, "parents": parents}) as run:
        _save_audits(run, usable, sources)
        _save_numbers(run, usable, sources)
    return run


def _save_audits(run: Run, rows: Iterable[Row], sources: Mapping[str, Source]) -> None:
    counted = [
        {"item": row.id, "run": source.run.id, "of": row.cell.audit, "findings": _count(source.audit, row.cell.audit)}
        for row in rows
        for source in [sources[row.id]]
        if row.cell is not None and row.cell.audit and source.run is not None and source.audit is not None
    ]
    if not counted:
        return
    run.save_table(Table.from_records("audits", counted, caption="What the auditor found in the runs, by kind"))
    for line in counted:
        run.claim(f"{line['item']}: {{value}} findings.", "audits", {"item": line["item"]}, "findings", digits=0)


def _save_numbers(run: Run, rows: Iterable[Row], sources: Mapping[str, Source]) -> None:
    cited: dict[str, Evidence] = {}
    missing = []
    for row in rows:
        source = sources[row.id].run
        if row.cell is None or row.cell.audit or source is None:
            continue
        try:
            found = _citations(row.id, row.cell, source)
            row.cell.aggregate(row.id).recompute(found.table())
            cited[row.id] = found
        except UnweaveError as error:
            missing.append({"item": row.id, "why": str(error)})
    if missing:
        run.save_table(Table.from_records("missing", missing, caption="Rows whose run does not have what they read"))
    if not cited:
        return
    records = tuple(record for found in cited.values() for record in found.records)
    run.save_table(Evidence(records).table(caption="Every number that a row reads, and where it stands"))
    evidence = run.load_table("evidence")
    chosen = [(row, row.cell) for row in rows if row.id in cited and row.cell is not None]
    lines = [_line(row, cell, evidence) for row, cell in chosen]
    run.save_table(Table.from_records("rows", lines, caption="Our number for each row, beside what was reported"))
    for row, cell in chosen:
        extreme = {"max": "at most ", "min": "at least "}.get(cell.how, "")
        sentence = f"{row.id}: {extreme}{{value}}{' ' + row.unit if row.unit else ''}."
        run.claim(sentence, "rows", {"item": row.id}, "ours", digits=cell.digits, over=cell.aggregate(row.id))


def _citations(item: str, cell: Cell, run: Run) -> Evidence:
    found = Evidence.from_runs([run], cell.table, cell.column, cell.where, cell.by, item=item, arm="ours")
    if cell.minus is not None:
        found += Evidence.from_runs([run], cell.table, cell.column, cell.minus, cell.by, item=item, arm="less")
    # What tells rows apart is a number in one table and a name in another.
    return replace(found, records=tuple({**one, "seed": str(one.get("seed", ""))} for one in found.records))


def _line(row: Row, cell: Cell, evidence: Table) -> dict[str, Any]:
    values = values_of(row.id, evidence)
    spread = cell.how in SPREAD
    return {
        "item": row.id,
        "ours": float(cell.aggregate(row.id).recompute(evidence)),
        "low": min(values) if spread else None,
        "high": max(values) if spread else None,
        "deviation": statistics.stdev(values) if spread and len(values) > 1 else None,
        "count": len(values),
        "reported": row.number,
        "unit": row.unit,
    }


def values_of(item: str, evidence: Table) -> list[float]:
    """What the number is an aggregate of: the cited values, or their paired differences."""
    arms: dict[Any, dict[Any, float]] = {"ours": {}, "less": {}}
    for record in evidence.records():
        if record["item"] == item:
            arms[record["arm"]][record["seed"]] = float(str(record["value"]))
    return [value - arms["less"].get(seed, 0.0) for seed, value in arms["ours"].items()]


def _count(audit: Audit, kind: str) -> int:
    return sum(finding.kind == kind for finding in audit.findings)
