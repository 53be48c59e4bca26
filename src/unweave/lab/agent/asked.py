"""Whether a plan asks what the question asks, where the question's own words say which settings it is about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unweave.base.configs import plain_config
from unweave.base.errors import UnweaveError
from unweave.lab.agent.builtin.words import understand
from unweave.lab.agent.planner import CannotPlan

if TYPE_CHECKING:
    from unweave.lab.agent.plan import Plan
    from unweave.lab.agent.planner import LabView


def check_asked(plan: Plan, view: LabView) -> None:
    """Raises ``UnweaveError`` where an arm that may be the answer has another setting than the question names.

    So it does for a baseline, but for what may be searched: it may be made in another way, and not of something else.
    A question that no study's words fit binds nobody: then only a reader can tell.
    """
    try:
        understood = understand(plan.question, view)
    except CannotPlan:
        return
    study = understood.study
    if plan.study != study.name:
        raise UnweaveError(f"the question is one of study {study.name!r}, and the plan runs {plan.study!r}")
    wanted = plain_config(study.configure(dict(understood.fixed)))
    named = [name for name in understood.fixed if name in understood.named]
    searched = {knob.field for knob in study.asked().knobs if knob.searched and not knob.required}
    for arm in plan.of_role("candidate", "baseline", "group"):
        given = plain_config(study.configure(dict(arm.settings)))
        for name in named:
            # To be compared with what is asked about, a baseline does the same in another way.
            if arm.role == "baseline" and name in searched:
                continue
            if given[name] != wanted[name]:
                raise UnweaveError(
                    f"the question is about {name} {wanted[name]!r}, and arm {arm.name!r} has {given[name]!r}"
                )
