"""A session's journal in the lab: steps in the session's own run, and in its thread what concerns people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unweave.lab.agent.journal import Kind
from unweave.lab.agent.plan import BEST, Plan, Prediction
from unweave.lab.threads.events import Hypothesis, Note, StateChange, ThreadRun
from unweave.lab.threads.events import Plan as PlanEvent

if TYPE_CHECKING:
    from unweave.lab.lab import Lab
    from unweave.lab.people import Person
    from unweave.lab.threads.events import RunRole
    from unweave.record.run import Run

CELLS = "journal"


class LabJournal:
    """Plans, hypotheses and runs go into the thread as well; approvals and stops come from there."""

    def __init__(self, lab: Lab, run: Run, thread: str, agent: Person) -> None:
        self.lab = lab
        self.run = run
        self.thread = thread
        self.agent = agent

    def add(self, kind: Kind, **content: Any) -> None:
        """Tells the thread first: what it has already is not told twice when a killed session does this again."""
        if kind == "plan":
            self._tell_plan(Plan.from_json(content["plan"]))
        elif kind == "run":
            self._tell_run(content["run"], content["entry"])
        elif kind == "asked":
            said = f"The planner wanted to stop ({content['said']}), and its own stopping rule is not met: "
            self._note(f"{said}{'; '.join(content['missing'])}. It was asked once more.")
        elif kind == "ended":
            self._note(f"The session ended: {content['why']}.")
        number = len(self.run.cells(CELLS)) + 1
        self.run.put_cell(CELLS, f"{number:05d}", {"kind": kind, **content})

    def events(self) -> list[dict[str, Any]]:
        """The session's own events, then the approvals given in this lab and the stop that the thread has."""
        found: list[dict[str, Any]] = [dict(row) for row in self.run.cells(CELLS).values()]
        thread = self.lab.threads.get(self.thread)
        found += [{"kind": "approval", "sha256": one.sha256} for one in thread.approvals_here]
        if thread.state == "stopped":
            found.append({"kind": "stop", "why": thread.of_kind(StateChange)[-1].why or "somebody stopped the thread"})
        return found

    def stopped(self) -> bool:
        """Whether somebody called the thread stopped."""
        return self.lab.threads.get(self.thread).state == "stopped"

    def _tell_plan(self, plan: Plan) -> None:
        thread = self.lab.threads.get(self.thread)
        known = {one.name for one in thread.hypotheses}
        for one in plan.hypotheses:
            if one.name not in known:
                predicted = "; ".join(predicted_text(prediction) for prediction in one.predictions)
                test = {"predictions": [vars(prediction) for prediction in one.predictions]}
                self._tell(Hypothesis(one.statement, predicted, one.name, test))
        if plan.sha256 not in {one.sha256 for one in thread.plans}:
            self._tell(PlanEvent(plan.design()))

    def _tell_run(self, run: str, entry: dict[str, Any]) -> None:
        thread = self.lab.threads.get(self.thread)
        if run not in {one.run for one in thread.runs}:
            self._tell(ThreadRun(run, part_of(entry)))

    def _note(self, text: str) -> None:
        if text not in {one.text for one in self.lab.threads.get(self.thread).notes}:
            self._tell(Note(text))

    def _tell(self, event: Any) -> None:
        self.lab.threads.add(self.thread, event, by=self.agent)


def part_of(entry: dict[str, Any]) -> RunRole:
    """The part that a run plays in its thread."""
    if entry["role"] in ("null", "control", "baseline"):
        return entry["role"]
    return "screen" if entry["stage"] == "screen" else "confirm"


def predicted_text(prediction: Prediction) -> str:
    """A prediction as a sentence."""
    who = "the chosen candidate" if prediction.arm == BEST else prediction.arm
    than = f" than {prediction.than}" if prediction.than and prediction.expected in ("better", "worse") else ""
    beside = f" from {prediction.than}" if prediction.than and prediction.expected == "no difference" else ""
    value = f" ({prediction.value:g})" if prediction.value is not None else ""
    return f"{prediction.outcome} of {who}: {prediction.expected}{than}{beside}{value}"
