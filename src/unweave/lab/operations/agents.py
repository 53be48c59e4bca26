"""Operations on the lab's agent: starting a session with a question and a budget, and stopping it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from unweave.base.errors import UnweaveError
from unweave.lab.agent.job import PlannerName, start_agent, stop_agent
from unweave.lab.operations.agent_models import AgentStarted, AgentStopped, StartAgentRequest, StopAgentRequest
from unweave.lab.operations.finding import open_thread
from unweave.lab.operations.queueing import job_entry
from unweave.lab.operations.registry import Missing, operation

if TYPE_CHECKING:
    from unweave.lab.lab import Lab
    from unweave.lab.people import Person

PLANNERS: dict[str, PlannerName] = {"built-in": "builtin", "language-model": "language-model"}
ENDPOINT, MODEL, KEY = "UNWEAVE_ENDPOINT", "UNWEAVE_MODEL", "UNWEAVE_KEY_ENV"
"""What the lab's server was started with: over the network nobody names an address that it shall connect to."""


@operation("start-agent", "gives the agent a question and a budget", StartAgentRequest, AgentStarted, "run")
def start(lab: Lab, person: Person, request: StartAgentRequest) -> AgentStarted:
    if request.thread is not None:
        open_thread(lab, request.thread)
    asked = {}
    if request.planner == "language-model":
        if not (os.environ.get(ENDPOINT) and os.environ.get(MODEL)):
            raise UnweaveError(
                f"the language-model planner asks the endpoint that the lab's server was started with: set {ENDPOINT} "
                f"and {MODEL} there ({KEY} names the variable that holds its key), or take the built-in planner"
            )
        asked = language_model()
    thread, job = start_agent(
        lab,
        request.question,
        planner=PLANNERS[request.planner],
        budget=budget_of(request),
        wait_for_approval=request.wait_for_approval,
        thread=request.thread,
        person=person,
        name=request.name,
        price_in=request.price_in,
        price_out=request.price_out,
        **asked,
    )
    return AgentStarted(thread=thread, job=job_entry(lab, job))


@operation(
    "stop-agent", "ends the agent's session of a thread, with what it has", StopAgentRequest, AgentStopped, "run"
)
def stop(lab: Lab, person: Person, request: StopAgentRequest) -> AgentStopped:
    open_thread(lab, request.thread)
    jobs = [job for job in lab.queue.list(thread=request.thread) if job.kind == "agent"]
    if not jobs:
        raise Missing(f"no agent works on thread {request.thread!r}")
    if any(not job.has_ended for job in jobs):
        stop_agent(lab, request.thread, request.why or f"stopped by {person.name}", person)
    return AgentStopped(thread=request.thread, jobs=[job_entry(lab, lab.queue.get(job.id)) for job in jobs])


def language_model(
    endpoint: str | None = None, model: str | None = None, key_variable: str | None = None
) -> dict[str, Any]:
    """What is to be asked, as ``start_agent`` takes it; what is not given is what this process was started with."""
    given = {"endpoint": (endpoint, ENDPOINT), "model": (model, MODEL), "key_variable": (key_variable, KEY)}
    return {name: value or os.environ.get(variable) for name, (value, variable) in given.items()}


def budget_of(request: StartAgentRequest) -> dict[str, float]:
    """What a session may spend, of what is limited."""
    amounts = {"runs": float(request.runs), "seconds": request.seconds, "tokens": request.tokens}
    given = {**amounts, "dollars": request.dollars}
    return {name: float(amount) for name, amount in given.items() if amount is not None}
