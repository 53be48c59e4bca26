"""The agent as a job of the queue: it is submitted with a question and a budget, and a worker calls ``run_agent``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from unweave.base.errors import UnweaveError
from unweave.lab.agent.lab_hands import LabHands
from unweave.lab.agent.lab_journal import LabJournal
from unweave.lab.agent.planner import CannotPlan, Planner
from unweave.lab.agent.session import Session, Terms
from unweave.lab.agent.view import lab_view
from unweave.lab.people import AGENT, Person
from unweave.lab.queue.budget import RESOURCES, Budget

if TYPE_CHECKING:
    from unweave.lab.agent.verdicts import Judgement
    from unweave.lab.lab import Lab
    from unweave.lab.queue.job import Job
    from unweave.record.run import Run

PlannerName = Literal["builtin", "language-model"]
NEEDS = {"threads": 0.0, "memory_gb": 1.0, "disk_gb": 0.05}
"""It waits for its runs, and would wait for ever if it held what they need."""
RUNS = 60.0
"""Runs that a session may start unless its budget says otherwise."""
LOOK_SECONDS = 2.0


@dataclass(frozen=True)
class AgentConfig:
    """What an agent's session was asked, and its terms."""

    question: str
    thread: str
    planner: PlannerName = "builtin"
    budget: Mapping[str, float] = field(default_factory=dict)
    """Runs, seconds, tokens, dollars; what is not there is not limited, but for runs."""
    wait_for_approval: bool = False
    source: str | None = None
    """A Python file with studies of one's own that may be asked too."""
    endpoint: str | None = None
    model: str | None = None
    key_variable: str | None = None
    price_in: float | None = None
    """Dollars for a million tokens that the model is sent; ``price_out`` for a million that it writes."""
    price_out: float | None = None


def start_agent(
    lab: Lab,
    question: str,
    *,
    planner: PlannerName = "builtin",
    budget: Mapping[str, float] | None = None,
    wait_for_approval: bool = False,
    thread: str | None = None,
    person: Person | None = None,
    source: Path | None = None,
    endpoint: str | None = None,
    model: str | None = None,
    key_variable: str | None = None,
    price_in: float | None = None,
    price_out: float | None = None,
    name: str | None = None,
) -> tuple[str, Job]:
    """Opens a thread for the question (or takes one of the same question) and submits the agent's job.

    Raises ``CannotPlan`` at once where the built-in planner does not understand the question or its plan would be
    refused, so that nobody waits for that, and ``UnweaveError`` for terms that cannot be.
    """
    person = person or lab.people.here()
    strange = sorted(set(budget or {}) - set(RESOURCES))
    if strange:
        raise UnweaveError(f"{strange[0]!r} is nothing that a budget holds: {', '.join(RESOURCES)}")
    if planner == "language-model" and not (endpoint and model):
        raise UnweaveError("the language-model planner needs an endpoint and a model: give both, or use builtin")
    if planner == "language-model" and "dollars" in (budget or {}) and (price_in is None or price_out is None):
        raise UnweaveError(
            "a budget of dollars needs to know what the language model costs: give its prices for a million tokens "
            "in and out, or a budget of tokens"
        )
    granted = {"runs": RUNS, **(budget or {})}
    if planner == "builtin":
        view = lab_view(lab, source, granted, thread)
        try:
            plan = made_by(planner, AgentConfig(question, "")).propose(question, view)
            plan.check(view.study(plan.study))
        except CannotPlan as error:
            raise CannotPlan(f"{error}{_not_asked(source)}") from error
    if thread is None:
        thread = lab.threads.create(question, by=person).id
    elif lab.threads.get(thread).question != question:
        raise UnweaveError(f"thread {thread!r} asks {lab.threads.get(thread).question!r}: a new question needs its own")
    config = AgentConfig(
        question,
        thread,
        planner,
        granted,
        wait_for_approval,
        str(source) if source else None,
        endpoint,
        model,
        key_variable,
        price_in,
        price_out,
    )
    job = lab.queue.submit(
        AGENT,
        asdict(config),
        kind="agent",
        needs=NEEDS,
        thread=thread,
        person=person.name,
        account=f"thread:{thread}",
        name=name,
        source=source,
        tags=[AGENT, planner],
    )
    return thread, job


