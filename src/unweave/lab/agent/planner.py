"""What a planner sees and what it answers. It reads values and returns values: no file, no database, no queue."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from unweave.base.errors import UnweaveError, nearest

if TYPE_CHECKING:
    from unweave.lab.agent.plan import Phase, Plan
    from unweave.studies.registry import Study


class CannotPlan(UnweaveError):
    """No study can be asked this: the message says what was understood, and what can be asked."""


@dataclass(frozen=True)
class Measured:
    """One run of the plan as the auditor found it.

    ``values`` are by outcome and seed. A run in which the study itself found nothing has none, and ``nothing`` is true:
    that is a result. A run that failed, or that the auditor calls invalid, has none either, and ``fault`` says why.
    """

    run: str
    arm: str
    stage: Phase
    seeds: tuple[int, ...]
    on: str | None = None
    values: Mapping[str, Mapping[int, float]] = field(default_factory=dict)
    nothing: bool = False
    fault: str | None = None
    withheld: bool = False
    """Whether the lab never started the run or cancelled it, so that its fault says nothing of what it would show."""
    seconds: float = 0.0
    identities: Mapping[str, str] = field(default_factory=dict)
    """sha256 by kind of what the run read."""

    @property
    def usable(self) -> bool:
        """Whether the run answers anything."""
        return self.fault is None


@dataclass(frozen=True)
class Results:
    """What the plan's runs gave so far, as the auditor recomputed it, and what is left to spend."""

    measured: tuple[Measured, ...] = ()
    left: Mapping[str, float] = field(default_factory=dict)
    """By resource: runs, seconds, tokens, dollars; what is not there is not limited."""
    turn: int = 0
    at_once: int = 1
    """How many runs fit beside each other."""
    refused: tuple[str, ...] = ()
    """Why parts of the last step were not launched, such as a repetition."""
    missing: tuple[str, ...] = ()
    """What the plan's own stopping rule still asks for: given when a planner stopped before it was met."""

    def of(self, arm: str, stage: Phase | None = None, on: str | None = None) -> list[Measured]:
        """The runs of an arm (over the arm ``on``), in the order in which they were launched."""
        return [one for one in self.measured if (one.arm, one.on) == (arm, on) and stage in (None, one.stage)]

    def values(self, arm: str, outcome: str, stage: Phase | None = None, on: str | None = None) -> dict[int, float]:
        """The outcome by seed over all runs of an arm."""
        found: dict[int, float] = {}
        for one in self.of(arm, stage, on):
            found.update(one.values.get(outcome, {}))
        return dict(sorted(found.items()))

    def to_json(self) -> dict[str, Any]:
        """The results as plain JSON, for a planner that is a language model."""
        return asdict(self)


@dataclass(frozen=True)
class Stop:
    """The planner has nothing more to run; ``reason`` is a sentence."""

    reason: str


@dataclass(frozen=True)
class LabView:
    """What a planner sees of a lab: a snapshot that it cannot act through.

    ``studies`` are those with an inquiry. ``earlier`` are finished runs of them, newest first. ``used`` are the seeds
    by study that any run in this lab was started with, also one that failed. ``at_once`` is how many runs fit beside
    each other.
    """

    studies: Mapping[str, Study]
    earlier: tuple[Earlier, ...] = ()
    used: Mapping[str, tuple[range, ...]] = field(default_factory=dict)
    left: Mapping[str, float] = field(default_factory=dict)
    at_once: int = 1
    thread: str | None = None
    """The thread that the planning is for."""
    code: str | None = None
    """Hash of the package's code; ``sources`` are those of studies in files of their own, by study."""
    sources: Mapping[str, str] = field(default_factory=dict)

    def code_of(self, study: str) -> str | None:
        """Hash of the code that a study's runs execute."""
        return self.sources.get(study, self.code)

    def study(self, name: str) -> Study:
        """A study that can be asked by a planner."""
        if name not in self.studies:
            raise UnweaveError(f"study {name!r} is not one that a planner can ask; {nearest(name, self.studies)}")
        return self.studies[name]

    def fresh_from(self, study: str) -> int:
        """The first seed from which on no run of the study in this lab has used any."""
        return max((seeds.stop for seeds in self.used.get(study, ()) if seeds), default=0)

    def check_fresh(self, study: str, seeds: Iterable[int]) -> None:
        """Raises ``UnweaveError`` where a confirming seed was used before: its results may have been read already."""
        stale = [seed for seed in seeds if any(seed in used for used in self.used.get(study, ()))]
        if stale:
            raise UnweaveError(
                f"seeds {stale} of 'confirm' were used by earlier runs of {study!r} in this lab, so they are not "
                f"fresh: take seeds from {self.fresh_from(study)} on"
            )

    def to_json(self) -> dict[str, Any]:
        """The view as plain JSON, for a planner that is a language model."""
        return {
            "studies": [
                {
                    "name": study.name,
                    "question": study.question,
                    "fields": [asdict(one) for one in study.fields()],
                    "inquiry": asdict(study.inquiry) if study.inquiry else None,
                }
                for study in self.studies.values()
            ],
            "earlier": [asdict(one) for one in self.earlier],
            "fresh_seeds_from": {name: self.fresh_from(name) for name in self.studies},
            "left": dict(self.left),
            "at_once": self.at_once,
        }


@dataclass(frozen=True)
class Earlier:
    """A finished run of the lab: its settings, and the identities of what it read."""

    run: str
    study: str
    config: Mapping[str, Any]
    identities: Mapping[str, str]
    thread: str | None = None


class Planner(Protocol):
    """Proposes a plan and, after each step's results, the next step or the end. It never judges.

    A session that was killed goes on with the plan and the results alone, so a planner keeps no state that it needs.
    """

    @property
    def name(self) -> str:
        """Who plans, as a reader of the plan should know it."""
        ...

    def propose(self, question: str, view: LabView) -> Plan:
        """A plan with its first step in ``launch``. Raises ``CannotPlan`` when nothing fits the question."""
        ...

    def revise(self, plan: Plan, results: Results) -> Plan | Stop:
        """The plan with its next step, or another plan (which needs another approval), or the end."""
        ...
