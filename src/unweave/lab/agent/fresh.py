"""Which seeds of a study nobody has run yet, and a plan that takes them in the place of seeds that somebody has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from unweave.base.errors import UnweaveError

if TYPE_CHECKING:
    from unweave.lab.agent.plan import Plan
    from unweave.lab.lab import Lab
    from unweave.studies.registry import Study

PAGE = 1000


def used_seeds(lab: Lab, study: Study, session: str | None) -> Iterator[range]:
    """The seeds of every run of a study, however it ended, but of those that ``session``'s own run has started."""
    inquiry, after = study.asked(), None
    while True:
        page = lab.runs.list(limit=PAGE, after=after, study=study.name)
        for row in page.rows:
            try:
                state = lab.runs.open(row.id).state()
            except UnweaveError:
                continue
            first = state["config"].get(inquiry.first_seed)
            count = state["config"].get(inquiry.seeds, 1) if inquiry.seeds else 1
            if session not in (state.get("parents") or []) and isinstance(first, int) and isinstance(count, int):
                yield range(first, first + count)
        if page.next is None:
            return
        after = page.next


def refreshed(plan: Plan, used: Sequence[range]) -> Plan | None:
    """The plan and its next step on confirming seeds past all that were ``used``; None where its own are fresh."""
    old = plan.stage("confirm").seeds
    if not any(seed in one for seed in old for one in used):
        return None
    planned = [seed for stage in plan.stages for seed in stage.seeds]
    first = max(*(one.stop for one in used if one), max(planned) + 1)
    new = {seed: first + number for number, seed in enumerate(old)}
    return replace(
        plan,
        stages=tuple(
            replace(stage, seeds=tuple(new.values())) if stage.name == "confirm" else stage for stage in plan.stages
        ),
        launch=tuple(
            replace(launch, seeds=tuple(new[seed] for seed in launch.seeds)) if launch.stage == "confirm" else launch
            for launch in plan.launch
        ),
    )
