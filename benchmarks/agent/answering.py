"""Asking a planner one question and scoring the lab's judgement of what it ran."""

from __future__ import annotations

from typing import Any

import studies
from questions import Question

from unweave.lab.agent.builtin.planner import BuiltinPlanner
from unweave.lab.agent.hands import OwnHands
from unweave.lab.agent.journal import Memory
from unweave.lab.agent.judge import judge
from unweave.lab.agent.planner import LabView, Planner
from unweave.lab.agent.session import Session
from unweave.lab.agent.verdicts import Judgement
from unweave.studies.registry import Study, registered

AT_ONCE = 2
_ = studies


def planted_studies() -> dict[str, Study]:
    return {name: found for name, found in registered().items() if name.startswith("planted-")}


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
    results = session.results(state, state.plan)
    found = judge(state.plan, results)
    settings = state.plan.arm(found.best).settings if found.best else {}
    return scored(question, found, settings) | {"runs": len(state.runs), "ended": state.ended}


def scored(question: Question, found: Judgement, settings: Any) -> dict[str, Any]:
    right = question.right(found, settings)
    relations = [one.relation for one in found.contrasts]
    claimed = found.answer == "yes" or any(one in ("better", "worse", "mixed") for one in relations)
    return {
        "question": question.text,
        "kind": question.kind,
        "effect": question.effect,
        "truth": question.truth,
        "answer": found.answer if not relations else relations[0],
        "arm": found.best,
        "right": right,
        "false discovery": claimed and not question.effect,
    }
