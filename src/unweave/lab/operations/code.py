"""Operations on code that somebody else wrote: proposing it, reading it, allowing exactly it, running it in walls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field

from unweave.lab.operations.finding import open_thread
from unweave.lab.operations.queue_models import Limits, Started
from unweave.lab.operations.queueing import asked, job_entry
from unweave.lab.operations.registry import Request, operation
from unweave.lab.sandbox.approval import LARGEST, Approvals, Proposal
from unweave.lab.sandbox.bubblewrap import unavailable

if TYPE_CHECKING:
    from unweave.lab.lab import Lab
    from unweave.lab.people import Person

SHA256 = r"[0-9a-f]{64}"
USUAL = {"threads": 1.0, "memory_gb": 2.0, "disk_gb": 0.5, "seconds": 600.0}
"""What proposed code may use where nothing is asked for."""


class ProposeCodeRequest(Request):
    """A Python file that registers a study, and why it is needed. Nothing of it runs before a person allowed it."""

    name: str = Field(max_length=64)
    source: str = Field(max_length=LARGEST)
    why: str = Field("", max_length=500)


class CodeRequest(Request):
    """Which proposal, by the hash of its bytes."""

    sha256: str = Field(pattern=f"^{SHA256}$")


class RunCodeRequest(CodeRequest):
    """A study of allowed code, and its settings."""

    study: str = Field(max_length=100)
    settings: dict[str, Any] = Field(default_factory=dict)
    thread: str | None = None
    needs: Limits | None = None


class ProposalEntry(BaseModel):
    """A proposed file, and who allowed it."""

    name: str
    sha256: str
    proposed_by: str
    why: str
    allowed_by: str | None
    allowed: str | None


class ProposedCode(BaseModel):
    """All proposals, oldest first, and why there is no sandbox here where there is none."""

    proposals: list[ProposalEntry]
    no_sandbox: str | None


class ShownCode(ProposalEntry):
    """A proposal with its source; control and direction characters are shown as marks."""

    source: str


class NoFields(Request):
    """Nothing to say."""


@operation("propose-code", "keeps code to be read by a person", ProposeCodeRequest, ProposalEntry, "run")
def propose_code(lab: Lab, person: Person, request: ProposeCodeRequest) -> ProposalEntry:
    return _entry(Approvals(lab.home).propose(request.name, request.source, person.name, request.why))


@operation("proposed-code", "code that was proposed, and what of it may run", NoFields, ProposedCode, "read")
def proposed_code(lab: Lab, person: Person, request: NoFields) -> ProposedCode:
    listed = [_entry(one) for one in Approvals(lab.home).list()]
    return ProposedCode(proposals=listed, no_sandbox=unavailable())


@operation("code", "the source of a proposal, to be read before it is allowed", CodeRequest, ShownCode, "read")
def code(lab: Lab, person: Person, request: CodeRequest) -> ShownCode:
    approvals = Approvals(lab.home)
    source = approvals.shown(request.sha256)
    found = next(one for one in approvals.list() if one.sha256 == request.sha256)
    return ShownCode(**_entry(found).model_dump(), source=source)


@operation("allow-code", "lets exactly these bytes run, in the sandbox", CodeRequest, ProposalEntry, "review")
def allow_code(lab: Lab, person: Person, request: CodeRequest) -> ProposalEntry:
    return _entry(Approvals(lab.home).allow(request.sha256, person))


@operation("run-code", "submits a study of allowed code, to run in the sandbox", RunCodeRequest, Started, "run")
def run_code(lab: Lab, person: Person, request: RunCodeRequest) -> Started:
    if request.thread is not None:
        open_thread(lab, request.thread)
    approvals = Approvals(lab.home)
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


def _entry(found: Proposal) -> ProposalEntry:
    return ProposalEntry(
        name=found.name,
        sha256=found.sha256,
        proposed_by=found.proposed_by,
        why=found.why,
        allowed_by=found.allowed_by,
        allowed=found.allowed,
    )
