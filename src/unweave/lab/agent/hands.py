"""Who carries out a plan's runs: the lab's queue and its auditor, or this process for a session without a lab."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from unweave.lab.agent.plan import Entry, Plan
    from unweave.lab.agent.planner import Measured


class Hands(Protocol):
    """Launches runs, waits for them, and reads them as an auditor does."""

    def launch(self, name: str, entry: Entry, settings: Mapping[str, Any]) -> None:
        """Submits a run under this name; one that exists already is left as it is, so that a step can be repeated."""
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
