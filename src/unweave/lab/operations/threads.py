"""Operations that read threads: the list, and all that one holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from unweave.base.errors import UnweaveError
from unweave.lab.operations.finding import open_thread
from unweave.lab.operations.models import Answer
from unweave.lab.operations.registry import operation
from unweave.lab.operations.run_models import Nothing
from unweave.lab.operations.thread_models import (
    AgentEntry,
    ApprovalEntry,
    BacklinkEntry,
    CitedClaim,
    ConclusionEntry,
    EventEntry,
    HypothesisEntry,
    LinkEntry,
    NoteEntry,
    PlanEntry,
    ReviewEntry,
    RowVerdictEntry,
    StateEntry,
    ThreadAnswer,
    ThreadList,
    ThreadRequest,
    ThreadRow,
    ThreadRunEntry,
    TriedEntry,
)
from unweave.lab.people import person_behind
from unweave.lab.threads.conclusions import grounds
from unweave.lab.threads.events import Conclusion, Event, StateChange, ThreadRun

if TYPE_CHECKING:
    from unweave.lab.lab import Lab
    from unweave.lab.people import Person
    from unweave.lab.threads.thread import Thread

Entry = TypeVar("Entry", bound=Answer)
LOOKED_INTO = 200


@operation("threads", "the lab's threads of research, the last changed first", Nothing, ThreadList, "read", agent=True)
def threads(lab: Lab, person: Person, request: Nothing) -> ThreadList:
    listed = []
    for number, row in enumerate(lab.threads.list()):
        # What waits for somebody is in the threads themselves; old ones are not opened for that.
        opened = None
        if row.broken is None and number < LOOKED_INTO:
            with suppress(UnweaveError):
                opened = lab.threads.get(row.id)
        listed.append(
            ThreadRow(
                id=row.id, question=row.question, state=row.state, by=row.by, created=row.created, changed=row.changed,
                events=row.events, runs=row.runs, broken=row.broken,
                waits=opened is not None and waits_for_approval(opened),
                verdict=opened.reviews[-1].verdict if opened is not None and opened.reviews else None,
            )
        )  # fmt: skip
    return ThreadList(threads=listed)


@operation("thread", "all that a thread holds", ThreadRequest, ThreadAnswer, "read", agent=True)
def thread(lab: Lab, person: Person, request: ThreadRequest) -> ThreadAnswer:
    found = open_thread(lab, request.thread)
    plans = [
        PlanEntry(
            **_place(event), sha256=event.sha256, content=dict(event.content), current=event is found.plan,
            approved=ApprovalEntry(**_told(approval)) if (approval := found.approved(event.sha256)) else None,
        )
        for event in found.plans
    ]  # fmt: skip
    return ThreadAnswer(
        id=found.id,
        question=found.question,
        context=found.context,
        state=found.state,
        by=found.by,
        created=found.created,
        changed=found.changed,
        content=found.content,
        head=found.head,
        hypotheses=_all(HypothesisEntry, found.hypotheses),
        plans=plans,
        runs=[_run(lab, event) for event in found.runs],
        notes=_all(NoteEntry, found.notes),
        conclusions=[_conclusion(lab, event) for event in found.conclusions],
        tried=_all(TriedEntry, found.tried),
        reviews=[ReviewEntry(**_told(event), current=found.is_current(event)) for event in found.reviews],
        links=_all(LinkEntry, found.links),
        linked_from=[
            BacklinkEntry(thread=one.thread, relation=one.relation, question=one.question) for one in found.linked_from
        ],
        states=_all(StateEntry, found.of_kind(StateChange)),
        paper=dict(found.paper.content) if found.paper else None,
        verdicts=_all(RowVerdictEntry, tuple(found.verdicts.values())),
        events=[EventEntry(**_place(event), kind=event.kind, role=event.role) for event in found.events],
        agents=_agents(lab, found),
        may_review=person.may("review") and person_behind(person.name) not in found.authors(lab.threads.runners(found)),
    )


def waits_for_approval(found: Thread) -> bool:
    """Whether the newest plan of an open thread has no approval, and nothing was run since it was proposed."""
    plan = found.plan
    if plan is None or found.state != "open" or found.approved(plan.sha256) is not None:
        return False
    return not any(event.seq > plan.seq for event in found.of_kind(ThreadRun))


def _agents(lab: Lab, found: Thread) -> list[AgentEntry]:
    waits = waits_for_approval(found)
    return [
        AgentEntry(run=job.run, job=job.id, state=job.state, note=job.note, waits=waits and not job.has_ended)
        for job in lab.queue.list(thread=found.id)
        if job.kind == "agent"
    ]


def _run(lab: Lab, event: ThreadRun) -> ThreadRunEntry:
    row = None
    with suppress(UnweaveError):
        row = lab.runs.get(event.run)
    return ThreadRunEntry(
        **_told(event),
        study=row.study if row else None,
        status=row.status if row else None,
        valid=row.valid if row else None,
        note=row.note if row else None,
    )


def _conclusion(lab: Lab, event: Conclusion) -> ConclusionEntry:
    cited = [
        CitedClaim(
            run=one.reference.run,
            claim=one.reference.claim,
            sentence=one.sentence,
            verdict=one.verdict,
            reason=one.reason,
        )
        for one in grounds(lab.root, event)
    ]
    return ConclusionEntry(**_place(event), text=event.text, claims=cited)


def _all(entry: Callable[..., Entry], events: Sequence[Event]) -> list[Entry]:
    return [entry(**_told(event)) for event in events]


def _told(event: Event) -> dict[str, Any]:
    body = event.body()
    body.pop("file", None)  # a note's place in the thread's folder
    return {**_place(event), **body}


def _place(event: Event) -> dict[str, Any]:
    return {"seq": event.seq, "by": event.by, "at": event.at, "digest": event.digest}
