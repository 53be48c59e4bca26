"""Sessions for tests, in this process over ``agent_study``, and planners that misbehave."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from unweave.lab.agent.builtin.planner import BuiltinPlanner
from unweave.lab.agent.hands import OwnHands
from unweave.lab.agent.journal import Memory
from unweave.lab.agent.judge import judge
from unweave.lab.agent.planner import LabView
from unweave.lab.agent.session import Session, Terms
from unweave.studies.discover import load_source

SOURCE = Path(__file__).with_name("agent_study.py")
QUESTION = "Which input of model 2 removes the first output without harming the others?"
ANY = "Does any input of model 2 carry the first output without harming the others?"


def carrier(model):
    """The input that carries the first output of ``agent_study``'s model."""
    return int(np.random.default_rng(model).integers(32))


RIGHT = f"inputs={carrier(2)}"
"""The candidate that does it in model 2."""


def studies():
    return load_source(SOURCE)


def view(**changes):
    """What a planner sees: the one study, forty runs, two at once."""
    return LabView(**{"studies": studies(), "left": {"runs": 40.0}, "at_once": 2, **changes})


def session(planner=None, runs=40.0, terms=None, journal=None, hands=None):
    found = studies()
    hands = hands or OwnHands(found, {"runs": runs})
    seen = LabView(found, left={"runs": runs}, at_once=2)
    return Session(planner or BuiltinPlanner(), hands, journal or Memory(), seen, terms or Terms())


def answered(question, planner=None, **options):
    """The session, and the lab's judgement at its end."""
    made = session(planner, **options)
    made.conduct(question)
    state = made.state()
    return made, judge(state.plan, made.results(state, state.plan))


class Scripted:
    """Proposes as the built-in planner does, and then does what it is told, step by step."""

    name = "scripted"

    def __init__(self, *steps, propose=None):
        self.steps = list(steps)
        self.seen = []
        self.proposing = propose or BuiltinPlanner().propose

    def propose(self, question, view):
        return self.proposing(question, view)

    def revise(self, plan, results):
        self.seen.append(results)
        step = self.steps[min(len(self.seen), len(self.steps)) - 1]
        return step(plan, results) if callable(step) else step
