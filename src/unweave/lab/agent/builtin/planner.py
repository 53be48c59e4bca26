"""The built-in planner: no language model, only the studies' inquiries and a search that knows its noise."""

from __future__ import annotations

from unweave.lab.agent.builtin.design import Sizes, design
from unweave.lab.agent.builtin.search import Order, next_step
from unweave.lab.agent.builtin.words import understand
from unweave.lab.agent.plan import Plan
from unweave.lab.agent.planner import LabView, Results, Stop


class BuiltinPlanner:
    """Reads the question with the words that studies register, and searches by screening, halving and confirming.

    ``order`` other than ``adaptive`` tries candidates as listed or at random: what the search is measured against.
    """

    def __init__(self, sizes: Sizes | None = None, order: Order = "adaptive", seed: int = 0) -> None:
        self.sizes = sizes or Sizes()
        self.order: Order = order
        self.seed = seed
        self.name = "builtin" if order == "adaptive" else f"builtin, {order} order"

    def propose(self, question: str, view: LabView) -> Plan:
        """A plan for a question that some study's words fit. Raises ``CannotPlan`` with what can be asked."""
        return design(understand(question, view), view, self.sizes, self.name)

    def revise(self, plan: Plan, results: Results) -> Plan | Stop:
        """The next step by the results, cut to what the budget leaves."""
        step = next_step(plan, results, self.order, self.seed)
        if isinstance(step, Stop):
            return step
        launches, said = step
        return plan.next(launches, said)
