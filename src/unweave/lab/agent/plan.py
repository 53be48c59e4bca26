"""A plan: what is asked and expected, what will be run, and what will count as an answer, written before any run."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, get_args

from unweave.base.errors import UnweaveError, nearest
from unweave.studies.inquiry import Outcome

if TYPE_CHECKING:
    from unweave.studies.registry import Study

Role = Literal["candidate", "baseline", "control", "null", "off-target", "group"]
Kind = Literal["any", "which", "compare"]
Expected = Literal["reached", "not reached", "better", "worse", "no difference"]
Phase = Literal["screen", "confirm"]
FEWEST = 3
"""Seeds that confirm an arm at least, and that it must share with its null and its control."""
BEST = "*"
"""In a prediction: the candidate that screening will choose."""


@dataclass(frozen=True)
class Prediction:
    """What is expected of one outcome before anything has run.

    ``than`` is the arm compared with; without it the outcome's bar is. ``value`` is the number expected, where there
    is a reason for one.
    """

    arm: str
    outcome: str
    expected: Expected
    than: str | None = None
    value: float | None = None


@dataclass(frozen=True)
class Hypothesis:
    """A sentence that the runs will support or not, and what it predicts."""

    name: str
    statement: str
    predictions: tuple[Prediction, ...]


@dataclass(frozen=True)
class Axis:
    """A field that is searched, and its values; the candidates are the combinations of all axes' values.

    ``ordered`` and ``joint`` are the inquiry's: see ``unweave.studies.inquiry.Knob``.
    """

    field: str
    values: tuple[Any, ...]
    ordered: bool = False
    joint: bool = False


@dataclass(frozen=True)
class Arm:
    """One setting of the study, and what it is there for.

    A ``null`` must show nothing, a ``control`` must fail at what is asked, a ``group`` is several candidates at once.
    With ``on`` the settings are laid over those of another arm, which the launch names.
    """

    name: str
    role: Role
    settings: Mapping[str, Any] = field(default_factory=dict)
    on: bool = False
    covers: tuple[str, ...] = ()
    """The candidates in a group."""


@dataclass(frozen=True)
class Stage:
    """When an arm is run: on which seeds, and with which settings over the arm's own (cheap ones for screening)."""

    name: Phase
    seeds: tuple[int, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Criterion:
    """What counts as an answer: copied from the study's inquiry, so that a plan's hash covers the metric and its bars.

    ``level`` is the family-wise chance of a false statement over everything that is confirmed, shared among the looks
    that the confirming stage allows.
    """

    effect: Outcome
    harms: tuple[Outcome, ...] = ()
    equal: tuple[Outcome, ...] = ()
    """What must be equal between compared arms, such as tokens spent."""
    harmless: bool = True
    """Whether an answer must keep every harm within its bar; else harms are only reported."""
    prefer: Literal["effect", "harm"] = "effect"
    """What is best among the arms that reach every bar: the greatest effect, or the least harm."""
    level: float = 0.05


@dataclass(frozen=True)
class Stopping:
    """When the plan is done; ``text`` says it in words, the numbers are what the lab checks."""

    text: str
    seeds: int = 3
    """Fresh seeds that every confirmed arm needs at least."""
    finalists: int = 1
    """Candidates that are confirmed at most."""
    first: int = 0
    """Of those seeds, how many are looked at first: an arm that misses a bar on them is dropped. 0 is all."""
    checks: int = 3
    """Seeds, of those that confirmed the answer, on which the null and the control are run."""


@dataclass(frozen=True)
class Launch:
    """What to run next: an arm in a stage, on some of the stage's seeds; ``on`` names the arm beneath it, if any."""

    arm: str
    stage: Phase
    seeds: tuple[int, ...]
    on: str | None = None


@dataclass(frozen=True)
class Plan:
    """Everything that is decided before the first run.

    ``launch`` is the next step of the plan and is not part of its ``sha256``: carrying on is not another plan. Whatever
    else changes gives another hash, and an approval is of one hash.
    """

    question: str
    study: str
    kind: Kind
    arms: tuple[Arm, ...]
    stages: tuple[Stage, ...]
    hypotheses: tuple[Hypothesis, ...]
    criterion: Criterion
    stopping: Stopping
    contrasts: tuple[tuple[str, str], ...] = ()
    """Pairs of arms of which it is asked whether the first does better than the second."""
    axes: tuple[Axis, ...] = ()
    budget: Mapping[str, float] = field(default_factory=dict)
    identities: Mapping[str, str] = field(default_factory=dict)
    """sha256 by kind (target, data, held-out) of what the runs must have read, where it is known."""
    code: str | None = None
    planner: str = ""
    launch: tuple[Launch, ...] = ()
    said: str = ""
    """Why this is the next step, in a sentence."""

    def to_json(self) -> dict[str, Any]:
        """The plan as plain JSON."""
        return json.loads(json.dumps(asdict(self), allow_nan=False))

    def design(self) -> dict[str, Any]:
        """The plan as plain JSON without its next step: what is approved."""
        return {name: value for name, value in self.to_json().items() if name not in ("launch", "said")}

    @cached_property
    def sha256(self) -> str:
        """sha256 of the design's canonical JSON: the hash that a thread gives it too."""
        return hashlib.sha256(canonical(self.design())).hexdigest()

    def arm(self, name: str) -> Arm:
        """One arm by name."""
        for arm in self.arms:
            if arm.name == name:
                return arm
        raise UnweaveError(f"the plan has no arm {name!r}; {nearest(name, [arm.name for arm in self.arms])}")

    def stage(self, name: str) -> Stage:
        """One stage by name."""
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise UnweaveError(f"the plan has no stage {name!r}; {nearest(name, [stage.name for stage in self.stages])}")

    def of_role(self, *roles: Role) -> list[Arm]:
        """The arms of these roles, in the plan's order."""
        return [arm for arm in self.arms if arm.role in roles]

    def outcomes(self) -> tuple[Outcome, ...]:
        """Everything that is read off a run."""
        return (self.criterion.effect, *self.criterion.harms, *self.criterion.equal)

    def varied(self) -> set[str]:
        """The fields in which candidates and baselines differ."""
        arms = self.of_role("candidate", "baseline")
        names = {name for arm in arms for name in arm.settings}
        return {name for name in names if len({canonical(arm.settings.get(name)) for arm in arms}) > 1}

    def laid(self, arm: str, on: str | None = None) -> dict[str, Any]:
        """The settings of an arm, over those of the arm beneath it."""
        beneath = self.arm(on).settings if on is not None else {}
        return {**beneath, **self.arm(arm).settings}

    def next(self, launch: Iterable[Launch], said: str = "") -> Plan:
        """The same plan with another next step."""
        return replace(self, launch=tuple(launch), said=said)

    def check(self, study: Study) -> None:
        """Raises ``UnweaveError`` where the plan contradicts itself or the study, or could fool its reader."""
        _check_names(self)
        known = {outcome.name for outcome in self.outcomes()}
        from unweave.lab.agent.launch import launch_settings

        candidates = self.of_role("candidate")
        if not candidates:
            raise UnweaveError("the plan has no candidate: nothing could be the answer")
        for arm in self.arms:
            for stage in self.stages:
                beneath = candidates[0].name if arm.on else None
                launch_settings(self, study, Launch(arm.name, stage.name, stage.seeds[:1], beneath))
        if self.kind == "compare" and not self.contrasts:
            raise UnweaveError("the plan compares, and names no pair of arms in contrasts")
        seeds = [seed for stage in self.stages for seed in stage.seeds]
        if len(set(seeds)) != len(seeds):
            raise UnweaveError("a seed is in two stages: what confirms must not have been looked at when screening")
        confirming = len(self.stage("confirm").seeds)
        if self.stopping.seeds < FEWEST or confirming < self.stopping.seeds:
            raise UnweaveError(
                f"{self.stopping.seeds} seeds of {confirming} confirm an arm: {FEWEST} or more are needed"
            )
        if self.stopping.checks < FEWEST:
            raise UnweaveError(
                f"null and control are run on {self.stopping.checks} seeds (checks): {FEWEST} or more are needed"
            )
        if not self.hypotheses or not all(one.predictions for one in self.hypotheses):
            raise UnweaveError("every plan predicts: give each hypothesis at least one predicted outcome")
        for hypothesis in self.hypotheses:
            for prediction in hypothesis.predictions:
                if prediction.outcome not in known:
                    raise UnweaveError(
                        f"a prediction is of {prediction.outcome!r}, which nothing measures; "
                        f"{nearest(prediction.outcome, known)}"
                    )
        self.check_step()

    def check_step(self) -> None:
        """Raises ``UnweaveError`` where the next step is not one of this plan."""
        for launch in self.launch:
            strange = set(launch.seeds) - set(self.stage(launch.stage).seeds)
            if strange or not launch.seeds:
                raise UnweaveError(
                    f"arm {self.arm(launch.arm).name!r} is to run on seeds {sorted(launch.seeds)} in "
                    f"{launch.stage!r}, and the plan gives that stage {sorted(self.stage(launch.stage).seeds)}"
                )

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Plan:
        """The plan back from ``to_json``; also what a language model writes. Raises ``UnweaveError`` at a fault."""
        from pydantic import TypeAdapter, ValidationError

        strange = set(value) - {one.name for one in fields(cls)}
        if strange:
            name = sorted(strange)[0]
            raise UnweaveError(f"a plan has no {name!r}; {nearest(name, [one.name for one in fields(cls)])}")
        try:
            return TypeAdapter(cls).validate_python(dict(value))
        except ValidationError as error:
            fault = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in fault["loc"])
            raise UnweaveError(f"plan: {where}: {fault['msg'].removeprefix('Value error, ')}") from error


