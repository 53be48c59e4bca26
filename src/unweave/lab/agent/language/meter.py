"""Tokens and money of a language model: granted before a question is sent, settled with what the endpoint counted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from unweave.lab.queue.budget import Budget


@dataclass(frozen=True)
class Prices:
    """Dollars for a million tokens, in and out."""

    tokens_in: float = 0.0
    tokens_out: float = 0.0

    def of(self, tokens_in: int, tokens_out: int) -> float:
        """What so many tokens cost."""
        return (tokens_in * self.tokens_in + tokens_out * self.tokens_out) / 1e6


class Meter(Protocol):
    """Grants what a question may cost at most, and hears what it did cost."""

    def reserve(self, tokens_in: int, tokens_out: int) -> Any:
        """A grant to be settled. Raises ``UnweaveError`` where the budget has too little left."""
        ...

    def settle(self, grant: Any, tokens_in: int, tokens_out: int) -> None:
        """Gives back what was not used."""
        ...


class BudgetMeter:
    """A budget of the lab, so that no planner and no number of them at once can spend more than was granted."""

    def __init__(self, budget: Budget, prices: Prices | None = None) -> None:
        self.budget = budget
        self.prices = prices or Prices()

    def reserve(self, tokens_in: int, tokens_out: int) -> Any:
        """Both tokens and money, or neither."""
        tokens = self.budget.reserve("tokens", tokens_in + tokens_out)
        try:
            return tokens, self.budget.reserve("dollars", self.prices.of(tokens_in, tokens_out))
        except BaseException:
            self.budget.settle(tokens, 0)
            raise

    def settle(self, grant: Any, tokens_in: int, tokens_out: int) -> None:
        """What the endpoint counted; where it counted nothing, all that was reserved counts as spent."""
        tokens, dollars = grant
        self.budget.settle(tokens, tokens_in + tokens_out)
        self.budget.settle(dollars, self.prices.of(tokens_in, tokens_out))
