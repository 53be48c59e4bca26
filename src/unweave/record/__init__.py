"""What a run writes: metrics, tables, figures drawn from tables, claims, the report, and the audit of all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unweave.base.lazy import lazy_exports

if TYPE_CHECKING:
    from unweave.record.aggregate import Aggregate
    from unweave.record.audit import Discrepancy, audit_run
    from unweave.record.bar_chart import bars
    from unweave.record.claims import CheckedClaim, Claim, check_claims
    from unweave.record.curves import lines, scatter
    from unweave.record.evidence import Evidence, check_evidence, cite
    from unweave.record.figure import Figure, FigureSpec
    from unweave.record.figure_audit import audit_figure
    from unweave.record.find import find_run, list_runs
    from unweave.record.report import Continuation, Headline, Section, write_report
    from unweave.record.run import Run, RunCancelled
    from unweave.record.table import Table

_HOME = {
    "Aggregate": "aggregate",
    "CheckedClaim": "claims",
    "Claim": "claims",
    "Continuation": "report",
    "Discrepancy": "audit",
    "Evidence": "evidence",
    "Figure": "figure",
    "FigureSpec": "figure",
    "Headline": "report",
    "Run": "run",
    "RunCancelled": "run",
    "Section": "report",
    "Table": "table",
    "audit_figure": "figure_audit",
    "audit_run": "audit",
    "bars": "bar_chart",
    "check_claims": "claims",
    "check_evidence": "evidence",
    "cite": "evidence",
    "find_run": "find",
    "lines": "curves",
    "list_runs": "find",
    "scatter": "curves",
    "write_report": "report",
}
__all__ = [
    "Aggregate",
    "CheckedClaim",
    "Claim",
    "Continuation",
    "Discrepancy",
    "Evidence",
    "Figure",
    "FigureSpec",
    "Headline",
    "Run",
    "RunCancelled",
    "Section",
    "Table",
    "audit_figure",
    "audit_run",
    "bars",
    "check_claims",
    "check_evidence",
    "cite",
    "find_run",
    "lines",
    "list_runs",
    "scatter",
    "write_report",
]

__getattr__ = lazy_exports(__name__, _HOME)
