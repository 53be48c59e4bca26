"""The operation that runs a study over a space of configs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from unweave.base.errors import UnweaveError
from unweave.lab.operations.comparing import measure_of
from unweave.lab.operations.finding import open_thread
from unweave.lab.operations.queue_models import StartSweepRequest, SweepStarted
from unweave.lab.operations.queueing import asked, job_entry
from unweave.lab.operations.registry import operation
from unweave.lab.sweeps.halving import Halving
from unweave.lab.sweeps.plan import SweepPlan, estimate_cost
from unweave.lab.sweeps.space import Space
from unweave.lab.sweeps.sweep import submit_sweep

if TYPE_CHECKING:
    from unweave.lab.lab import Lab
    from unweave.lab.people import Person


@operation("start-sweep", "runs a study over a space of configs, and compares what they give", StartSweepRequest,
           SweepStarted, "run")  # fmt: skip
def start_sweep(lab: Lab, person: Person, request: StartSweepRequest) -> SweepStarted:
    return start_plan(lab, person, plan_of(request), request.name, request.thread)


def start_plan(lab: Lab, person: Person, plan: SweepPlan, name: str | None, thread: str | None) -> SweepStarted:
    """Submits a sweep of that plan."""
    if thread is not None:
        open_thread(lab, thread)
    cost = estimate_cost(lab, plan)
    job = submit_sweep(lab, plan, name, thread, person.name)
    return SweepStarted(job=job_entry(lab, job), arms=len(plan.arms), runs=plan.runs, cost=cost.line())


def plan_of(request: StartSweepRequest, source: str | None = None) -> SweepPlan:
    """The plan that a request stands for, checked as a whole."""
    halving = Halving(**request.halving.model_dump()) if request.halving else None
    settings: dict[str, Any] = {"grid": request.grid, "random": request.random, "draws": request.draws}
    plan = SweepPlan(
        request.study,
        Space(**settings, fixed=request.settings, seed=request.seed),
        None,
        request.seeds,
        request.first_seed,
        halving,
        request.baseline,
        source=source,
        priority=request.priority,
        needs=asked(request.needs.model_dump() if request.needs else {}) or {},
    )
    _ = plan.registered  # a study that is not there is said before a measure that is not
    try:
        measure = measure_of(request.study, request.measure, request.better)
    except UnweaveError:
        if request.measure is not None or halving is not None:
            raise
        measure = None  # without a number to compare by the runs are made, and not compared
    plan = replace(plan, measure=measure)
    plan.check()
    return plan
