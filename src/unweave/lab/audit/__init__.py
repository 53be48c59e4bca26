"""Recomputing what runs claim, from their files alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unweave.base.lazy import lazy_exports

if TYPE_CHECKING:
    from unweave.lab.audit.auditor import audit_folder
    from unweave.lab.audit.finding import Audit, Finding, Ledger
    from unweave.lab.audit.plan import complete_plan
    from unweave.lab.audit.process import audit, audit_several
    from unweave.lab.audit.text import check_text, cited_claims, cited_tables, render_text

_HOME = {
    "Audit": "finding",
    "Finding": "finding",
    "Ledger": "finding",
    "audit": "process",
    "audit_folder": "auditor",
    "audit_several": "process",
    "check_text": "text",
    "cited_claims": "text",
    "cited_tables": "text",
    "complete_plan": "plan",
    "render_text": "text",
}
__all__ = [
    "Audit",
    "Finding",
    "Ledger",
    "audit",
    "audit_folder",
    "audit_several",
    "check_text",
    "cited_claims",
    "cited_tables",
    "complete_plan",
    "render_text",
]

__getattr__ = lazy_exports(__name__, _HOME)
