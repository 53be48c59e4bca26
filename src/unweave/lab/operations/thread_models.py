"""What is asked about threads and replications, and what is answered."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from unweave.lab.operations.models import Answer, Id, Line, Sha256, Text, Value
from unweave.lab.operations.registry import Request

LinkKind = Literal["extends", "replicates", "contradicts"]
Verdict = Literal["accept", "revise", "reject"]
Role = Annotated[str, Field(min_length=1, max_length=60, description="what the run is for: effect, null, control")]


class ThreadRow(Answer):
    id: str
    question: str
    status: str
    created: str
    updated: str
    by: str
    runs: int
    hypotheses: int
    conclusions: int
    verdict: str | None = Field(description="of the newest review")
    waits: bool = Field(description="whether a plan waits for approval")


class ThreadList(Answer):
    threads: list[ThreadRow]


class ThreadRequest(Request):
    thread: Id


class Written(Answer):
    """Who wrote something, and when."""

    by: str
    at: str


class HypothesisEntry(Written):
    number: int
    statement: str
    status: str = Field(description="open, supported, refuted or undecided")
    prediction: str = ""


class ApprovalEntry(Written):
    sha256: str


class PlanEntry(Written):
    number: int
    sha256: str = Field(description="of the plan's canonical JSON; an approval is of exactly this")
    plan: dict[str, Any]
    approvals: list[ApprovalEntry]


class ThreadRun(Written):
    run: str
    role: str
    study: str | None
    status: str | None
    valid: bool | None
    note: str | None = None


class NoteEntry(Written):
    name: str
    text: str = Field(description="Markdown")


class CitedClaim(Answer):
    run: str
    claim: int
    sentence: str | None
    value: Value
    verdict: str | None = Field(description="held, failed or not checkable: recomputed now from the run's files")


class ConclusionEntry(Written):
    number: int
    sentence: str
    claims: list[CitedClaim]
    withdrawn: bool = False


class TriedEntry(Written):
    text: str
    run: str | None = None


class ReviewEntry(Written):
    verdict: str
    text: str
    of: str = Field(description="hash of the thread's events that the review has read")
    current: bool = Field(description="false when the thread went on since")


class LinkEntry(Written):
    kind: str
    to: str


class EventEntry(Written):
    number: int
    kind: str
    what: dict[str, Any]


class ThreadAnswer(Answer):
    id: str
    question: str
    status: str
    created: str
    by: str
    sha256: str = Field(description="of the events so far")
    hypotheses: list[HypothesisEntry]
    plans: list[PlanEntry]
    runs: list[ThreadRun]
    notes: list[NoteEntry]
    conclusions: list[ConclusionEntry]
    tried: list[TriedEntry]
    reviews: list[ReviewEntry]
    links: list[LinkEntry]
    linked_from: list[LinkEntry] = Field(description="threads that extend, replicate or contradict this one")
    agent: str | None = Field(description="the run of an agent that works on it")
    replication: str | None = Field(description="the paper that it replicates")
    report: str | None = Field(description="Markdown")


class StartThreadRequest(Request):
    question: Line
    name: Id | None = None


class ThreadStarted(Answer):
    thread: str


class AddNoteRequest(Request):
    thread: Id
    text: Text
    name: Id | None = Field(None, description="a note of this name is replaced, and its history kept")


class AddHypothesisRequest(Request):
    thread: Id
    statement: Line
    prediction: Annotated[str, Field(max_length=1_000)] = Field("", description="what would be seen if it held")


class AddRunRequest(Request):
    thread: Id
    run: Id
    role: Role = "effect"


class ClaimReference(Request):
    run: Id
    claim: Annotated[int, Field(ge=0)] = Field(description="its number in the run, from 0")


class ConcludeRequest(Request):
    thread: Id
    sentence: Line
    claims: list[ClaimReference] = Field(min_length=1, max_length=100)


class AddTriedRequest(Request):
    thread: Id
    text: Line
    run: Id | None = None


class LinkRequest(Request):
    thread: Id
    kind: LinkKind
    to: Id


class ProposePlanRequest(Request):
    thread: Id
    plan: dict[str, Any]


class PlanProposed(Answer):
    thread: str
    sha256: str


class ApprovePlanRequest(Request):
    thread: Id
    sha256: Sha256


class ReviewThreadRequest(Request):
    thread: Id
    verdict: Verdict
    text: Text


class ThreadChanged(Answer):
    """What a thread's newest event is, after it was added."""

    thread: str
    events: int
    sha256: str = Field(description="of all events")


class ReplicateRequest(Request):
    paper: Id
    thread: Id | None = None
    start: bool = Field(True, description="submit the runs that its rows need")


class ReplicationStarted(Answer):
    thread: str
    jobs: list[str]


class PaperRow(Answer):
    """One claim of a paper, and what its run says."""

    number: int
    statement: str
    where: str = Field(description="in the paper")
    reported: float | str | None
    tolerance: float | None
    unit: str
    unknowable: str | None = Field(description="why it cannot be known from what was published")
    study: str | None
    config: dict[str, Any]
    table: str | None
    row: dict[str, Any]
    column: str | None
    run: str | None
    measured: Value
    verdict: str = Field(description="by the auditor: replicated, not replicated, not checkable, or open")
    reason: str


class Paper(Answer):
    id: str
    title: str
    source: str
    threads: list[str]
    rows: list[PaperRow]
    deviations: list[str]
    correction: str | None


class PaperList(Answer):
    papers: list[Paper]
