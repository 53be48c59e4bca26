"""Operations on code that somebody else wrote: proposing it, reading it, allowing exactly it, running it in walls."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from unweave.base.errors import nearest
from unweave.lab.operations.finding import open_thread
from unweave.lab.operations.proposal_models import (
    ProposalEntry,
    ProposalList,
    ProposalRequest,
    ProposeCodeRequest,
    ProposedCode,
    RunCodeRequest,
)
from unweave.lab.operations.queue_models import Started
from unweave.lab.operations.queueing import asked, job_entry
from unweave.lab.operations.registry import Missing, operation
from unweave.lab.operations.run_models import Nothing
from unweave.lab.sandbox.approval import Approvals

if TYPE_CHECKING:
    from unweave.lab.lab import Lab
    from unweave.lab.people import Person


USUAL = {"threads": 1.0, "memory_gb": 2.0, "disk_gb": 0.5, "seconds": 600.0}
"""What proposed code may use where nothing is asked for."""


@operation("propose-code", "keeps code to be read by a person", ProposeCodeRequest, ProposalEntry, "run")
def propose_code(lab: Lab, person: Person, request: ProposeCodeRequest) -> ProposalEntry:
    found = Approvals(lab.home).propose(request.name, request.source, person.name, request.why)
    return ProposalEntry(**asdict(found))


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


@operation("run-code", "submits a study of allowed code, to run in the sandbox", RunCodeRequest, Started, "run")
def run_code(lab: Lab, person: Person, request: RunCodeRequest) -> Started:
    if request.thread is not None:
        open_thread(lab, request.thread)
    approvals = Approvals(lab.home)
    _found(approvals, request.sha256)
    source = approvals.path(request.sha256)
    approvals.allowed(source)
    needs = asked(request.needs.model_dump() if request.needs else {}) or {}
    job = lab.queue.submit(
        request.study,
        request.settings,
        needs=USUAL | needs,
        retries=0,
        thread=request.thread,
        person=person.name,
        source=source,
        sandboxed=True,
    )
    return Started(jobs=[job_entry(lab, job)])


def _found(approvals: Approvals, sha256: str) -> ProposalEntry:
    known = {one.sha256: one for one in approvals.list()}
    if sha256 not in known:
        raise Missing(f"no code with sha256 {sha256!r} was proposed; {nearest(sha256, known)}")
    return ProposalEntry(**asdict(known[sha256]))
