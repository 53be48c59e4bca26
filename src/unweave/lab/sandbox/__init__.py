"""Running code that nobody has read, without network, without the lab's files, under limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unweave.base.lazy import lazy_exports

if TYPE_CHECKING:
    from unweave.lab.sandbox.approval import Approvals, Proposal
    from unweave.lab.sandbox.bubblewrap import unavailable
    from unweave.lab.sandbox.limits import Limits
    from unweave.lab.sandbox.study import SandboxedStudy, SandboxResult, limits_of

_HOME = {
    "Approvals": "approval",
    "Limits": "limits",
    "Proposal": "approval",
    "SandboxResult": "study",
    "SandboxedStudy": "study",
    "limits_of": "study",
    "unavailable": "bubblewrap",
}
__all__ = ["Approvals", "Limits", "Proposal", "SandboxResult", "SandboxedStudy", "limits_of", "unavailable"]

__getattr__ = lazy_exports(__name__, _HOME)
