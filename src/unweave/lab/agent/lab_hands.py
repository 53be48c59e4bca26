"""The lab as hands of a session: runs go through the queue on the session's account, and are read after their audit."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unweave.base.errors import UnweaveError
from unweave.lab.agent.excused import excused
from unweave.lab.agent.fresh import used_seeds
from unweave.lab.agent.hands import measured_of, read_run
from unweave.lab.audit.process import audit_several
from unweave.lab.queue.budget import Budget

if TYPE_CHECKING:
    from unweave.lab.agent.plan import Plan
    from unweave.lab.agent.planner import Measured
    from unweave.lab.audit.finding import Audit
    from unweave.lab.lab import Lab
    from unweave.record.run import Run
    from unweave.studies.registry import Study

LOOK_SECONDS = 1.0
AT_A_TIME = 40
"""Runs that one auditor's process is given."""


class LabHands:
    """Carries out the runs of the session whose own run is ``run``; ``account`` pays for them.

    ``stopped`` is asked while runs go on, and ends the waiting.
    """

    def __init__(
        self,
        lab: Lab,
        run: Run,
        account: str,
        thread: str | None,
        source: Path | None = None,
        stopped: Callable[[], bool] | None = None,
    ) -> None:
        self.lab = lab
        self.run = run
        self.budget = Budget(lab, account)
        self.thread = thread
        self.source = source
        self.stopped = stopped or (lambda: False)
        self._audits: dict[str, Audit] = {}
        self._measured: dict[str, Measured] = {}

    def name(self, number: int) -> str:
        """Session and number, so that no run is submitted twice, whoever was killed in between."""
        return f"{self.run.id}.{number:04d}"

    def launch(self, name: str, entry: Mapping[str, Any]) -> None:
        """Submits the run with its entry of the plan, unless it is in the queue already."""
        if self._submitted(name):
            return
        self.lab.queue.submit(
            entry["study"],
            entry["config"],
            thread=self.thread,
            person=self.run.state().get("person"),
            account=self.budget.account,
            name=name,
            plan=dict(entry),
            seeds=list(entry["seeds"]),
            parents=[self.run.id],
            tags=[self.run.id, entry["stage"], entry["role"]],
            source=self.source,
        )

    def _submitted(self, name: str) -> bool:
        return bool(self.lab.database.read("SELECT 1 FROM jobs WHERE id = ?", (name,)))

    def wait(self, names: Sequence[str]) -> None:
        """Waits for the runs, and has those that ended audited."""
        left = [name for name in names if name not in self._measured]
        while left:
            self.run.stop_if_cancelled()
            if self.stopped():
                return
            if all(job.has_ended for job in self.lab.queue.wait(left, LOOK_SECONDS, self.run.progress)):
                break
        todo = [name for name in left if name not in self._audits and self.lab.queue.get(name).state == "finished"]
        for start in range(0, len(todo), AT_A_TIME):
            some = todo[start : start + AT_A_TIME]
            self._audits |= dict(zip(some, audit_several(self.lab, some), strict=True))

    def read(self, name: str, entry: Mapping[str, Any], plan: Plan) -> Measured:
        """What a run gave; one that failed, is invalid by its audit or left its plan gives nothing and says why."""
        if name in self._measured:
            return self._measured[name]
        job = self.lab.queue.get(name)
        if not job.has_ended:
            # Nothing is kept of it: it may still end.
            return measured_of(name, entry, fault=f"the run is {job.state}", withheld=True)
        self._measured[name] = self._read(name, entry, plan, float(job.usage.get("seconds", 0.0)))
        return self._measured[name]

    def _read(self, name: str, entry: Mapping[str, Any], plan: Plan, seconds: float) -> Measured:
        job = self.lab.queue.get(name)
        if job.state != "finished":
            why = f"{job.state}: {job.note or 'it did not say why'}"
            return measured_of(name, entry, fault=why, withheld=job.state == "cancelled", seconds=seconds)
        if name not in self._audits:
            self._audits[name] = audit_several(self.lab, [name])[0]
        audit = self._audits[name]
        if audit.verdict != "valid":
            why = "; ".join(audit.reasons[:3])
            return measured_of(name, entry, fault=f"the auditor calls it invalid: {why}", seconds=seconds)
        run = self.lab.runs.open(name)
        if excuses := excused(run, audit):
            return measured_of(
                name, entry, fault=f"it departs from its plan: {'; '.join(excuses[:3])}", seconds=seconds
            )
        return read_run(run, name, entry, plan, seconds)

    def left(self) -> dict[str, float]:
        """What the account has left of what it was granted."""
        lines = self.budget.lines()
        return {name: line.left for name, line in lines.items() if line.left is not None}

    def used(self, study: Study) -> list[range]:
        """The seeds of all runs of a study in the lab but the session's own."""
        self.lab.runs.sync()
        return list(used_seeds(self.lab, study, self.run.id))

    def stop(self, names: Sequence[str]) -> None:
        """Cancels what has not ended; a name that was never submitted is passed over."""
        for name in names:
            if self._submitted(name) and not self.lab.queue.get(name).has_ended:
                self.lab.queue.cancel(name)


def at_once(lab: Lab, study: str, config: Mapping[str, Any]) -> int:
    """How many runs of a study fit into the lab's machines beside each other, by what one is reckoned to need."""
    from unweave.lab.queue.resources import machine

    try:
        needs, _ = lab.queue.estimate(study, config)
    except UnweaveError:
        return 1
    totals = [node.total for node in lab.queue.background.nodes()] or [machine(lab.root)]
    fits = 0
    for total in totals:
        shares = [
            getattr(total, name) / getattr(needs, name)
            for name in ("threads", "memory_gb", "gpu_gb")
            if getattr(needs, name) > 0
        ]
        fits += math.floor(min(shares, default=1.0) + 1e-9)
    return max(1, fits)
