"""A thread as a value: its events folded into what they amount to now."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from unweave.base.errors import UnweaveError
from unweave.lab.people import person_behind
from unweave.lab.threads.events import (
    Approval,
    Conclusion,
    Event,
    Hypothesis,
    Link,
    Note,
    PaperAdded,
    Plan,
    Question,
    Review,
    RowVerdict,
    StateChange,
    ThreadRun,
    Tried,
)

Kind = TypeVar("Kind", bound=Event)


@dataclass(frozen=True)
class Backlink:
    """Another thread's link to this one: ``thread`` extends, replicates or contradicts this one."""

    thread: str
    relation: str
    question: str = ""


@dataclass(frozen=True)
class Thread:
    """A line of research. Everything is derived from ``events``; ``linked_from`` comes from the other threads.

    The first ``imported`` events came from another lab: their names are no accounts of this one.
    """

    id: str
    events: tuple[Event, ...]
    linked_from: tuple[Backlink, ...] = ()
    imported: int = 0

    @property
    def question(self) -> str:
        """What the thread asks."""
        return self._first.text

    @property
    def context(self) -> str:
        """What its author wrote beside the question."""
        return self._first.context

    @property
    def by(self) -> str:
        """Who asked."""
        return self._first.by

    @property
    def created(self) -> str:
        """When it was asked."""
        return self._first.at

    @property
    def changed(self) -> str:
        """When the last event was added."""
        return self.events[-1].at

    @property
    def state(self) -> str:
        """``open``, ``concluded`` or ``stopped``."""
        changes = self.of_kind(StateChange)
        return changes[-1].state if changes else "open"

    @property
    def hypotheses(self) -> tuple[Hypothesis, ...]:
        """What was expected, each with its predicted outcome."""
        return self.of_kind(Hypothesis)

    @property
    def plans(self) -> tuple[Plan, ...]:
        """Every plan proposed, the last of which is in force."""
        return self.of_kind(Plan)

    @property
    def plan(self) -> Plan | None:
        """The plan in force: the last one proposed."""
        return self.plans[-1] if self.plans else None

    @property
    def approvals(self) -> tuple[Approval, ...]:
        """Every approval of a plan."""
        return self.of_kind(Approval)

    @property
    def approvals_here(self) -> tuple[Approval, ...]:
        """The approvals given in this lab."""
        return tuple(event for event in self.approvals if event.seq > self.imported)

    @property
    def runs(self) -> tuple[ThreadRun, ...]:
        """The runs in the order in which they came, each with the part that it was last given."""
        return tuple({event.run: event for event in self.of_kind(ThreadRun)}.values())

    @property
    def notes(self) -> tuple[Note, ...]:
        """Notes in Markdown."""
        return self.of_kind(Note)

    @property
    def conclusions(self) -> tuple[Conclusion, ...]:
        """Sentences with the claims that they rest on."""
        return self.of_kind(Conclusion)

    @property
    def tried(self) -> tuple[Tried, ...]:
        """What was tried and failed, and why."""
        return self.of_kind(Tried)

    @property
    def reviews(self) -> tuple[Review, ...]:
        """Verdicts of others."""
        return self.of_kind(Review)

    @property
    def links(self) -> tuple[Link, ...]:
        """What this thread extends, replicates or contradicts."""
        return self.of_kind(Link)

    @property
    def paper(self) -> PaperAdded | None:
        """The paper that it replicates, as last given."""
        papers = self.of_kind(PaperAdded)
        return papers[-1] if papers else None

    @property
    def verdicts(self) -> dict[str, RowVerdict]:
        """The last verdict on each row of the paper, by the row's id."""
        return {event.row: event for event in self.of_kind(RowVerdict)}

    @property
    def content(self) -> str:
        """The hash of what there is to review: of the last event that is no review, with all before it."""
        return next(event.digest for event in reversed(self.events) if not isinstance(event, Review))

    @property
    def head(self) -> str:
        """The hash of the last event, and so of the whole history."""
        return self.events[-1].digest

    def approved(self, sha256: str) -> Approval | None:
        """The approval of exactly the plan with this hash, given in this lab: an imported one permits nothing here."""
        return next((event for event in reversed(self.approvals_here) if event.sha256 == sha256), None)

    def is_current(self, review: Review) -> bool:
        """Whether what the review judged is still what stands there: nothing but reviews came after it."""
        plan = self.plan
        return review.of == self.content or (plan is not None and review.of == plan.sha256)

    def of_kind(self, kind: type[Kind]) -> tuple[Kind, ...]:
        """The events of one kind in order."""
        return tuple(event for event in self.events if isinstance(event, kind))

    def authors(self, people: Iterable[str] = ()) -> set[str]:
        """Who may not review: those who planned, ran or concluded here, themselves or by their own agents.

        ``people`` are those recorded in the runs.
        """
        kinds = (Plan, ThreadRun, Conclusion, RowVerdict)
        here = (event.by for event in self.events if isinstance(event, kinds))
        return {person_behind(name) for name in (*here, *people)}

    def to_json(self) -> dict[str, Any]:
        """Everything for a page: the fold by kind, with each event's place, and what it needs of the others."""
        plan = self.plan
        return {
            "id": self.id,
            "question": self.question,
            "context": self.context,
            "by": self.by,
            "created": self.created,
            "changed": self.changed,
            "state": self.state,
            "content": self.content,
            "head": self.head,
            "imported": self.imported,
            "hypotheses": _told(self.hypotheses),
            "plans": [
                {**_of(event), "sha256": event.sha256, "approved_by": approval.by if approval else None}
                for event in self.plans
                for approval in [self.approved(event.sha256)]
            ],
            "plan": plan.sha256 if plan else None,
            "approvals": _told(self.approvals),
            "runs": _told(self.runs),
            "notes": _told(self.notes),
            "conclusions": _told(self.conclusions),
            "tried": _told(self.tried),
            "reviews": [{**_of(event), "current": self.is_current(event)} for event in self.reviews],
            "links": _told(self.links),
            "linked_from": [
                {"thread": one.thread, "relation": one.relation, "question": one.question} for one in self.linked_from
            ],
            "paper": {**self.paper.content, "sha256": self.paper.sha256} if self.paper else None,
            "verdicts": _told(tuple(self.verdicts.values())),
        }

    def _repr_html_(self) -> str:
        from unweave.lab.notebook import thread_html

        return thread_html(self)

    @property
    def _first(self) -> Question:
        first = self.events[0] if self.events else None
        if not isinstance(first, Question):
            raise UnweaveError(f"thread {self.id!r} does not begin with a question: its history is damaged")
        return first


def _of(event: Event) -> dict[str, Any]:
    return {"seq": event.seq, "at": event.at, "by": event.by, "digest": event.digest, **event.body()}


def _told(events: Sequence[Event]) -> list[dict[str, Any]]:
    return [_of(event) for event in events]
