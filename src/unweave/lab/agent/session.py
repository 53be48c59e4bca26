"""The loop: propose, wait for approval, launch, read, revise, stop. It belongs to the lab, not to the planner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from unweave.base.errors import UnweaveError
from unweave.lab.agent.asked import check_asked
from unweave.lab.agent.fresh import refreshed
from unweave.lab.agent.hands import measured_of
from unweave.lab.agent.journal import Journal, State
from unweave.lab.agent.judge import judge
from unweave.lab.agent.launch import Entry, launches_of
from unweave.lab.agent.merit import ranked
from unweave.lab.agent.plan import Plan, canonical
from unweave.lab.agent.planner import LabView, Planner, Results, Stop
from unweave.lab.queue.budget import BudgetExhausted
from unweave.record.life import RunCancelled

if TYPE_CHECKING:
    from unweave.lab.agent.hands import Hands

Ending = Literal["done", "waiting for approval"]


@dataclass(frozen=True)
class Terms:
    """What the lab allows a session, whatever its planner wants."""

    wait_for_approval: bool = False
    turns: int = 200
    """Steps at most; then it is concluded with what there is."""
    refusals: int = 3
    """Steps in a row of which nothing was launched, because it was repeated or refused; then it is concluded."""


class Session:
    """One question, from its plan to its last run. All state is in the journal, so a killed session goes on."""

    def __init__(
        self, planner: Planner, hands: Hands, journal: Journal, view: LabView, terms: Terms | None = None
    ) -> None:
        self.planner = planner
        self.hands = hands
        self.journal = journal
        self.view = view
        self.terms = terms or Terms()
        self._plans: dict[str, Plan] = {}

    def conduct(self, question: str) -> Ending:
        """Works until the end, or until it needs an approval. Calling it again goes on where it stopped."""
        while True:
            state = self.state()
            if state.ended is not None:
                return "done"
            if state.stop is not None:
                self.hands.stop(list(state.runs))
                self._end(f"stopped from outside: {state.stop}")
            elif state.plan is None:
                self._propose(question)
            elif self.terms.wait_for_approval and state.plan.sha256 not in state.approved:
                return "waiting for approval"
            elif state.steps and not set(state.steps[-1].runs) <= {*state.runs, *state.dropped}:
                self._launch(state)
            else:
                self.hands.wait(list(state.runs))
                if self.state().stop is None:
                    self._revise(state, state.plan)

    def state(self) -> State:
        """The session as its journal has it."""
        return State.of(self.journal.events(), self._plans)

    def results(self, state: State, plan: Plan) -> Results:
        """Every run that was launched, as the auditor finds it."""
        measured = tuple(self.hands.read(name, entry, plan) for name, entry in state.runs.items())
        measured += tuple(
            measured_of(name, entry, fault=f"the lab did not start it: {why}", withheld=True)
            for name, (entry, why) in state.dropped.items()
        )
        return Results(
            measured, self.hands.left(), state.turns, self.view.at_once, tuple(state.refused[-5:]), state.asked
        )

    def _propose(self, question: str) -> None:
        plan = self.planner.propose(question, self.view)
        self._take(plan, question)

    def _take(self, plan: Plan, question: str, state: State | None = None) -> None:
        """Puts a plan on record. The lab, not the planner, says how much may be spent and which code runs.

        ``state`` is of the session so far, whose screened seeds another plan must not confirm on either.
        """
        if plan.question != question:
            raise UnweaveError(f"the plan answers {plan.question!r}, and the question is {question!r}")
        plan = replace(plan, budget=dict(self.view.left), code=self.view.code_of(plan.study), planner=self.planner.name)
        plan.check(self.view.study(plan.study))
        check_asked(plan, self.view)
        confirm = plan.stage("confirm").seeds
        self.view.check_fresh(plan.study, confirm)
        screened = [entry["seeds"] for entry in state.runs.values() if entry["stage"] == "screen"] if state else []
        stale = sorted({seed for seeds in screened for seed in seeds} & set(confirm))
        if stale:
            raise UnweaveError(f"seeds {stale} of 'confirm' were screened on under the plan before: they are not fresh")
        self.journal.add("plan", plan=plan.to_json(), sha256=plan.sha256)

    def _revise(self, state: State, plan: Plan) -> None:
        results = self.results(state, plan)
        if state.turns >= self.terms.turns:
            self._end(f"after {state.turns} steps, as many as the lab allows")
        elif state.idle >= self.terms.refusals:
            self._end(f"the planner proposed nothing new {state.idle} times: {state.refused[-1]}")
        elif results.left.get("runs", 1) < 1 or any(amount <= 0 for amount in results.left.values()):
            spent = next(name for name, amount in results.left.items() if amount < 1 or amount <= 0)
            self._end(f"the budget of {spent} is spent")
        else:
            answer = plan if state.fresh and plan.launch else self.planner.revise(plan, results)
            if isinstance(answer, Stop):
                self._stop(state, plan, results, answer)
            elif answer.sha256 != plan.sha256:
                self._another(state, plan, answer)
            else:
                self._step(state, plan, answer, results)

    def _stop(self, state: State, plan: Plan, results: Results, answer: Stop) -> None:
        missing = unmet(plan, results)
        if missing and not state.asked:
            self.journal.add("asked", missing=missing, said=answer.reason)
            return
        early = f"; before its own stopping rule was met: {'; '.join(missing)}" if missing else ""
        self._end(f"{answer.reason}{early}")

    def _another(self, state: State, plan: Plan, answer: Plan) -> None:
        """A changed design is another plan: it is put on record, and what counts as an answer may not change."""
        if answer.criterion != plan.criterion or answer.study != plan.study:
            why = "the plan's criterion or study was changed after it was proposed"
            self.journal.add("refused", why=f"{why}: a new question needs a new thread", idle=True)
            return
        try:
            self._take(answer, plan.question, state)
        except UnweaveError as error:
            self.journal.add("refused", why=str(error), idle=True)

    def _step(self, state: State, plan: Plan, answer: Plan, results: Results) -> None:
        study = self.view.study(plan.study)
        known = {fingerprint(entry["study"], entry["config"]) for entry in state.runs.values()}
        try:
            answer.check_step()
            proposed = launches_of(answer, study, _read_first(plan, results))
        except UnweaveError as error:
            self.journal.add("refused", why=str(error), idle=True)
            return
        if self._reseed(state, plan, answer):
            return
        kept: list[Entry] = []
        faults: list[str] = [] if proposed else ["the step launches nothing"]
        for entry in proposed:
            mark = fingerprint(plan.study, entry.config)
            if mark in known:
                faults.append(f"{entry.arm} on seeds {list(entry.seeds)} was run already")
                continue
            known.add(mark)
            kept.append(entry)
        room = results.left.get("runs", float("inf"))
        if len(kept) > room:
            faults.append(f"{len(kept)} runs were proposed, and the budget has {room:g}")
            kept = kept[: int(room)]
        if faults:
            self.journal.add("refused", why="; ".join(faults[:5]), idle=not kept)
        if not kept:
            return
        first = sum(len(step.runs) for step in state.steps) + 1
        runs = {self.hands.name(number): entry.to_json() for number, entry in enumerate(kept, start=first)}
        # Written before anything is submitted, so that a session killed in between submits the rest and nothing twice.
        self.journal.add("step", said=answer.said, runs=runs, sha256=plan.sha256)

    def _reseed(self, state: State, plan: Plan, answer: Plan) -> bool:
        """Whether the seeds that are to confirm were run by others since the plan was proposed, and it gets new ones.

        Whoever approves a plan may have read what its seeds show. With others it is another plan, to be approved again.
        """
        begun = any((one["stage"], one["sha256"]) == ("confirm", plan.sha256) for one in state.runs.values())
        if begun or not any(launch.stage == "confirm" for launch in answer.launch):
            return False
        used = (*self.view.used.get(plan.study, ()), *self.hands.used(self.view.study(plan.study)))
        fresh = refreshed(answer, used)
        if fresh is None:
            return False
        why = "others have run confirming seeds since the plan was proposed, so it takes fresh ones"
        self.journal.add("refused", why=why, idle=False)
        self._take(fresh, plan.question, state)
        return True

    def _launch(self, state: State) -> None:
        for name, entry in state.steps[-1].entries.items():
            if name in state.runs or name in state.dropped:
                continue
            try:
                launched = self._launch_one(name, entry)
            except RunCancelled:
                # It is the session that was cancelled: when it goes on, the run is still to be launched.
                raise
            except UnweaveError as error:
                self.journal.add("dropped", run=name, entry=entry, why=str(error))
            else:
                if not launched:
                    return
                self.journal.add("run", run=name, entry=entry)

    def _launch_one(self, name: str, entry: Mapping[str, Any]) -> bool:
        """Whether the run was launched: it is not where somebody asked to stop while it waited for its budget."""
        try:
            self.hands.launch(name, entry)
        except BudgetExhausted:
            # Runs give back what they leave of what was set aside for them.
            self.hands.wait(list(self.state().runs))
            if self.state().stop is not None:
                return False
            self.hands.launch(name, entry)
        return True

    def _end(self, why: str) -> None:
        self.journal.add("ended", why=why)


def unmet(plan: Plan, results: Results) -> list[str]:
    """What the plan's own stopping rule still asks for: empty when it may stop."""
    judgement = judge(plan, results)
    missing: list[str] = []
    if plan.kind != "compare":
        candidates = [one for one in judgement.standings if plan.arm(one.arm).role == "candidate"]
        holding = ranked(plan, results, [one.arm for one in candidates if one.verdict == "holds"])
        for one in candidates:
            # Only the best of what holds is the answer, and needs its null and its control.
            if one.verdict == "unclear" or one.arm in holding[:1]:
                missing += [f"{one.arm} lacks {what}" for what in one.lacking]
    missing += [f"{name} lacks seeds" for name in judgement.close]
    for one in judgement.contrasts:
        missing += [f"{one.first} against {one.second} lacks {what}" for what in one.lacking]
    if not results.measured:
        missing.append("nothing was run")
    elif not judgement.standings and not any(one.stage == "screen" for one in results.measured):
        missing.append("nothing was confirmed")
    return missing


def fingerprint(study: str, settings: Mapping[str, Any]) -> bytes:
    """What tells a repeated run: the same study with the same settings, seeds among them."""
    return canonical([study, dict(settings)])


def _read_first(plan: Plan, results: Results) -> dict[str, str]:
    """What the first run read and every later one must have read too, unless the plan varies it."""
    first = next((one.identities for one in results.measured if one.usable and one.identities), {})
    return {kind: digest for kind, digest in first.items() if kind not in plan.varied()}
