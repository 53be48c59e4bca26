"""Ruling out half of the candidates with one run: groups of a joint field, from the whole down to single ones."""

from __future__ import annotations

from dataclasses import dataclass

from unweave.lab.agent.builtin.screening import Screening
from unweave.lab.agent.plan import Plan

DEAD, LIVE = 0.05, 0.9
"""A group whose probability of reaching the bar is below the first is ruled out; above the second it is opened."""


@dataclass(frozen=True)
class Node:
    """A group, or a single candidate, with what it splits into."""

    name: str
    members: frozenset[str]
    parts: tuple[Node, ...] = ()


def trees(plan: Plan) -> list[Node]:
    """The groups of a plan as trees whose leaves are candidates; none where the effect has no bar."""
    if plan.criterion.effect.bar is None:
        return []
    groups = sorted((arm for arm in plan.arms if arm.role == "group"), key=lambda arm: len(arm.covers))
    made: list[Node] = []
    for arm in groups:
        members = frozenset(arm.covers)
        inside = [node for node in made if node.members < members]
        parts = [node for node in inside if not any(node.members < other.members for other in inside)]
        alone = members - frozenset().union(*(node.members for node in parts))
        parts += [Node(name, frozenset({name})) for name in arm.covers if name in alone]
        made.append(
            Node(
                arm.name, members, tuple(sorted(parts, key=lambda node: min(arm.covers.index(m) for m in node.members)))
            )
        )
    return [node for node in made if not any(node.members < other.members for other in made)]


@dataclass
class Descent:
    """Where the trees stand: which tests come next. What lies in a dead group is not tested."""

    plan: Plan
    screening: Screening
    every: bool
    """Whether all candidates that reach the bar are wanted (the best of them), or any one."""

    def __post_init__(self) -> None:
        self.tests: list[tuple[str, int]] = []
        """(arm, how many seeds it should have), in order."""
        for tree in trees(self.plan):
            self._visit(tree, presumed=False)

    def _visit(self, node: Node, presumed: bool) -> str:
        """``dead``, ``live``, or ``open`` while a test is needed; ``presumed`` live, as its siblings are dead."""
        if not node.parts:
            return self._leaf(node)
        state = "live" if presumed else self._state(node)
        return self._parts(node) if state == "live" else state

    def _leaf(self, node: Node) -> str:
        if not self.screening.tried(node.name):
            self.tests.append((node.name, 1))
            return "open"
        return "dead" if self.screening.effect_probability(node.name) < DEAD else "live"

    def _parts(self, node: Node) -> str:
        states: list[str] = []
        for number, part in enumerate(node.parts):
            last = number == len(node.parts) - 1
            state = self._visit(part, presumed=last and all(one == "dead" for one in states) and bool(states))
            states.append(state)
            if state == "open" and not self.every:
                return "open"
        if "open" in states:
            return "open"
        return "live" if "live" in states else "dead"

    def _state(self, node: Node) -> str:
        done = self.screening.count(node.name)
        if not self.screening.tried(node.name):
            self.tests.append((node.name, 1))
            return "open"
        chance = self.screening.effect_probability(node.name)
        if chance < DEAD:
            return "dead"
        if chance < LIVE and done < min(2, len(self.plan.stage("screen").seeds)):
            self.tests.append((node.name, done + 1))
            return "open"
        return "live"
