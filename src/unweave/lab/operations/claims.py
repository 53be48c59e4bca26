"""Operations on what a run claims: each claim with where its number stands, and the auditor's verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unweave.base.errors import UnweaveError
from unweave.lab.operations.finding import open_run, open_table
from unweave.lab.operations.registry import operation
from unweave.lab.operations.run_models import (
    AuditAnswer,
    CheckedEntry,
    ClaimEntry,
    ClaimsAnswer,
    EvidenceEntry,
    FindingEntry,
    RunRequest,
)
from unweave.record.claims import check_claims

if TYPE_CHECKING:
    from collections.abc import Mapping

    from unweave.lab.lab import Lab
    from unweave.lab.people import Person
    from unweave.record.claims import Claim
    from unweave.record.run import Run

MOST_ROWS = 1_000


@operation("claims", "what a run claims, and where each number stands", RunRequest, ClaimsAnswer, "read", agent=True)
def claims(lab: Lab, person: Person, request: RunRequest) -> ClaimsAnswer:
    run = open_run(lab, request.run)
    listed = [
        ClaimEntry(
            number=number,
            sentence=one.claim.sentence,
            kind="metric" if one.claim.metric else "aggregate" if one.claim.aggregated else "cell",
            value=one.claim.value,
            digits=one.claim.digits,
            verdict=one.verdict,
            reason=one.reason,
            evidence=_evidence(run, one.claim),
        )
        for number, one in enumerate(check_claims(run))
    ]
    return ClaimsAnswer(run=run.id, claims=listed)


@operation("audit", "recomputes everything that a run claims and shows", RunRequest, AuditAnswer, "read", agent=True)
def audit(lab: Lab, person: Person, request: RunRequest) -> AuditAnswer:
    from unweave.lab.audit import audit as examine

    run = open_run(lab, request.run)
    found = examine(lab, run.id)
    return AuditAnswer(
        run=run.id,
        verdict=found.verdict,
        claims=[
            CheckedEntry(number=number, sentence=one.claim.sentence, verdict=one.verdict, reason=one.reason)
            for number, one in enumerate(found.claims)
        ],
        findings=[FindingEntry(where=one.where, what=one.what) for one in found.findings],
    )


def _evidence(run: Run, claim: Claim) -> list[EvidenceEntry]:
    if claim.metric:
        return [
            EvidenceEntry(
                kind="metric", run=run.id, table=None, sha256=claim.sha256, row=dict(claim.row), rows=[],
                column=claim.column, how=claim.metric, value=claim.value,
            )
        ]  # fmt: skip
    found = []
    if not claim.aggregated:
        found.append(
            EvidenceEntry(
                kind="cell", run=run.id, table=claim.table, sha256=claim.sha256, row=dict(claim.row),
                rows=_rows(run, claim.table, claim.row), column=claim.column, how=None, value=claim.value,
            )
        )  # fmt: skip
    if claim.over is not None:
        selected = [claim.over.where] if claim.over.minus is None else [claim.over.where, claim.over.minus]
        found += [
            EvidenceEntry(
                kind="rows", run=run.id, table=claim.over.table, sha256=claim.over.sha256, row=dict(where),
                rows=_rows(run, claim.over.table, where), column=claim.over.column,
                how=claim.over.how if where is claim.over.where else "subtracted, seed by seed",
                value=claim.value if where is claim.over.where else None,
            )
            for where in selected
        ]  # fmt: skip
    return found


def _rows(run: Run, table: str, where: Mapping[str, Any]) -> list[int]:
    try:
        return open_table(run, table).find(where)[:MOST_ROWS]
    except UnweaveError:  # the verdict says what is wrong with the table
        return []
