"""Asking a planner one question, in this process or in a lab, and scoring the judgement of what it ran."""

from __future__ import annotations

from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from questions import Question

from unweave.lab.agent.builtin.planner import BuiltinPlanner
from unweave.lab.agent.hands import OwnHands
from unweave.lab.agent.job import AgentConfig, conduct
from unweave.lab.agent.journal import Memory, State
from unweave.lab.agent.judge import judge
from unweave.lab.agent.planner import LabView, Planner
from unweave.lab.agent.session import Session
from unweave.lab.agent.verdicts import Judgement
from unweave.lab.audit import audit
from unweave.lab.lab import Lab
from unweave.record.run import Run
from unweave.studies.discover import load_source
from unweave.studies.registry import Study

AT_ONCE = 2
SOURCE = Path(__file__).with_name("studies.py")


@cache
def planted_studies() -> dict[str, Study]:
    """The studies of the file, as the lab loads it too."""
    return load_source(SOURCE)


def planner_named(name: str) -> Planner:
    """``builtin``, or the baselines that differ in their order of search only."""
    orders = {"builtin": "adaptive", "listed": "listed", "random": "random"}
    return BuiltinPlanner(order=orders[name])  # type: ignore[arg-type]


def answer_directly(question: Question, planner: str, budget: int) -> dict[str, Any]:
    """Runs a session in this process."""
    hands = OwnHands(planted_studies(), {"runs": float(budget)})
    view = LabView(planted_studies(), left={"runs": float(budget)}, at_once=AT_ONCE)
    session = Session(planner_named(planner), hands, Memory(), view)
    session.conduct(question.text)
    state = session.state()
    if state.plan is None:
        raise ValueError(f"no plan came of {question.text!r}")
    found = judge(state.plan, session.results(state, state.plan))
    return scored(question, found, state)


def answer_in_lab(question: Question, planner: str, budget: int, lab: Lab) -> dict[str, Any]:
    """Runs a session with the lab's queue and auditor, to its report and conclusion; the report is audited too."""
    thread = lab.threads.create(question.text).id
    config = AgentConfig(question.text, thread, "builtin", {"runs": float(budget)}, source=str(SOURCE))
    about = {"thread": thread, "person": "benchmark"}
    with Run.create("agent", asdict(config), root=lab.root, name=f"q-{thread[-9:]}", about=about) as run:
        found = conduct(lab, run, planner_named(planner))
    if found is None:
        raise ValueError(f"no plan came of {question.text!r}")
    state = State.of([dict(row) for row in run.cells("journal").values()])
    checked = audit(lab, run.id)
    held = sum(one.verdict == "held" for one in checked.claims)
    grave = sum(row["severity"] == "grave" for row in run.load_table("critic").records())
    return scored(question, found, state) | {
        "report": checked.verdict,
        "claims": len(checked.claims),
        "held": held,
        "objections": grave,
    }


def scored(question: Question, found: Judgement, state: State) -> dict[str, Any]:
    """Whether the answer is right, and whether something was found where there is nothing."""
    settings = state.plan.arm(found.best).settings if found.best and state.plan else {}
    relations = [one.relation for one in found.contrasts]
    claimed = found.answer == "yes" or any(one in ("better", "worse", "mixed") for one in relations)
    return {
        "question": question.text,
        "kind": question.kind,
        "effect": question.effect,
        "truth": question.truth,
        "answer": found.answer if not relations else relations[0],
        "arm": found.best,
        "right": question.right(found, settings),
        "false discovery": claimed and not question.effect,
        "wrong claim": claimed and question.effect and not question.right(found, settings),
        "runs": len(state.runs),
        "ended": state.ended,
    }
