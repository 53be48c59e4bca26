"""What is asked of the lab's agent, and what is answered."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from unweave.lab.operations.models import Answer, Id, Line
from unweave.lab.operations.queue_models import JobEntry
from unweave.lab.operations.registry import Request


class StartAgentRequest(Request):
    question: Line
    runs: Annotated[int, Field(ge=1, le=10_000, description="runs that it may start")] = 60
    seconds: float | None = Field(None, gt=0, le=1e9, description="of its runs, summed; null is no limit")
    tokens: float | None = Field(None, ge=0, le=1e12, description="of a language model; null is no limit")
    dollars: float | None = Field(None, ge=0, le=1e9, description="of a language model, by its prices")
    price_in: float | None = Field(None, ge=0, le=1e6, description="dollars for a million tokens that it is sent")
    price_out: float | None = Field(None, ge=0, le=1e6, description="dollars for a million tokens that it writes")
    planner: Literal["built-in", "language-model"] = Field(
        "built-in", description="language-model asks the endpoint that the lab's server was started with"
    )
    wait_for_approval: bool = True
    thread: Id | None = Field(None, description="a thread of the same question; a new one where it is left out")
    name: Id | None = None


class AgentStarted(Answer):
    thread: str
    job: JobEntry


class StopAgentRequest(Request):
    thread: Id
    why: Annotated[str, Field(max_length=2_000)] = ""


class AgentStopped(Answer):
    """The session cancels its runs and writes up what it has."""

    thread: str
    jobs: list[JobEntry] = Field(description="the agent's jobs of this thread")
