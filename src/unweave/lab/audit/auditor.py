"""The auditor: recomputes what a run claims, from the files of the runs folder and from nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from unweave.base.errors import UnweaveError, first_line
from unweave.lab.audit.compared import compared_findings
from unweave.lab.audit.finding import Audit, Finding, Ledger
from unweave.lab.audit.left_out import left_out
from unweave.lab.audit.plan import code_hash, deviations, environments
from unweave.lab.audit.report import report_findings
from unweave.lab.audit.sources import code_findings, held_out_findings
from unweave.lab.audit.text import check_stated
from unweave.record.aggregate import listed
from unweave.record.audit import audit_run
from unweave.record.claims import CheckedClaim, check_claim
from unweave.record.evidence import CheckedSource, check_evidence, is_evidence
from unweave.record.run import Run
from unweave.record.seal import SEAL, check_seal
from unweave.record.seeds import all_seeds, logged_seeds, planned_seeds
from unweave.record.table import Table

DAMAGED = (UnweaveError, OSError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
"""What reading a folder may raise in which anything may stand: its maker is not to be believed."""


def audit_folder(path: Path, root: Path | None = None, ledger: Ledger | None = None) -> Audit:
    """Audits the run in the folder ``path``; the runs that it cites are looked for in ``root``, beside it by default.

    Reads files and writes none. Whatever cannot be read is a finding, so that one damaged file hides no other.
    """
    path, kept = Path(path), ledger or Ledger()
    root = path.resolve().parent if root is None else Path(root)
    try:
        run = Run.open(path)
    except DAMAGED as error:
        return Audit(path.name, (), (Finding("run", "run.json", first_line(error)),))
    findings: list[Finding] = []
    sources: list[CheckedSource] | None = None
    try:
        sources = check_evidence(run, root, kept.seals, kept.invalid)
    except DAMAGED as error:
        findings.append(Finding("evidence", "tables", f"cannot be held against what it cites ({first_line(error)})"))
    claims, unreadable = _claims(run, sources)
    findings += unreadable
    for check in (
        _seal(run, kept.seals.get(run.id)),
        _submitted(run, kept.submitted),
        _shown(run),
        (_of_claim(checked) for checked in claims if checked.verdict != "held"),
        deviations(run),
        _seeds(run),
        code_findings(run),
        held_out_findings(run),
        compared_findings(run),
        _evidence(sources or []),
        left_out(run, root, kept.invalid),
        report_findings(run, root, kept.seals),
    ):
        findings += _whole(check)
    return Audit(run.id, tuple(claims), tuple(dict.fromkeys(findings)))


def _whole(check: Iterable[Finding]) -> Iterator[Finding]:
    """The findings of a check, and what stopped it."""
    try:
        yield from check
    except DAMAGED as error:
        yield Finding("run", "files", f"holds what no run writes ({first_line(error)})")


def _read(read: Callable[[], Any], otherwise: Any) -> Any:
    try:
        return read()
    except DAMAGED:
        return otherwise


def _seal(run: Run, digest: str | None) -> Iterator[Finding]:
    """Whether the files are the ones that were sealed when the run finished, and the seal the one first seen."""
    if run.status != "finished":
        if digest is not None:
            yield Finding("seal", SEAL, f"the run was finished and sealed, and now says that it is {run.status}")
        else:
            yield Finding("unfinished", SEAL, f"the run is {run.status}, so nothing is sealed yet", grave=False)
        return
    if not (run.path / SEAL).exists() and digest is None and not any(map(code_hash, environments(run.state()))):
        yield Finding(
            "seal", SEAL, "the run finished before runs were sealed: later changes cannot be seen", grave=False
        )
        return
    for differs in check_seal(run.path, digest):
        yield Finding("seal", differs.partition(" ")[0].rstrip(":"), differs)


def _submitted(run: Run, submitted: Mapping[str, Any]) -> Iterator[Finding]:
    """What the run's folder says of itself against what the lab queued."""
    state = run.state()
    for key, queued in submitted.items():
        if state.get(key) != queued:
            yield Finding("plan", key, f"the lab queued {queued!r}, and the run says {state.get(key)!r}")


def _shown(run: Run) -> Iterator[Finding]:
    for one in audit_run(run, claims=False):
        kind = one.where.partition(" ")[0]
        yield Finding(kind if kind in ("table", "figure", "report") else "run", one.where, one.what)  # type: ignore[arg-type]


