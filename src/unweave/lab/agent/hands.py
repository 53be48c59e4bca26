"""Who carries out a plan's runs: the lab's queue and its auditor, or this process for a session without a lab."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, cast

from unweave.base.errors import NothingFound, UnweaveError, nearest

if TYPE_CHECKING:
    from unweave.lab.agent.plan import Plan
    from unweave.lab.agent.planner import Measured
    from unweave.record.run import Run
    from unweave.record.table import Table
    from unweave.studies.registry import Study


class Hands(Protocol):
    """Launches runs, waits for them, and reads them as an auditor does."""

    def name(self, number: int) -> str:
        """The name of the session's run of this number, from 1."""
        ...

    def launch(self, name: str, entry: Mapping[str, Any]) -> None:
        """Submits a run under this name; one that exists already is left as it is, so that a step can be repeated.

        ``entry`` is the plan's of this run as JSON: see ``unweave.lab.agent.launch.Entry``. Raises ``UnweaveError``
        where the lab refuses it.
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

    def used(self, study: Study) -> list[range]:
        """The seeds of all runs of a study that others have started by now."""
        ...

    def stop(self, names: Sequence[str]) -> None:
        """Cancels the runs that have not ended."""
        ...


class OwnHands:
    """Runs studies in this process, one after the other, and keeps their tables in memory: no lab, no auditor.

    For tests and for tuning a planner; a session that is meant to be believed uses the lab's.
    """

    def __init__(self, studies: Mapping[str, Study], budget: Mapping[str, float] | None = None) -> None:
        self.studies = studies
        self.budget = dict(budget or {})
        self.measured: dict[str, Measured] = {}
        self._runs: dict[str, tuple[_Kept, Mapping[str, Any]]] = {}

    def name(self, number: int) -> str:
        return f"{number:04d}"

    def launch(self, name: str, entry: Mapping[str, Any]) -> None:
        study = self.studies[entry["study"]]
        run = _Kept(name, dict(entry["config"]))
        try:
            study.function(study.configure(entry["config"]), run)
        except NothingFound as error:
            run.note = str(error)
        except UnweaveError as error:
            run.note, run.status = str(error), "failed"
        self._runs[name] = (run, entry)

    def wait(self, names: Sequence[str]) -> None:
        del names

    def read(self, name: str, entry: Mapping[str, Any], plan: Plan) -> Measured:
        if name not in self.measured:
            self.measured[name] = read_run(cast("Run", self._runs[name][0]), name, entry, plan)
        return self.measured[name]

    def left(self) -> dict[str, float]:
        return {name: amount - len(self._runs) * (name == "runs") for name, amount in self.budget.items()}

    def used(self, study: Study) -> list[range]:
        del study
        return []

    def stop(self, names: Sequence[str]) -> None:
        del names


@dataclass
class _Kept:
    """What a study writes to and a session reads from, as ``Run`` does, without a folder."""

    id: str
    config: dict[str, Any]
    status: str = "finished"
    note: str | None = None
    tables: dict[str, Table] = field(default_factory=dict)
    identities: list[dict[str, Any]] = field(default_factory=list)

    def save_table(self, table: Table) -> str:
        self.tables[table.name] = table
        return table.sha256

    def load_table(self, name: str) -> Table:
        if name not in self.tables:
            raise UnweaveError(f"there is no table {name!r}; {nearest(name, self.tables)}")
        return self.tables[name]

    def identify(self, kind: str, name: str, sha256: str, **facts: Any) -> None:
        self.identities.append({"kind": kind, "name": name, "sha256": sha256, **facts})

    def state(self) -> dict[str, Any]:
        return {"note": self.note, "identities": self.identities}


def read_run(run: Run, name: str, entry: Mapping[str, Any], plan: Plan, seconds: float = 0.0) -> Measured:
    """Every outcome of the plan read off a finished run's tables, by the plan's criterion and no other."""
    state = run.state()
    kinds = [one["kind"] for one in state.get("identities", [])]
    facts: dict[str, Any] = {
        # Of a kind of which a run reads several, no one hash says which.
        "identities": {
            one["kind"]: one["sha256"] for one in state.get("identities", []) if kinds.count(one["kind"]) == 1
        },
        "seconds": seconds,
    }
    if run.status != "finished":
        fault = f"the run is {run.status}: {state.get('note') or 'it says no more'}"
        return measured_of(name, entry, fault=fault, **facts)
    values: dict[str, dict[int, float]] = {}
    try:
        for outcome in plan.outcomes():
            found = outcome.read(run, seed=entry["seeds"][0])
            missing = [seed for seed in entry["seeds"] if seed not in found]
            if missing:
                fault = f"seeds {missing} have no {outcome.column!r} in table {outcome.table!r}"
                return measured_of(name, entry, fault=fault, **facts)
            values[outcome.name] = {seed: value for seed, value in found.items() if seed in entry["seeds"]}
    except UnweaveError as error:
        # A study that ends with a note and without its table found nothing, and that is a result.
        if state.get("note") and not values:
            return measured_of(name, entry, nothing=True, **facts)
        return measured_of(name, entry, fault=str(error), **facts)
    return measured_of(name, entry, values=values, **facts)


def measured_of(name: str, entry: Mapping[str, Any], **facts: Any) -> Measured:
    """What a run gave, named by its entry of the plan."""
    from unweave.lab.agent.planner import Measured

    return Measured(name, entry["arm"], entry["stage"], tuple(entry["seeds"]), entry["on"], **facts)
