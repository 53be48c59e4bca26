"""Who carries out a plan's runs: the lab's queue and its auditor, or this process for a session without a lab."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from unweave.lab.agent.plan import Plan
    from unweave.lab.agent.planner import Measured
    from unweave.record.run import Run
    from unweave.studies.registry import Study


class Hands(Protocol):
    """Launches runs, waits for them, and reads them as an auditor does."""

    def launch(self, name: str, entry: Mapping[str, Any]) -> None:
        """Submits a run under this name; one that exists already is left as it is, so that a step can be repeated.

        ``entry`` is the plan's of this run as JSON: see ``unweave.lab.agent.plan.Entry``.
        """
        ...

    def wait(self, names: Sequence[str]) -> None:
        """Returns when the runs have ended, or when somebody asked to stop."""
        ...

    def read(self, name: str, entry: Mapping[str, Any], plan: Plan) -> Measured:
        """What an ended run gave, recomputed from its files."""
        ...

    def left(self) -> dict[str, float]:
        """What the budget still has, by resource."""
        ...

    def stop(self, names: Sequence[str]) -> None:
        """Cancels the runs that have not ended."""
        ...


class OwnHands:
    """Runs studies in this process, one after the other, and reads them from its own runs folder: no lab, no auditor.

    For tests and for tuning a planner; a session that is meant to be believed uses the lab's.
    """

    def __init__(self, studies: Mapping[str, Study], root: Path, budget: Mapping[str, float] | None = None) -> None:
        self.studies = studies
        self.root = Path(root)
        self.budget = dict(budget or {})
        self.launched: list[str] = []
        self._read: dict[str, Measured] = {}

    def launch(self, name: str, entry: Mapping[str, Any]) -> None:
        from unweave.base.errors import UnweaveError
        from unweave.record.run import Run

        if (self.root / name).exists():
            return
        study = self.studies[entry["study"]]
        self.launched.append(name)
        run = Run.create(study.name, entry["config"], root=self.root, name=name)
        try:
            with run:
                study.function(study.configure(entry["config"]), run)
        except UnweaveError as error:
            if not run.path.exists():
                # A run that was refused leaves no folder; its entry must still say why.
                self._read[name] = measured_of(name, entry, fault=str(error))

    def wait(self, names: Sequence[str]) -> None:
        del names

    def read(self, name: str, entry: Mapping[str, Any], plan: Plan) -> Measured:
        from unweave.record.run import Run

        if name not in self._read:
            self._read[name] = read_run(Run.open(self.root / name), name, entry, plan)
        return self._read[name]

    def left(self) -> dict[str, float]:
        return {name: amount - len(self.launched) * (name == "runs") for name, amount in self.budget.items()}

    def stop(self, names: Sequence[str]) -> None:
        del names


def read_run(run: Run, name: str, entry: Mapping[str, Any], plan: Plan) -> Measured:
    """Every outcome of the plan read off a finished run's tables, by the plan's criterion and no other."""
    from unweave.base.errors import UnweaveError

    state = run.state()
    identities = {one["kind"]: one["sha256"] for one in state.get("identities", [])}
    if run.status != "finished":
        return measured_of(name, entry, fault=f"the run is {run.status}: {state.get('note') or 'it says no more'}")
    values: dict[str, dict[int, float]] = {}
    try:
        for outcome in plan.outcomes():
            found = outcome.read(run, seed=entry["seeds"][0])
            values[outcome.name] = {seed: value for seed, value in found.items() if seed in entry["seeds"]}
    except UnweaveError as error:
        # A study that ends with a note and without its table found nothing, and that is a result.
        if state.get("note") and not values:
            return measured_of(name, entry, nothing=True, identities=identities)
        return measured_of(name, entry, fault=str(error), identities=identities)
    return measured_of(name, entry, values=values, identities=identities)


def measured_of(name: str, entry: Mapping[str, Any], **facts: Any) -> Measured:
    """What a run gave, named by its entry of the plan."""
    from unweave.lab.agent.planner import Measured

    return Measured(name, entry["arm"], entry["stage"], tuple(entry["seeds"]), entry["on"], **facts)
