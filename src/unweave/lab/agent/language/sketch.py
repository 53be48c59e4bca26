"""What a language model may decide of a plan; the metric, its bars, the null and the control are the study's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from unweave.base.errors import UnweaveError
from unweave.lab.agent.plan import (
    Arm,
    Criterion,
    Expected,
    Hypothesis,
    Kind,
    Launch,
    Phase,
    Plan,
    Prediction,
    Stage,
    Stopping,
)

if TYPE_CHECKING:
    from unweave.lab.agent.planner import LabView

MOST_ARMS = 200


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class SketchArm(_Strict):
    """One setting to try. Settings are fields of the study's config by name."""

    name: str = Field(min_length=1, max_length=80)
    role: Literal["candidate", "baseline", "control", "off-target"] = "candidate"
    settings: dict[str, Any] = Field(default_factory=dict)


class SketchPrediction(_Strict):
    """What is expected before anything runs; ``arm`` may be ``*``, the candidate that screening will choose."""

    arm: str
    outcome: str
    expected: Expected
    than: str | None = None


class SketchHypothesis(_Strict):
    """A sentence and what it predicts."""

    name: str = Field(min_length=1, max_length=80)
    statement: str = Field(min_length=1, max_length=500)
    predictions: list[SketchPrediction] = Field(min_length=1, max_length=20)


class Sketch(_Strict):
    """A plan as the model proposes it. The null and the study's own control are added by the lab."""

    study: str
    kind: Kind = "any"
    arms: list[SketchArm] = Field(min_length=1, max_length=MOST_ARMS)
    hypotheses: list[SketchHypothesis] = Field(min_length=1, max_length=20)
    contrasts: list[tuple[str, str]] = Field(default_factory=list, max_length=50)
    screen_seeds: list[int] = Field(min_length=1, max_length=20)
    confirm_seeds: list[int] = Field(min_length=3, max_length=50)
    finalists: int = Field(default=1, ge=1, le=10)
    stop_when: str = Field(min_length=1, max_length=500)


class SketchLaunch(_Strict):
    """An arm to run now in a stage of the plan, on some of that stage's seeds."""

    arm: str
    stage: Phase
    seeds: list[int] = Field(min_length=1, max_length=50)
    on: str | None = None


class NextStep(_Strict):
    """What to run next, and why in one sentence."""

    launch: list[SketchLaunch] = Field(min_length=1, max_length=MOST_ARMS)
    why: str = Field(min_length=1, max_length=500)


class Ending(_Strict):
    """Why there is nothing more to run."""

    reason: str = Field(min_length=1, max_length=500)


def plan_from(sketch: Sketch, question: str, view: LabView, planner: str, budget: dict[str, float]) -> Plan:
    """The whole plan: the model's arms and seeds, and the study's metric, harms, null and control.

    Its first step screens every candidate. Raises ``UnweaveError`` at what does not fit the study.
    """
    study = view.study(sketch.study)
    inquiry = study.inquiry
    if inquiry is None:
        raise UnweaveError(f"study {study.name!r} has no inquiry, so a planner cannot ask it")
    arms = [Arm(arm.name, arm.role, {**inquiry.settings, **arm.settings}) for arm in sketch.arms]
    taken = {arm.name for arm in arms}
    for name, role, settings in (("null", "null", inquiry.null), ("the study's control", "control", inquiry.control)):
        if settings:
            if name in taken:
                raise UnweaveError(f"an arm is called {name!r}, which the lab adds itself: choose another name")
            arms.append(Arm(name, role, dict(settings), on=True))  # type: ignore[arg-type]
    screen = tuple(dict.fromkeys(sketch.screen_seeds))
    stages = (
        Stage("screen", screen, dict(inquiry.cheap)),
        Stage("confirm", tuple(dict.fromkeys(sketch.confirm_seeds))),
    )
    plan = Plan(
        question=question,
        study=study.name,
        kind=sketch.kind,
        arms=tuple(arms),
        stages=stages,
        hypotheses=tuple(_hypothesis(one) for one in sketch.hypotheses),
        criterion=Criterion(inquiry.effect, inquiry.harms, inquiry.equal),
        stopping=Stopping(sketch.stop_when, 3, sketch.finalists),
        contrasts=tuple(sketch.contrasts),
        budget=budget,
        code=view.code,
        planner=planner,
    )
    first = [Launch(arm.name, "screen", screen[:1]) for arm in plan.of_role("candidate", "baseline")]
    return plan.next(first, "screen every candidate and baseline once")


def step_from(step: NextStep, plan: Plan) -> Plan:
    """The plan with the model's next step."""
    launch = [Launch(one.arm, one.stage, tuple(dict.fromkeys(one.seeds)), one.on) for one in step.launch]
    return plan.next(launch, step.why)


def _hypothesis(one: SketchHypothesis) -> Hypothesis:
    predictions = tuple(Prediction(p.arm, p.outcome, p.expected, p.than) for p in one.predictions)
    return Hypothesis(one.name, one.statement, predictions)
