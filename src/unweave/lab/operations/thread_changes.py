"""Operations that add to threads: questions, hypotheses, notes, runs, conclusions, links, plans, approvals, reviews."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unweave.lab.operations.finding import open_run, open_thread
from unweave.lab.operations.registry import operation
from unweave.lab.operations.thread_models import (
    AddHypothesisRequest,
    AddNoteRequest,
    AddRunRequest,
    AddTriedRequest,
    ApprovePlanRequest,
    ConcludeRequest,
    LinkRequest,
    PlanProposed,
    ProposePlanRequest,
    ReviewThreadRequest,
    SetStateRequest,
    StartThreadRequest,
    ThreadChanged,
    ThreadStarted,
)
from unweave.lab.threads.events import (
    Approval,
    Conclusion,
    Event,
    Hypothesis,
    Link,
    Note,
    Plan,
    Reference,
    Review,
    StateChange,
    ThreadRun,
    Tried,
)

if TYPE_CHECKING:
    from unweave.lab.lab import Lab
    from unweave.lab.people import Person


@operation("start-thread", "opens a thread with a question", StartThreadRequest, ThreadStarted, "run")
def start_thread(lab: Lab, person: Person, request: StartThreadRequest) -> ThreadStarted:
    made = lab.threads.create(request.question, context=request.context, by=person, id=request.name)
    return ThreadStarted(thread=made.id)


@operation("add-note", "adds a note in Markdown to a thread", AddNoteRequest, ThreadChanged, "run")
def add_note(lab: Lab, person: Person, request: AddNoteRequest) -> ThreadChanged:
    return _add(lab, person, request.thread, Note(request.text))


@operation(
    "add-hypothesis",
    "adds what is expected to a thread, and what would be seen if it held",
    AddHypothesisRequest,
    ThreadChanged,
    "run",
)
def add_hypothesis(lab: Lab, person: Person, request: AddHypothesisRequest) -> ThreadChanged:
    return _add(lab, person, request.thread, Hypothesis(request.text, request.predicted, request.name))


@operation("add-run", "makes a run part of a thread", AddRunRequest, ThreadChanged, "run")
def add_run(lab: Lab, person: Person, request: AddRunRequest) -> ThreadChanged:
    open_run(lab, request.run)
    return _add(lab, person, request.thread, ThreadRun(request.run, request.part, request.hypothesis))


@operation("conclude", "adds a conclusion that rests on claims which hold", ConcludeRequest, ThreadChanged, "run")
def conclude(lab: Lab, person: Person, request: ConcludeRequest) -> ThreadChanged:
    for one in request.claims:
        open_run(lab, one.run)
    cited = tuple(Reference(one.run, one.claim) for one in request.claims)
    return _add(lab, person, request.thread, Conclusion(request.text, cited))


@operation("add-tried", "adds what was tried and failed to a thread", AddTriedRequest, ThreadChanged, "run")
def add_tried(lab: Lab, person: Person, request: AddTriedRequest) -> ThreadChanged:
    for run in request.runs:
        open_run(lab, run)
    return _add(lab, person, request.thread, Tried(request.what, request.why, tuple(request.runs)))


@operation("link", "says how a thread stands to another one", LinkRequest, ThreadChanged, "run")
def link(lab: Lab, person: Person, request: LinkRequest) -> ThreadChanged:
    open_thread(lab, request.to)
    return _add(lab, person, request.thread, Link(request.relation, request.to, request.note))


@operation("set-thread-state", "calls a thread open, concluded or stopped", SetStateRequest, ThreadChanged, "run")
def set_thread_state(lab: Lab, person: Person, request: SetStateRequest) -> ThreadChanged:
    return _add(lab, person, request.thread, StateChange(request.state, request.why))


@operation("propose-plan", "proposes what a thread shall run", ProposePlanRequest, PlanProposed, "run")
def propose_plan(lab: Lab, person: Person, request: ProposePlanRequest) -> PlanProposed:
    proposed = Plan(request.plan)
    _add(lab, person, request.thread, proposed)
    return PlanProposed(thread=request.thread, sha256=proposed.sha256)


@operation(
    "approve-plan", "gives leave to run exactly the plan with this hash", ApprovePlanRequest, ThreadChanged, "review"
)
def approve_plan(lab: Lab, person: Person, request: ApprovePlanRequest) -> ThreadChanged:
    return _add(lab, person, request.thread, Approval(request.sha256, request.note))


@operation(
    "review-thread", "gives a verdict on what others did in a thread", ReviewThreadRequest, ThreadChanged, "review"
)
def review_thread(lab: Lab, person: Person, request: ReviewThreadRequest) -> ThreadChanged:
    return _add(lab, person, request.thread, Review(request.verdict, request.text, request.of or ""))


def _add(lab: Lab, person: Person, thread: str, event: Event) -> ThreadChanged:
    open_thread(lab, thread)
    added = lab.threads.add(thread, event, by=person)
    return ThreadChanged(thread=thread, seq=added.seq, digest=added.digest)
