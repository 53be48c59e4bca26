"""What a session writes down as it goes, in the order in which it happened: enough to go on after being killed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from unweave.lab.agent.plan import Plan

Kind = Literal["plan", "approval", "step", "run", "dropped", "refused", "asked", "stop", "ended", "reported"]


class Journal(Protocol):
    """The events of one session. A thread of the lab is one."""

    def add(self, kind: Kind, **content: Any) -> None:
        """Keeps an event on the disk before it returns."""
        ...

    def events(self) -> list[dict[str, Any]]:
        """Every event so far, each with its ``kind``."""
        ...


class Memory:
    """A journal that is not kept: for running a session without a lab."""

    def __init__(self) -> None:
        self._events: list[dict[str, Any]] = []

    def add(self, kind: Kind, **content: Any) -> None:
        self._events.append({"kind": kind, **content})

    def events(self) -> list[dict[str, Any]]:
        return list(self._events)


@dataclass(frozen=True)
class Step:
    """A step that was decided: the entry of each run by its name in the session, and why."""

    entries: Mapping[str, Mapping[str, Any]]
    said: str = ""

    @property
    def runs(self) -> tuple[str, ...]:
        """The names of the runs."""
        return tuple(self.entries)


@dataclass(frozen=True)
class State:
    """A session's events folded."""

    plan: Plan | None = None
    plans: tuple[Plan, ...] = ()
    """Every plan that was proposed, oldest first."""
    fresh: bool = False
    """Whether nothing was decided since the plan was proposed, so that its own first step is the next one."""
    approved: frozenset[str] = frozenset()
    steps: tuple[Step, ...] = ()
    runs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Every run that was launched, by name, with its entry of the plan."""
    dropped: Mapping[str, tuple[Mapping[str, Any], str]] = field(default_factory=dict)
    """Every run that the lab refused to start, by name, with its entry and the reason."""
    refused: tuple[str, ...] = ()
    idle: int = 0
    """Turns in a row of which nothing was launched."""
    turns: int = 0
    asked: tuple[str, ...] = ()
    """What was missing when the planner wanted to stop and was asked once more; empty when it was not."""
    stop: str | None = None
    """Why somebody outside asked it to stop."""
    ended: str | None = None

    @classmethod
    def of(cls, events: list[dict[str, Any]], known: dict[str, Plan] | None = None) -> State:
        """The state after ``events``; ``known`` are plans by hash that were read before, and gets those read now."""
        read = {} if known is None else known
        plans: list[Plan] = []
        approved: set[str] = set()
        steps: list[Step] = []
        runs: dict[str, dict[str, Any]] = {}
        dropped: dict[str, tuple[dict[str, Any], str]] = {}
        refused: list[str] = []
        asked: tuple[str, ...] = ()
        stop = ended = None
        turns = idle = 0
        fresh = False
        for event in events:
            if event["kind"] in ("plan", "step", "refused", "asked"):
                fresh = event["kind"] == "plan"
            match event["kind"]:
                case "plan":
                    if event["sha256"] not in read:
                        read[event["sha256"]] = Plan.from_json(event["plan"])
                    plans.append(read[event["sha256"]])
                case "approval":
                    approved.add(event["sha256"])
                case "step":
                    steps.append(Step(event["runs"], event["said"]))
                    turns, idle = turns + 1, 0
                case "run":
                    runs[event["run"]] = event["entry"]
                case "dropped":
                    dropped[event["run"]] = (event["entry"], event["why"])
                case "refused":
                    refused.append(event["why"])
                    idle += event["idle"]
                case "asked":
                    asked = tuple(event["missing"])
                    turns += 1
                case "stop":
                    stop = event["why"]
                case "ended":
                    ended = event["why"]
                case _:
                    pass
        return cls(
            plans[-1] if plans else None,
            tuple(plans),
            fresh,
            frozenset(approved),
            tuple(steps),
            runs,
            dropped,
            tuple(refused),
            idle,
            turns,
            asked,
            stop,
            ended,
        )
