"""What is asked of the queue, and what is answered."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from unweave.lab.operations.models import Amounts, Answer, Id, RunProgress, Settings
from unweave.lab.operations.registry import Request
from unweave.lab.operations.run_models import Name

JobState = Literal["waiting", "running", "paused", "finished", "failed", "cancelled", "interrupted"]
Priority = Annotated[int, Field(ge=-1_000, le=1_000, description="higher goes first")]


class Limits(Request):
    """What a run may take; what is left out is what the study says."""

    threads: float | None = Field(None, gt=0, le=10_000)
    memory_gb: float | None = Field(None, gt=0, le=1e6)
    gpu_gb: float | None = Field(None, ge=0, le=1e6)
    disk_gb: float | None = Field(None, gt=0, le=1e6)
    seconds: float | None = Field(None, gt=0, le=1e9)


class QueueRequest(Request):
    states: list[JobState] = Field(default_factory=list, description="only these; all where there are none")
    limit: Annotated[int, Field(ge=1, le=1_000)] = 200


class JobEntry(Answer):
    id: str = Field(description="the run's id too")
    kind: str = Field(description="study, sweep or agent")
    run: str
    study: str
    state: JobState
    priority: int
    after: list[str]
    attempt: int = Field(description="how often it was started")
    losses: int = Field(description="how often its worker was lost")
    retries: int
    thread: str | None
    person: str | None
    account: str | None = Field(description="whose budget pays for it")
    sandboxed: bool
    note: str | None
    wish: str | None = Field(description="what was asked of it and is not done yet: cancel, pause or resume")
    needs: Amounts
    usage: dict[str, float]
    submitted: str
    started: str | None
    ended: str | None
    progress: RunProgress | None = None


class QueueAnswer(Answer):
    jobs: list[JobEntry]
    by_state: dict[str, int]
    scheduler: bool


class WorkerEntry(Answer):
    """A process that runs studies."""

    name: str
    process: int | None
    job: str | None
    run: str | None
    since: str | None = Field(description="when it began with that run")
    used: Amounts | None


class BudgetEntry(Answer):
    """What an account (a thread, an agent) may spend of one resource, and has spent."""

    account: str
    resource: str
    granted: float | None
    reserved: float
    spent: float


class NodeEntry(Answer):
    """A machine that runs studies, and what runs may use of it altogether."""

    name: str
    total: Amounts


class ResourcesAnswer(Answer):
    scheduler: bool
    nodes: list[NodeEntry]
    capacity: Amounts = Field(description="of all machines together")
    used: Amounts = Field(description="reserved by the jobs that run")
    waiting: int
    running: int
    workers: list[WorkerEntry]
    disk_free_gb: float
    budgets: list[BudgetEntry]


class StartRunRequest(Request):
    study: Name
    settings: Settings = Field(default_factory=dict)
    priority: Priority = 0
    needs: Limits | None = None
    after: list[Id] = Field(default_factory=list, max_length=1_000, description="jobs that must have finished")
    thread: Id | None = None
    name: Id | None = Field(None, description="the run's id; study, date and time where it is left out")
    retries: Annotated[int, Field(ge=0, le=10)] = 1


class Started(Answer):
    """Runs that now wait in the queue, in the order of their jobs."""

    jobs: list[JobEntry]


class JobOfRunRequest(Request):
    run: Id


class PrioritiseRequest(Request):
    run: Id
    priority: Priority


class HalvingFields(Request):
    """Races configs over the values of a field, from the cheapest to the full one; one in ``keep`` goes on."""

    field: Name
    values: list[Any] = Field(min_length=2, max_length=20)
    keep: float = Field(3.0, gt=1, le=100)
    screen: int = Field(1, ge=1, le=20, description="seeds on each rung before the last")
    final: int = Field(3, ge=3, le=100, description="seeds on the last rung")


class StartSweepRequest(Request):
    study: Name
    grid: dict[str, Any] = Field(default_factory=dict, description="by field: values to combine with all others")
    random: dict[str, Any] = Field(
        default_factory=dict, description="by field: values, or a range such as log:1e-4:1e-1 or int:1:8, to draw from"
    )
    draws: int = Field(0, ge=0, le=10_000)
    settings: Settings = Field(default_factory=dict, description="what all of its runs have")
    seed: int = Field(0, ge=0, le=2**31, description="of the draws; the runs have their own")
    seeds: int = Field(3, ge=1, le=100, description="runs of each config, each with a seed of its own")
    first_seed: int = Field(0, ge=0, le=2**31)
    halving: HalvingFields | None = None
    baseline: Settings = Field(default_factory=dict, description="settings of the arm that others are compared with")
    measure: Annotated[str, Field(max_length=1_000)] | None = Field(
        None, description="TABLE.COLUMN[FIELD=VALUE] or a logged metric; what the study answers with where left out"
    )
    better: Literal["higher", "lower"] | None = None
    priority: Priority = 0
    needs: Limits | None = None
    thread: Id | None = None
    name: Id | None = None


class SweepStarted(Answer):
    """A job that submits the sweep's runs, follows them and compares what they found."""

    job: JobEntry
    arms: int
    runs: int
    cost: str = Field(description="what all of it is reckoned to take")
