"""From a plan's next step to runs: the settings of each, and what it carries of its plan."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from unweave.base.configs import plain_config
from unweave.base.errors import UnweaveError
from unweave.lab.agent.plan import Launch, Phase, Plan, Role

if TYPE_CHECKING:
    from unweave.studies.registry import Study


@dataclass(frozen=True)
class Entry:
    """What a run carries of its plan, so that an auditor can compare what was planned with what was launched."""

    sha256: str
    arm: str
    role: Role
    on: str | None
    stage: Phase
    study: str
    config: Mapping[str, Any]
    seeds: tuple[int, ...]
    identities: Mapping[str, str]
    code: str | None

    def to_json(self) -> dict[str, Any]:
        """The entry as plain JSON."""
        return json.loads(json.dumps(asdict(self), allow_nan=False))


def launches_of(plan: Plan, study: Study, identities: Mapping[str, str] | None = None) -> list[Entry]:
    """The runs that the plan's next step stands for: what each carries of the plan.

    Neighbouring seeds go into one run where the study takes several; else each seed is a run of its own, and so is each
    of a null, which deals its data at random once a run. ``identities`` are those that the plan's first run read, where
    the plan itself did not know them.
    """
    found = []
    for launch in plan.launch:
        several = study.asked().seeds is not None and plan.arm(launch.arm).role != "null"
        for seeds in _runs_of(launch.seeds, several):
            part = replace(launch, seeds=seeds)
            entry = Entry(
                plan.sha256,
                launch.arm,
                plan.arm(launch.arm).role,
                launch.on,
                launch.stage,
                plan.study,
                launch_settings(plan, study, part),
                seeds,
                {**(identities or {}), **plan.identities},
                plan.code,
            )
            found.append(entry)
    return found


def launch_settings(plan: Plan, study: Study, launch: Launch) -> dict[str, Any]:
    """The settings of one run, checked by the study's config. ``launch.seeds`` must fit into one run."""
    inquiry = study.asked()
    seeds = {inquiry.first_seed: launch.seeds[0]}
    if inquiry.seeds:
        seeds[inquiry.seeds] = len(launch.seeds)
    arm = plan.arm(launch.arm)
    if arm.on != (launch.on is not None):
        what = "is laid over another arm: name that in 'on'" if arm.on else "is laid over nothing: leave out 'on'"
        raise UnweaveError(f"arm {arm.name!r} {what}")
    settings = {**plan.laid(launch.arm, launch.on), **plan.stage(launch.stage).settings, **seeds}
    return plain_config(study.configure(settings))


def _runs_of(seeds: tuple[int, ...], several: bool) -> list[tuple[int, ...]]:
    runs: list[tuple[int, ...]] = []
    for seed in sorted(seeds):
        if several and runs and runs[-1][-1] + 1 == seed:
            runs[-1] = (*runs[-1], seed)
        else:
            runs.append((seed,))
    return runs