def _claims(run: Run, sources: list[CheckedSource] | None) -> tuple[list[CheckedClaim], list[Finding]]:
    try:
        claims = run.claims()
    except DAMAGED as error:
        return [], [Finding("claim", "claims.json", first_line(error))]
    # Without its settings a sentence may state fewer numbers, so what cannot be read excuses nothing.
    settings, seeds = _read(lambda: _settings(run), []), cache(lambda: all_seeds(run))
    found = []
    for claim in claims:
        try:
            found.append(_checked(run, check_claim(run, claim, seeds), sources, settings))
        except DAMAGED as error:
            found.append(CheckedClaim(claim, "failed", f"holds what no run claims ({first_line(error)})"))
    return found, []


def _checked(run: Run, checked: CheckedClaim, sources: list[CheckedSource] | None, settings: list[Any]) -> CheckedClaim:
    """A claim that holds against its own run, held against what it cites and against every other number it states.

    ``sources`` is None where what the run cites could not be read; then no claim on it can be checked.
    """
    if checked.verdict != "held":
        return checked
    claim = checked.claim
    tables = {name: _read(lambda name=name: run.load_table(name), None) for name in _tables_of(claim)}
    lost = [name for name, table in tables.items() if table is None or (sources is None and is_evidence(table))]
    if lost:
        return replace(checked, verdict="not checkable", reason=f"what {lost[0]!r} cites cannot be read")
    cited = [
        source for source in sources or [] if source.row in _rows_of(claim, tables.get(source.table), source.table)
    ]
    for verdict in ("failed", "not checkable"):
        for source in cited:
            if source.verdict == verdict:
                return replace(
                    checked, verdict=verdict, reason=f"row {source.row} of {source.table!r}: {source.reason}"
                )
    table, allowed = tables.get(claim.table), [*settings, dict(claim.row)]
    beside = [] if table is None or claim.aggregated else table.find(claim.row)
    cells = [cell for row in beside if table is not None for cell in table.rows[row]]
    if claim.over is not None:
        raw = tables[claim.over.table]
        seeds = [] if raw is None else claim.over.seeds(raw)
        allowed += [claim.over.to_json(), [int(seed) for seed in seeds if seed.isdigit()], len(seeds)]
    stray = check_stated(claim.sentence, claim, cells, allowed, "sentence")
    return replace(checked, verdict="failed", reason=stray[0].what) if stray else checked


def _tables_of(claim: Any) -> list[str]:
    return [
        name
        for name in dict.fromkeys((claim.table, claim.over.table if claim.over else claim.table))
        if ":" not in name
    ]


def _rows_of(claim: Any, table: Table | None, name: str) -> set[int]:
    """The rows of a table that a claim reads."""
    if table is None:
        return set()
    wheres: list[Mapping[str, Any]] = [] if claim.aggregated or claim.table != name else [claim.row]
    if claim.over is not None and claim.over.table == name:
        wheres += [claim.over.where, *([claim.over.minus] if claim.over.minus is not None else [])]
    found: set[int] = set()
    for where in wheres:
        with suppress(UnweaveError):
            found.update(table.find(where))
    return found


def _settings(run: Run) -> list[Any]:
    """Numbers that a sentence may state of how a run was set up: its config, its seeds and how many they are."""
    seeds = planned_seeds(run) or logged_seeds(run)
    return [run.config, [int(seed) for seed in seeds if seed.isdigit()], len(seeds)]


def _of_claim(checked: CheckedClaim) -> Finding:
    where = f"claim {checked.claim.sentence!r}"
    return Finding("claim", where, f"{checked.verdict}: {checked.reason}", grave=checked.verdict == "failed")


def _seeds(run: Run) -> Iterator[Finding]:
    """The seeds that a finished run was to use against those that it wrote anything of, whatever its claims say."""
    if run.state().get("unseeded"):
        yield Finding("seeds", "seeds", "the run says that it draws nothing at random: one seed stands for all", False)
    planned, ran = planned_seeds(run), logged_seeds(run)
    if run.status != "finished" or not planned or not ran:
        return
    more, fewer = [seed for seed in ran if seed not in planned], [seed for seed in planned if seed not in ran]
    declared = run.state().get("deviations") or {}
    why = declared.get("seeds") if isinstance(declared, Mapping) else None
    for seeds, what in ((more, "were run besides"), (fewer, "were not run")):
        if seeds:
            told = f"was to use seeds {listed(planned)}, and seeds {listed(seeds)} {what}"
            yield Finding("seeds", "seeds", f"{told}; declared: {why}" if why else told, grave=not why)


def _evidence(sources: list[CheckedSource]) -> Iterator[Finding]:
    for source in sources:
        if source.verdict != "held":
            where = f"table {source.table}, row {source.row}"
            told = f"{source.verdict}: {source.reason}"
            yield Finding("evidence", where, told, grave=source.verdict == "failed")
