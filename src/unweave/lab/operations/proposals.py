"""Operations on code that an agent proposed: reading it, and letting exactly these bytes run in the sandbox."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from unweave.base.errors import nearest
from unweave.lab.operations.proposal_models import ProposalEntry, ProposalList, ProposalRequest, ProposedCode
from unweave.lab.operations.registry import Missing, operation
from unweave.lab.operations.run_models import Nothing
from unweave.lab.sandbox.approval import Approvals

if TYPE_CHECKING:
    from unweave.lab.lab import Lab
    from unweave.lab.people import Person


@operation("proposals", "code that was proposed, and what of it may run", Nothing, ProposalList, "read")
def proposals(lab: Lab, person: Person, request: Nothing) -> ProposalList:
    return ProposalList(proposals=[ProposalEntry(**asdict(one)) for one in Approvals(lab.home).list()])


@operation("proposal", "the source of code that was proposed", ProposalRequest, ProposedCode, "read")
def proposal(lab: Lab, person: Person, request: ProposalRequest) -> ProposedCode:
    approvals = Approvals(lab.home)
    found = _found(approvals, request.sha256)
    return ProposedCode(**found.model_dump(), source=approvals.shown(request.sha256))


@operation("allow-code", "lets exactly these bytes run, in the sandbox only", ProposalRequest, ProposalEntry, "review")
def allow_code(lab: Lab, person: Person, request: ProposalRequest) -> ProposalEntry:
    approvals = Approvals(lab.home)
    _found(approvals, request.sha256)
    return ProposalEntry(**asdict(approvals.allow(request.sha256, person)))


def _found(approvals: Approvals, sha256: str) -> ProposalEntry:
    known = {one.sha256: one for one in approvals.list()}
    if sha256 not in known:
        raise Missing(f"no code with sha256 {sha256!r} was proposed; {nearest(sha256, known)}")
    return ProposalEntry(**asdict(known[sha256]))
