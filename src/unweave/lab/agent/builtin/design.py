"""From an understood question to a plan: arms, seeds by stage, controls, what is expected, and when it is done."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from unweave.base.configs import plain_config
from unweave.lab.agent.builtin.words import Understood
from unweave.lab.agent.plan import (
    BEST,
    MARKS,
    RESERVED,
    Arm,
    Axis,
    Criterion,
    Hypothesis,
    Plan,
    Prediction,
    Stage,
    Stopping,
)
from unweave.lab.agent.planner import CannotPlan, LabView
from unweave.studies.inquiry import Inquiry, Knob

MOST = 250
"""Candidates at most: a space that is larger is one to be narrowed by whoever asks."""


@dataclass(frozen=True)
class Sizes:
    """How many seeds and finalists a plan has."""

    screen: int = 3
    first: int = 2
    confirm: int = 5
    checks: int = 3
    looks: int = 2
    finalists: int = 4


def design(understood: Understood, view: LabView, sizes: Sizes, planner: str) -> Plan:
    """The plan for a question."""
    inquiry = understood.study.asked()
    axes = tuple(_axis(inquiry, name, values) for name, values in understood.searched.items())
    arms, contrasts = _arms(understood, inquiry, axes)
    first = view.fresh_from(understood.study.name)
    screen = tuple(range(first, first + sizes.screen))
    confirm = tuple(range(first + sizes.screen, first + sizes.screen + sizes.confirm * sizes.looks))
    candidates = [arm for arm in arms if arm.role == "candidate"]
    kind = "compare" if contrasts and not understood.apart else "which" if understood.which else "any"
    criterion = Criterion(
        inquiry.effect,
        inquiry.harms,
        inquiry.equal if understood.equal else (),
        understood.harmless,
        "harm" if understood.least_harm else "effect",
    )
    finalists = min(sizes.finalists, len(candidates))
    plan = Plan(
        question=understood.question,
        study=understood.study.name,
        kind=kind,
        arms=tuple(arms),
        stages=(Stage("screen", screen, dict(inquiry.cheap)), Stage("confirm", confirm)),
        hypotheses=_hypotheses(inquiry, criterion, kind, candidates, arms, contrasts),
        criterion=criterion,
        stopping=Stopping(
            _stopping_text(kind, len(candidates), finalists, sizes, axes),
            sizes.confirm,
            finalists,
            # Where several seeds fit into one run, starting them in two parts would prepare everything twice.
            0 if inquiry.seeds or kind == "compare" or len(candidates) == 1 else sizes.first,
            # Without a bar the null is what an effect is measured against, and needs as many seeds as it.
            sizes.checks if inquiry.effect.bar is not None else sizes.confirm,
        ),
        contrasts=tuple(contrasts),
        axes=axes,
        budget=dict(view.left),
        identities=_identities(view, understood),
        code=view.code_of(understood.study.name),
        planner=planner,
        said=f"not understood and left out: {', '.join(understood.ignored)}" if understood.ignored else "",
    )
    return _plain(plan)


def _plain(plan: Plan) -> Plan:
    return Plan.from_json(plan.to_json())


def _axis(inquiry: Inquiry, name: str, values: Sequence[Any]) -> Axis:
    knob = _knob(inquiry, name)
    listed = knob.values if not knob.joint else tuple((value,) for value in knob.values)
    # Named values are in the question's order; an ordered field's are put back into the field's.
    if knob.ordered and set(map(str, values)) <= set(map(str, listed)):
        values = sorted(values, key=lambda value: [str(one) for one in listed].index(str(value)))
    return Axis(name, tuple(values), knob.ordered, knob.joint)


def _knob(inquiry: Inquiry, name: str) -> Knob:
    return next(knob for knob in inquiry.knobs if knob.field == name)


def _arms(understood: Understood, inquiry: Inquiry, axes: Sequence[Axis]) -> tuple[list[Arm], list[tuple[str, str]]]:
    base = dict(understood.fixed)
    if understood.contrasts:
        arms, pairs = _contrast_arms(understood, base)
        if not understood.apart:
            return arms, pairs
    elif axes:
        arms, pairs = _candidates(base, axes), []
    else:
        arms, pairs = [Arm(_only_name(understood, inquiry), "candidate", base)], []
    if inquiry.null:
        arms.append(Arm("null", "null", dict(inquiry.null), on=True))
    if inquiry.control:
        arms.append(Arm("control", "control", dict(inquiry.control), on=True))
    return arms, pairs


def _only_name(understood: Understood, inquiry: Inquiry) -> str:
    """The name of an only candidate: what it has of the fields that are searched otherwise, or all that was asked."""
    given = {name: value for name, value in understood.fixed.items() if name not in inquiry.settings}
    searched = {knob.field for knob in inquiry.knobs if knob.searched}
    return arm_name({name: value for name, value in given.items() if name in searched} or given)


def _contrast_arms(understood: Understood, base: Mapping[str, Any]) -> tuple[list[Arm], list[tuple[str, str]]]:
    """Arms of a comparison: in ``can X do it, and does Y do better``, X is what is asked about, and Y a baseline."""
    named: dict[str, Arm] = {}
    pairs = []
    roles = ("baseline", "candidate") if understood.apart else ("candidate", "baseline")
    for first, second in understood.contrasts:
        for settings, role in zip((first, second), roles, strict=True):
            name = arm_name(settings)
            named.setdefault(name, Arm(name, role, {**base, **settings}))  # type: ignore[arg-type]
        pairs.append((arm_name(first), arm_name(second)))
    return list(named.values()), pairs


def _candidates(base: Mapping[str, Any], axes: Sequence[Axis]) -> list[Arm]:
    count = 1
    for axis in axes:
        count *= len(axis.values)
    if count > MOST:
        raise CannotPlan(
            f"the question leaves {count} candidates ({', '.join(axis.field for axis in axes)}), and {MOST} is the "
            "most: name some values"
        )
    arms = []
    for combination in itertools.product(*(axis.values for axis in axes)):
        settings = {axis.field: value for axis, value in zip(axes, combination, strict=True)}
        arms.append(Arm(arm_name(settings), "candidate", {**base, **settings}))
    return [*arms, *_groups(base, axes)]


def _groups(base: Mapping[str, Any], axes: Sequence[Axis]) -> list[Arm]:
    """Halves, quarters, and so on of a joint axis, for every combination of the others."""
    joint = next((axis for axis in axes if axis.joint), None)
    if joint is None or len(joint.values) < 4:
        return []
    others = [axis for axis in axes if axis is not joint]
    groups = []
    for combination in itertools.product(*(axis.values for axis in others)):
        settings = {axis.field: value for axis, value in zip(others, combination, strict=True)}
        for members in halves(joint.values):
            together = {**settings, joint.field: tuple(item for value in members for item in value)}
            covers = tuple(
                arm_name({axis.field: {**settings, joint.field: value}[axis.field] for axis in axes})
                for value in members
            )
            groups.append(Arm(f"{covers[0]}..{covers[-1]}", "group", {**base, **together}, covers=covers))
    return groups


def halves(values: Sequence[Any]) -> list[tuple[Any, ...]]:
    """The whole, its halves, their halves, down to pairs."""
    if len(values) < 2:
        return []
    middle = len(values) // 2
    return [tuple(values), *halves(values[:middle]), *halves(values[middle:])]


def arm_name(settings: Mapping[str, Any]) -> str:
    """A short name for what an arm sets: ``site=down piece=3``, or ``default``.

    A mark that a name may not have is written as its code, such as ``~25`` for a percent sign: names stay distinct.
    """
    parts = []
    for field, value in settings.items():
        text = ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
        alone = len(settings) == 1 and not text.replace(".", "").isdigit() and text not in RESERVED
        parts.append(text if alone else f"{field}={text}")
    name = re.sub(f"[^{MARKS}]", lambda found: f"~{ord(found[0]):x}", " ".join(parts))
    return name.replace(" against ", " against~20") or "default"


def _identities(view: LabView, understood: Understood) -> dict[str, str]:
    """What an earlier run of the same thread and fixed settings has read, so that a swapped file does not pass."""
    wanted = plain_config(understood.study.configure(dict(understood.fixed)))
    fixed = {name: wanted[name] for name in understood.fixed}
    for one in view.earlier:
        same = one.study == understood.study.name and one.thread is not None and one.thread == view.thread
        if same and fixed.items() <= dict(one.config).items():
            return dict(one.identities)
    return {}


def _hypotheses(
    inquiry: Inquiry,
    criterion: Criterion,
    kind: str,
    candidates: Sequence[Arm],
    arms: Sequence[Arm],
    contrasts: Sequence[tuple[str, str]],
) -> tuple[Hypothesis, ...]:
    effect = inquiry.effect
    found = []
    chosen = candidates[0].name if len(candidates) == 1 else BEST
    if kind != "compare":
        predictions = [
            Prediction(chosen, effect.name, "reached" if effect.bar is not None else "better", _than(effect, arms))
        ]
        if criterion.harmless:
            predictions += [
                Prediction(chosen, harm.name, "reached") for harm in criterion.harms if harm.bar is not None
            ]
        what = chosen if chosen != BEST else f"one of {len(candidates)} candidates"
        harmless = ", and every harm stays within its bar" if criterion.harmless and criterion.harms else ""
        bar = f" reaches {effect.bar:g} {effect.unit}".rstrip() if effect.bar is not None else " is past the null's"
        found.append(Hypothesis("effect", f"{what}: {effect.name}{bar}{harmless}", tuple(predictions)))
        for arm in arms:
            if arm.role in ("null", "control"):
                expected = "not reached" if effect.bar is not None else "worse"
                statement = (
                    "where there is nothing to find, nothing is found" if arm.role == "null" else "the control fails"
                )
                than = chosen if effect.bar is None else None
                found.append(Hypothesis(arm.role, statement, (Prediction(arm.name, effect.name, expected, than),)))
    for first, second in contrasts:
        # The question supposes a difference; a planner that knows nothing of the study has no reason to bet on one.
        found.append(
            Hypothesis(
                f"{first} against {second}",
                f"{first} does no better than {second}",
                (Prediction(first, effect.name, "no difference", second),),
            )
        )
    return tuple(found)


def _than(effect: Any, arms: Sequence[Arm]) -> str | None:
    if effect.bar is not None:
        return None
    return next((arm.name for arm in arms if arm.role in ("null", "control")), None)


def _stopping_text(kind: str, candidates: int, finalists: int, sizes: Sizes, axes: Sequence[Axis]) -> str:
    more = sizes.confirm * (sizes.looks - 1)
    looks = f"{sizes.confirm} fresh seeds, and {more} more where the noise decides"
    if kind == "compare" or candidates == 1:
        return (
            f"Every arm is confirmed on {looks}. Done when every comparison and bar is decided or the seeds are used."
        )
    text = (
        f"{candidates} candidates are screened until none that is left can win; at most {finalists} are confirmed on "
        f"{looks}, then the null and the control on the winner's seeds."
    )
    return text + (" Nothing is confirmed when no candidate can reach the bar." if axes else "")
