"""What can happen in a thread: one frozen value a kind of event, and its place in one line of ``events.jsonl``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal

from unweave.base.errors import UnweaveError, nearest
from unweave.lab.threads.fields import choice_field, digest_field, id_field, json_field, text_field

RunRole = Literal["screen", "confirm", "null", "control", "baseline", "replication"]
RUN_ROLES: tuple[RunRole, ...] = ("screen", "confirm", "null", "control", "baseline", "replication")
VERDICTS = ("accept", "revise", "reject")
RELATIONS = ("extends", "replicates", "contradicts")
STATES = ("open", "concluded", "stopped")
ROW_VERDICTS = ("reproduced", "not reproduced", "not testable")


@dataclass(frozen=True, kw_only=True)
class Event:
    """Who did it, when, and where it stands in the history. ``Threads.add`` fills these in.

    ``previous`` is the sha256 of the line before this one and ``digest`` that of this event's own line, so that no line
    can be changed, left out or put in between without all later ones.
    """

    kind: ClassVar[str] = ""
    scope: ClassVar[Literal["run", "review"]] = "run"
    seq: int = 0
    at: str = ""
    by: str = ""
    role: str = ""
    previous: str = ""
    digest: str = field(default="", compare=False)

    def to_json(self) -> dict[str, Any]:
        """The event as its line holds it."""
        head = {"seq": self.seq, "at": self.at, "by": self.by, "role": self.role, "kind": self.kind}
        return {**head, "previous": self.previous, **self.body()}

    def body(self) -> dict[str, Any]:
        """What was said, without who and when."""
        return {f.name: json_value(getattr(self, f.name)) for f in fields(self) if f.name not in PLACE}


PLACE = frozenset(f.name for f in fields(Event))


@dataclass(frozen=True)
class Question(Event):
    """What the thread asks. The first event, and only the first."""

    text: str
    context: str = ""
    kind: ClassVar[str] = "question"

    def __post_init__(self) -> None:
        text_field(self.text, "question", 2000)
        text_field(self.context, "context", empty=True)


@dataclass(frozen=True)
class Hypothesis(Event):
    """A statement, and what its author expects to see before anything has run.

    ``test`` says the same for a machine, where somebody wants it to: an outcome's name and the number expected.
    """

    text: str
    predicted: str
    name: str = ""
    test: Mapping[str, Any] = field(default_factory=dict)
    kind: ClassVar[str] = "hypothesis"

    def __post_init__(self) -> None:
        text_field(self.text, "hypothesis", 2000)
        text_field(self.predicted, "predicted outcome", 2000)
        text_field(self.name, "name", 100, empty=True)
        object.__setattr__(self, "test", json_field(self.test, "test of the hypothesis"))


@dataclass(frozen=True)
class Plan(Event):
    """What shall be run, as JSON. An approval names its ``sha256``, so a changed plan needs a new one."""

    content: Mapping[str, Any]
    kind: ClassVar[str] = "plan"

    def __post_init__(self) -> None:
        object.__setattr__(self, "content", json_field(self.content, "plan"))
        if not self.content:
            raise UnweaveError("the plan is empty: say what shall be run")

    @property
    def sha256(self) -> str:
        """The hash that an approval is bound to."""
        return content_hash(self.content)


@dataclass(frozen=True)
class Approval(Event):
    """Leave to run exactly the plan with this ``sha256``. It permits and does not judge: an author may give it."""

    sha256: str
    note: str = ""
    kind: ClassVar[str] = "approval"
    scope: ClassVar[Literal["run", "review"]] = "review"

    def __post_init__(self) -> None:
        digest_field(self.sha256, "plan")
        text_field(self.note, "note", empty=True)


@dataclass(frozen=True)
class ThreadRun(Event):
    """A run that belongs to the thread, and the part it plays there. A later one of the same run replaces its part."""

    run: str
    part: RunRole
    hypothesis: str = ""
    kind: ClassVar[str] = "run"

    def __post_init__(self) -> None:
        id_field(self.run, "run")
        choice_field(self.part, RUN_ROLES, "part of a run")
        text_field(self.hypothesis, "hypothesis", 100, empty=True)


@dataclass(frozen=True)
class Note(Event):
    """Markdown. ``file`` is where the thread's folder holds the same text."""

    text: str
    file: str = ""
    kind: ClassVar[str] = "note"

    def __post_init__(self) -> None:
        text_field(self.text, "note")


@dataclass(frozen=True)
class Reference:
    """Claim number ``claim`` (from 0) of ``run``; ``sha256`` is that of the claim as it was when it was checked."""

    run: str
    claim: int
    sha256: str = ""

    def __post_init__(self) -> None:
        id_field(self.run, "run")
        if isinstance(self.claim, bool) or not isinstance(self.claim, int) or self.claim < 0:
            raise UnweaveError(f"claim number {self.claim!r} of run {self.run!r}: give its place, counted from 0")

    def to_json(self) -> dict[str, Any]:
        """The reference as plain JSON."""
        return {"run": self.run, "claim": self.claim, "sha256": self.sha256}


