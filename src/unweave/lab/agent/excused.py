"""What a run of an agent's plan excuses itself: nobody but its own study's code has said that it may."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unweave.lab.audit.finding import Audit
    from unweave.record.run import Run


def excused(run: Run, audit: Audit) -> list[str]:
    """Every difference from the plan that the run itself declares. To the auditor a declared one is no reason.

    That is for a person, who declares what they changed and why. A study that an agent runs would otherwise swap its
    data, its metric or its seeds, say so, and be counted.
    """
    declared = run.state().get("deviations") or {}
    return [str(one) for one in audit.findings if not one.grave and one.where in declared]
