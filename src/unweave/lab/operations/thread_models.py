"""What is asked about threads and replications, and what is answered."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from unweave.lab.operations.models import Answer, Id, Sha256, Text, Whole
from unweave.lab.operations.registry import Request

Part = Literal["screen", "confirm", "null", "control", "baseline", "replication"]
Relation = Literal["extends", "replicates", "contradicts"]
Verdict = Literal["accept", "revise", "reject"]
State = Literal["open", "concluded", "stopped"]
Short = Annotated[str, Field(max_length=2_000)]


class ThreadRow(Answer):
    id: str
    question: str
    state: str = Field(description="open, concluded or stopped")
    by: str
    created: str
    changed: str
    events: int
    runs: int
    broken: str | None = Field(description="what is wrong with its history, where something is")
    waits: bool = Field(description="whether its newest plan waits for approval")
    verdict: str | None = Field(description="of the newest review")


class ThreadList(Answer):
    threads: list[ThreadRow]


class ThreadRequest(Request):
    thread: Id


class Written(Answer):
    """Something in a thread: its place in the history, who wrote it and when, and the hash of its line."""

    seq: int
    by: str
    at: str
    digest: str


class HypothesisEntry(Written):
    text: str
    predicted: str
    name: str
    test: dict[str, Any]


class ApprovalEntry(Written):
    sha256: str
    note: str


class PlanEntry(Written):
    sha256: str = Field(description="of the plan's canonical JSON; an approval is of exactly this")
    content: dict[str, Any]
    approved: ApprovalEntry | None
    current: bool = Field(description="whether it is the newest")


class ThreadRunEntry(Written):
    run: str
    part: str
    hypothesis: str
    study: str | None = Field(description="null where the run is gone")
    status: str | None
    valid: bool | None
    note: str | None


class NoteEntry(Written):
    text: str = Field(description="Markdown")


class CitedClaim(Answer):
    run: str
    claim: int
    sentence: str
    verdict: str = Field(description="held, failed or not checkable: recomputed now from the run's files")
    reason: str


class ConclusionEntry(Written):
    text: str
    claims: list[CitedClaim]


class TriedEntry(Written):
    what: str
    why: str
    runs: list[str]


class ReviewEntry(Written):
    verdict: str
    text: str
    of: str = Field(description="hash of what was reviewed")
    current: bool = Field(description="false when the thread went on since")


class LinkEntry(Written):
    relation: str
    to: str
    note: str


class BacklinkEntry(Answer):
    """Another thread that extends, replicates or contradicts this one."""

    thread: str
    relation: str
    question: str


class StateEntry(Written):
    state: str
    why: str


class RowVerdictEntry(Written):
    row: str
    verdict: str
    reason: str
    run: str
    ours: dict[str, Any]


class EventEntry(Written):
    kind: str
    role: str


class AgentEntry(Answer):
    """The agent that works on a thread."""

    run: str
    job: str
    state: str = Field(description="of its job: waiting, running, paused, finished, failed, cancelled or interrupted")
    note: str | None
    waits: bool = Field(description="whether it waits for its plan to be approved")


class ThreadAnswer(Answer):
    id: str
    question: str
    context: str
    state: str
    by: str
    created: str
    changed: str
    content: str = Field(description="hash of what there is to review")
    head: str = Field(description="hash of the whole history")
    hypotheses: list[HypothesisEntry]
    plans: list[PlanEntry]
    runs: list[ThreadRunEntry]
    notes: list[NoteEntry]
    conclusions: list[ConclusionEntry]
    tried: list[TriedEntry]
    reviews: list[ReviewEntry]
    links: list[LinkEntry]
    linked_from: list[BacklinkEntry]
    states: list[StateEntry]
    paper: dict[str, Any] | None = Field(description="the paper that it replicates")
    verdicts: list[RowVerdictEntry]
    events: list[EventEntry]
    agents: list[AgentEntry]
    may_review: bool = Field(description="whether who asks may review it: nobody reviews what they ran or concluded")


class StartThreadRequest(Request):
    question: Annotated[str, Field(min_length=1, max_length=2_000)]
    context: Annotated[str, Field(max_length=100_000)] = ""
    name: Id | None = Field(None, description="the thread's id; made of the question where it is left out")


class ThreadStarted(Answer):
    thread: str


class AddNoteRequest(Request):
    thread: Id
    text: Text


class AddHypothesisRequest(Request):
    thread: Id
    text: Annotated[str, Field(min_length=1, max_length=2_000)]
    predicted: Annotated[str, Field(min_length=1, max_length=2_000)] = Field(
        description="what would be seen if it held"
    )
    name: Annotated[str, Field(max_length=100)] = ""


class AddRunRequest(Request):
    thread: Id
    run: Id
    part: Part = "confirm"
    hypothesis: Annotated[str, Field(max_length=100)] = Field("", description="the name of the one that it tests")


class ClaimReference(Request):
    run: Id
    claim: Whole = Field(description="its number in the run, from 0")


class ConcludeRequest(Request):
    thread: Id
    text: Annotated[str, Field(min_length=1, max_length=10_000)]
    claims: list[ClaimReference] = Field(min_length=1, max_length=100)


class AddTriedRequest(Request):
    thread: Id
    what: Annotated[str, Field(min_length=1, max_length=10_000)]
    why: Annotated[str, Field(min_length=1, max_length=10_000)] = Field(description="why it failed")
    runs: list[Id] = Field(default_factory=list, max_length=100)


class LinkRequest(Request):
    thread: Id
    relation: Relation
    to: Id
    note: Short = ""


class SetStateRequest(Request):
    thread: Id
    state: State
    why: Short = ""


class ProposePlanRequest(Request):
    thread: Id
    plan: dict[str, Any] = Field(min_length=1)


class PlanProposed(Answer):
    thread: str
    sha256: str


class ApprovePlanRequest(Request):
    thread: Id
    sha256: Sha256
    note: Short = ""


class ReviewThreadRequest(Request):
    thread: Id
    verdict: Verdict
    text: Text
    of: Sha256 | None = Field(None, description="a plan's or an event's hash; all of the thread where it is left out")


class ThreadChanged(Answer):
    """What was added to a thread, and where it stands."""

    thread: str
    seq: int
    digest: str = Field(description="hash of this event, and so of all before it")