@dataclass(frozen=True)
class Conclusion(Event):
    """A sentence, and the claims that it rests on; ``(run, number)`` will do for a reference."""

    text: str
    claims: tuple[Reference, ...]
    kind: ClassVar[str] = "conclusion"

    def __post_init__(self) -> None:
        text_field(self.text, "conclusion", 10_000)
        references = tuple(_reference(entry) for entry in self.claims)
        if not references:
            raise UnweaveError("a conclusion names the claims that it rests on: give at least one (run, number)")
        object.__setattr__(self, "claims", references)


@dataclass(frozen=True)
class Tried(Event):
    """What was tried and did not work, and why."""

    what: str
    why: str
    runs: tuple[str, ...] = ()
    kind: ClassVar[str] = "tried"

    def __post_init__(self) -> None:
        text_field(self.what, "what was tried", 10_000)
        text_field(self.why, "why it failed", 10_000)
        object.__setattr__(self, "runs", tuple(self.runs))
        for run in self.runs:
            id_field(run, "run")


@dataclass(frozen=True)
class Review(Event):
    """A verdict on what has the hash ``of``: the thread's content, one of its plans, or one of its events."""

    verdict: Literal["accept", "revise", "reject"]
    text: str
    of: str = ""
    kind: ClassVar[str] = "review"
    scope: ClassVar[Literal["run", "review"]] = "review"

    def __post_init__(self) -> None:
        choice_field(self.verdict, VERDICTS, "verdict")
        text_field(self.text, "review")
        if self.of:
            digest_field(self.of, "what was reviewed")


@dataclass(frozen=True)
class Link(Event):
    """How this thread stands to another one, which shows the reverse."""

    relation: Literal["extends", "replicates", "contradicts"]
    to: str
    note: str = ""
    kind: ClassVar[str] = "link"

    def __post_init__(self) -> None:
        choice_field(self.relation, RELATIONS, "relation")
        id_field(self.to, "thread")
        text_field(self.note, "note", empty=True)


@dataclass(frozen=True)
class StateChange(Event):
    """The thread is open, concluded or stopped from here on."""

    state: Literal["open", "concluded", "stopped"]
    why: str = ""
    kind: ClassVar[str] = "state"

    def __post_init__(self) -> None:
        choice_field(self.state, STATES, "state")
        text_field(self.why, "reason", empty=True)


@dataclass(frozen=True)
class PaperAdded(Event):
    """The paper that the thread replicates, whole, as its file held it."""

    content: Mapping[str, Any]
    kind: ClassVar[str] = "paper"

    def __post_init__(self) -> None:
        object.__setattr__(self, "content", json_field(self.content, "paper"))

    @property
    def sha256(self) -> str:
        """The hash of the paper's content."""
        return content_hash(self.content)


@dataclass(frozen=True)
class RowVerdict(Event):
    """What became of one row of the paper: the verdict, our number with its spread, and who recomputed it."""

    row: str
    verdict: Literal["reproduced", "not reproduced", "not testable"]
    reason: str
    run: str = ""
    ours: Mapping[str, Any] = field(default_factory=dict)
    kind: ClassVar[str] = "verdict"

    def __post_init__(self) -> None:
        id_field(self.row, "row")
        choice_field(self.verdict, ROW_VERDICTS, "verdict")
        text_field(self.reason, "reason", 10_000)
        if self.run:
            id_field(self.run, "run")
        object.__setattr__(self, "ours", json_field(self.ours, "our number"))


KINDS: dict[str, type[Event]] = {
    kind.kind: kind
    for kind in (
        Question, Hypothesis, Plan, Approval, ThreadRun, Note, Conclusion, Tried, Review, Link, StateChange,
        PaperAdded, RowVerdict,
    )
}  # fmt: skip


def event_from_json(value: Mapping[str, Any], digest: str = "") -> Event:
    """An event from its line, or from a request that has no place yet. Refuses a kind or a field that is not known."""
    kind = KINDS.get(value["kind"]) if isinstance(value.get("kind"), str) else None
    if kind is None:
        raise UnweaveError(f"event kind {value.get('kind')!r} is not known; {nearest(str(value.get('kind')), KINDS)}")
    known = {f.name for f in fields(kind)} - {"digest"}
    given = {name: content for name, content in value.items() if name != "kind"}
    strange = sorted(set(given) - known)
    if strange:
        raise UnweaveError(f"an event {kind.kind!r} has no field {strange[0]!r}; {nearest(strange[0], known - PLACE)}")
    try:
        return kind(**given, digest=digest)
    except TypeError as error:
        raise UnweaveError(f"an event {kind.kind!r} is not complete: {str(error).partition('() ')[2]}") from error


def content_hash(content: Mapping[str, Any]) -> str:
    """sha256 of a JSON value in its one canonical form: sorted names, no spaces."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def json_value(value: Any) -> Any:
    """A field as plain JSON."""
    to_json: Callable[[], Any] | None = getattr(value, "to_json", None)
    if to_json is not None:
        return to_json()
    return [json_value(entry) for entry in value] if isinstance(value, tuple) else value


def _reference(entry: Any) -> Reference:
    if isinstance(entry, Reference):
        return entry
    try:
        return Reference(**entry) if isinstance(entry, Mapping) else Reference(*entry)
    except TypeError as error:
        raise UnweaveError(f"{entry!r} is not a reference to a claim: give (run, number)") from error
