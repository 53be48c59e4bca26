"""The loop: propose, wait for approval, launch, read, revise, stop. It belongs to the lab, not to the planner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from unweave.base.errors import UnweaveError
from unweave.lab.agent.journal import Journal, State
from unweave.lab.agent.plan import Plan, canonical, launches_of
from unweave.lab.agent.planner import LabView, Planner, Results, Stop

if TYPE_CHECKING:
    from unweave.lab.agent.hands import Hands

Ending = Literal["done", "waiting for approval"]


@dataclass(frozen=True)
class Terms:
    """What the lab allows a session, whatever its planner wants."""

    wait_for_approval: bool = False
    turns: int = 100
    """Steps at most; then it is concluded with what there is."""
    refusals: int = 3
    """Steps in a row that were refused whole; then it is concluded with what there is."""
    objections: int = 3
    """Plans in a row that were refused; then it ends."""


class Session:
    """One question, from its plan to its last run. All state is in the journal, so a killed session goes on."""

    def __init__(self, planner: Planner, hands: Hands, journal: Journal, view: LabView, terms: Terms | None = None):
        self.planner = planner
        self.hands = hands
        self.journal = journal
        self.view = view
        self.terms = terms or Terms()

    def conduct(self, question: str) -> Ending:
        """Works until the end, or until it needs an approval. Calling it again goes on where it stopped."""
        while True:
            state = self.state()
            if state.ended is not None:
                return "done"
            if state.stop is not None:
                self.hands.stop([name for step in state.steps for name in step.runs])
                self._end(f"stopped from outside: {state.stop}")
            elif state.plan is None:
                self._propose(question)
            elif self.terms.wait_for_approval and state.plan.sha256 not in state.approved:
                return "waiting for approval"
            elif len(state.steps) and not set(state.steps[-1].runs) <= set(state.runs):
                self._launch(state.steps[-1].plan, state.steps[-1].runs)
            elif not state.steps or state.steps[-1].plan.sha256 != state.plan.sha256:
                self._step(state, state.plan)
            else:
                self.hands.wait(list(state.runs))
                if self.state().stop is None:
                    self._revise(state)

    def state(self) -> State:
        """The session as its journal has it."""
        return State.of(self.journal.events())

    def results(self, state: State) -> Results:
        """Every run that was launched, as the auditor finds it."""
        assert state.plan is not None
        measured = tuple(self.hands.read(name, entry, state.plan) for name, entry in state.runs.items())
        return Results(measured, self.hands.left(), len(state.steps), state.refused[-5:], state.asked)

    def _propose(self, question: str) -> None:
        plan = self.planner.propose(question, self.view)
        plan.check(self.view.study(plan.study))
        if plan.question != question:
            raise UnweaveError(f"the plan answers {plan.question!r}, and the question is {question!r}")
        self.journal.add("plan", plan=plan.to_json(), sha256=plan.sha256)

    def _revise(self, state: State) -> None:
        raise NotImplementedError

    def _step(self, state: State, plan: Plan) -> None:
        raise NotImplementedError

    def _launch(self, plan: Plan, names: tuple[str, ...]) -> None:
        raise NotImplementedError

    def _end(self, why: str) -> None:
        self.journal.add("ended", why=why)


def fingerprint(study: str, settings: Mapping[str, Any]) -> bytes:
    """What tells a repeated run: the same study with the same settings, seeds among them."""
    return canonical([study, dict(settings)])


_ = (replace, Stop, launches_of)