def canonical(value: Any) -> bytes:
    """JSON with sorted keys and no spaces: equal values have equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode("ascii")


MARKS = r"\w.,:=/+~@() '*<>-"
"""What an arm's name may be made of, as in a regular expression's brackets."""
_NAME = re.compile(f"[{MARKS}]{{1,500}}")
RESERVED = ("answer", BEST, "null", "control")
"""What tables and predictions say beside the names of arms; a null and a control may have their own."""


def _check_names(plan: Plan) -> None:
    for arm in plan.arms:
        if arm.name in RESERVED and (arm.name, arm.role) not in (("null", "null"), ("control", "control")):
            raise UnweaveError(f"arm {arm.name!r} means something else in a report: choose another name")
        if " against " in arm.name:
            raise UnweaveError(f"arm {arm.name!r} reads as a comparison in a report: choose a name without 'against'")
        if not _NAME.fullmatch(arm.name):
            raise UnweaveError(
                f"arm {arm.name!r} has other marks than a name may have: use 1 to 500 letters, digits, spaces and "
                "_ . , : = / + - ~ @ ( ) ' * < > only"
            )
    for what, names in (
        ("arm", [arm.name for arm in plan.arms]),
        ("stage", [stage.name for stage in plan.stages]),
        ("hypothesis", [one.name for one in plan.hypotheses]),
    ):
        doubled = sorted({name for name in names if names.count(name) > 1})
        if doubled:
            raise UnweaveError(f"the plan has two of {what} {doubled[0]!r}: rename one")
    if {stage.name for stage in plan.stages} != set(get_args(Phase)):
        raise UnweaveError(f"the plan's stages are {[stage.name for stage in plan.stages]}: give {get_args(Phase)}")
    known = {arm.name for arm in plan.arms} | {BEST}
    named = [name for pair in plan.contrasts for name in pair]
    named += [one.arm for hypothesis in plan.hypotheses for one in hypothesis.predictions]
    named += [one.than for hypothesis in plan.hypotheses for one in hypothesis.predictions if one.than]
    for name in named:
        if name not in known:
            raise UnweaveError(f"the plan speaks of arm {name!r}, which it does not have; {nearest(name, known)}")