def _not_asked(source: Path | None) -> str:
    """Which studies of one's own file the built-in planner does not consider."""
    from unweave.studies.discover import load_source

    silent = [name for name, study in load_source(source).items() if study.inquiry is None] if source else []
    said = f"{', '.join(map(repr, silent))} of {source.name} cannot be asked: give @study an inquiry" if source else ""
    return f"; {said}" if silent else ""


def stop_agent(lab: Lab, thread: str, why: str, person: Person | None = None) -> None:
    """Asks the session of a thread to stop: it cancels its runs and writes up what it has."""
    from unweave.lab.threads.events import StateChange

    lab.threads.add(thread, StateChange("stopped", why), by=person)


def run_agent(root: Path, run: Run) -> None:
    """Does the session whose terms are the config of ``run``, from wherever it was; called by a worker."""
    from unweave.lab.lab import Lab

    lab = Lab(root)
    try:
        conduct(lab, run)
    finally:
        lab.close()


def conduct(lab: Lab, run: Run, planner: Planner | None = None) -> Judgement | None:
    """The session of an agent's run to its end, with its report and its conclusion; waits for approvals.

    Returns what was found; None where no plan came of the question.
    """
    from unweave.lab.agent.closing import close
    from unweave.record.run import RunCancelled
    from unweave.studies.discover import forget_sources

    config = AgentConfig(**run.config)
    agent = Person(AGENT, "runner")
    account = f"agent:{run.id}"
    Budget(lab, account).grant(**config.budget)
    # A warm worker may have run other jobs of studies with these names.
    forget_sources()
    source = _kept_source(run, config)
    view = lab_view(lab, source, config.budget, config.thread, run.id)
    journal = LabJournal(lab, run, config.thread, agent)
    hands = LabHands(lab, run, account, config.thread, source, journal.stopped)
    planner = planner or made_by(config.planner, config, lab, account)
    session = Session(planner, hands, journal, view, Terms(config.wait_for_approval))
    try:
        try:
            while session.conduct(config.question) == "waiting for approval":
                _rest(run)
        except CannotPlan as error:
            journal.add("ended", why=f"no plan: {error}")
        return close(lab, run, session, config.thread, agent, config.wait_for_approval)
    except RunCancelled:
        hands.stop(list(session.state().runs))
        raise


def _rest(run: Run) -> None:
    import time

    run.progress.update(0, 1, "the plan waits for approval")
    run.stop_if_cancelled()
    time.sleep(LOOK_SECONDS)


def made_by(name: PlannerName, config: AgentConfig, lab: Lab | None = None, account: str = "") -> Planner:
    """The planner of that name."""
    if name == "builtin":
        from unweave.lab.agent.builtin.planner import BuiltinPlanner

        return BuiltinPlanner()
    from unweave.base.endpoint import Endpoint
    from unweave.lab.agent.language import BudgetMeter, LabTools, LanguageModelPlanner, Prices

    if lab is None:
        raise UnweaveError("a language model plans in a lab: give one")
    # It may look at the lab, and nothing more: what runs is launched by the session, within the plan.
    tools = LabTools(lab, Person(AGENT, "reader"))
    endpoint = Endpoint(str(config.endpoint), str(config.model), config.key_variable)
    meter = BudgetMeter(Budget(lab, account), Prices(config.price_in or 0.0, config.price_out or 0.0))
    return LanguageModelPlanner(endpoint, tools, meter, budget=dict(config.budget))


def _kept_source(run: Run, config: AgentConfig) -> Path | None:
    """The file of studies as it was when the agent was started, so that all of its runs are of the same code."""
    if config.source is None:
        return None
    kept = (run.path / "code" / Path(config.source).name).resolve()
    return kept if kept.is_file() else Path(config.source)
