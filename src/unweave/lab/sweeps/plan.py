"""A sweep's plan: the study, the space, the seeds, the rungs, and what all of it would cost, before anything runs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unweave.base.configs import plain_config
from unweave.base.errors import UnweaveError, nearest
from unweave.lab.sweeps.halving import Halving, Rung
from unweave.lab.sweeps.measure import Measure
from unweave.lab.sweeps.seeding import Seeding, seeding_of
from unweave.lab.sweeps.space import Space

if TYPE_CHECKING:
    from unweave.lab.lab import Lab
    from unweave.studies.registry import Study

MOST_RUNS = 20_000


@dataclass(frozen=True)
class Trial:
    """One run of a sweep: config number ``arm`` on a rung, at ``seeds``."""

    rung: int
    arm: int
    seeds: tuple[int, ...]
    config: Mapping[str, Any]

    @property
    def key(self) -> str:
        """What tells it from the sweep's other runs."""
        return f"{self.rung}/{self.arm}/{','.join(map(str, self.seeds))}"


@dataclass(frozen=True)
class SweepPlan:
    """Every config of ``space``, each at ``seeds`` seeds from ``first_seed`` on, or raced by ``halving``.

    ``measure`` is what arms are compared by; without it there is no comparison. ``baseline`` are settings of the arm
    that the others are compared with: one of the space, or one more. ``seed_field`` is for a study whose field for
    seeds has no usual name, ``source`` the Python file of a study that is not installed.
    """

    study: str
    space: Space
    measure: Measure | None = None
    seeds: int = 3
    first_seed: int = 0
    halving: Halving | None = None
    baseline: Mapping[str, Any] = field(default_factory=dict)
    seed_field: str | None = None
    source: str | None = None
    priority: int = 0
    needs: Mapping[str, float] = field(default_factory=dict)
    """Limits of each run, where they are not to be estimated."""

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> SweepPlan:
        """The plan back from ``to_json``."""
        measure, halving = value["measure"], value["halving"]
        parts = {
            "space": Space.from_json(value["space"]),
            "measure": None if measure is None else Measure.parse(measure["text"], measure["better"]),
            "halving": None if halving is None else Halving.from_json(halving),
        }
        return cls(**{**value, **parts})

    def to_json(self) -> dict[str, Any]:
        """The plan as plain JSON."""
        measure = None if self.measure is None else {"text": self.measure.text, "better": self.measure.better}
        return {
            "study": self.study,
            "space": self.space.to_json(),
            "measure": measure,
            "seeds": self.seeds,
            "first_seed": self.first_seed,
            "halving": None if self.halving is None else self.halving.to_json(),
            "baseline": dict(self.baseline),
            "seed_field": self.seed_field,
            "source": self.source,
            "priority": self.priority,
            "needs": dict(self.needs),
        }

    @cached_property
    def registered(self) -> Study:
        """The study; that of a file is loaded."""
        from unweave.studies.registry import find_study

        if self.source is not None:
            from unweave.studies.discover import load_source

            load_source(Path(self.source))
        return find_study(self.study)

    @cached_property
    def seeding(self) -> Seeding:
        """Where the study keeps its seeds."""
        return seeding_of(self.registered, self.seed_field)

    @cached_property
    def arms(self) -> list[dict[str, Any]]:
        """The configs, without regard to seeds and rungs; the baseline first where it is not one of the space."""
        configs = self.space.configs(self.registered)
        if self.baseline and self._baseline_config not in configs:
            configs.insert(0, self._baseline_config)
        return configs

    @cached_property
    def baseline_arm(self) -> int | None:
        """The number of the arm that others are compared with, where the plan names one."""
        return self.arms.index(self._baseline_config) if self.baseline else None

    @cached_property
    def rungs(self) -> list[Rung]:
        """The rungs; a sweep that does not halve has one."""
        if self.halving is not None:
            rungs = self.halving.rungs(len(self.arms), self.first_seed)
            return [replace(rung, settings=self._typed(rung.settings)) for rung in rungs]
        # A study without a field for seeds is run once as it is.
        seeds = range(self.first_seed, self.first_seed + self.seeds) if self.seeding.fields else ()
        return [Rung(0, {}, len(self.arms), tuple(seeds))]

    def trials(self, rung: Rung, arms: Sequence[int]) -> list[Trial]:
        """The runs of these arms on a rung."""
        return [
            Trial(rung.number, arm, seeds, config)
            for arm in arms
            for config, seeds in self.seeding.runs({**self.arms[arm], **rung.settings}, rung.seeds)
        ]

    def settings(self, arm: int) -> dict[str, Any]:
        """What tells the arm from others: its values of the fields that vary."""
        return {name: self.arms[arm][name] for name in self.space.fields()}

    @cached_property
    def runs(self) -> int:
        """How many runs the plan takes, if none fails."""
        return sum(len(self.trials(rung, range(rung.arms))) for rung in self.rungs)

    def check(self) -> None:
        """Raises ``UnweaveError`` for anything that could not be run, before the first run is submitted."""
        varied = [*self.space.fields(), *self.space.fixed, *self.baseline]
        for name in varied:
            if name in self.seeding.fields:
                raise UnweaveError(f"{name!r} is for seeds: say how many seeds, and the first, in its place")
        if self.seeds < 1 or self.first_seed < 0:
            raise UnweaveError(f"{self.seeds} seeds from {self.first_seed} on: give 1 or more, from 0 or more on")
        if self.halving is not None:
            self._check_halving(self.halving, varied)
        if self.runs > MOST_RUNS:
            raise UnweaveError(f"the sweep would take {self.runs:,} runs, and at most {MOST_RUNS:,} are taken")
        for rung in self.rungs:
            for trial in self.trials(rung, range(len(self.arms))):
                checked = plain_config(self.registered.configure(trial.config))
                if checked != json.loads(json.dumps(dict(trial.config))):
                    raise UnweaveError(f"study {self.study!r} changes the config {dict(trial.config)} when it reads it")

    def _check_halving(self, halving: Halving, varied: Sequence[str]) -> None:
        known = [each.name for each in self.registered.fields()]
        if halving.field not in known:
            raise UnweaveError(f"study {self.study!r} has no field {halving.field!r}; {nearest(halving.field, known)}")
        if halving.field in (*varied, *self.seeding.fields):
            raise UnweaveError(f"{halving.field!r} is what halving raises from rung to rung: leave it out of the rest")
        if self.measure is None:
            raise UnweaveError("halving chooses by a number: give a measure, TABLE.COLUMN or a logged metric")
        if self.seeding.first is None:
            raise UnweaveError(
                f"study {self.study!r} has no field for a run's first seed, and halving needs fresh seeds on each rung"
            )

    def _typed(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """What the study makes of values that may be text, so that what is launched is what was planned."""
        config = plain_config(self.registered.configure({**self.space.fixed, **settings}))
        return {name: config[name] for name in settings}

    @cached_property
    def _baseline_config(self) -> dict[str, Any]:
        strange = [name for name in self.baseline if name not in self.space.fields()]
        if strange:
            known = nearest(strange[0], self.space.fields())
            raise UnweaveError(f"the baseline sets {strange[0]!r}, which does not vary here; {known}")
        return plain_config(self.registered.configure({**self.space.fixed, **self.baseline}))


@dataclass(frozen=True)
class Cost:
    """What a plan would take: ``seconds`` of all runs together and ``wall`` as they fit on this machine, infinity where
    nobody knows; ``basis`` says where the numbers come from.
    """

    runs: int
    seconds: float
    wall: float
    tokens: float
    dollars: float
    at_once: int
    basis: str

    def line(self) -> str:
        """The cost as a sentence."""
        from unweave.base.progress import clock

        runs = f"{self.runs:,} run{'s' * (self.runs != 1)}, {self.at_once:,} at once"
        time = "for how long nobody knows yet" if math.isinf(self.wall) else f"about {clock(self.wall)} in all"
        spent = [f"{self.tokens:,.0f} tokens"] * bool(self.tokens) + [f"${self.dollars:,.2f}"] * bool(self.dollars)
        return f"{', '.join([f'{runs}, {time}', *spent])} ({self.basis})"


def estimate_cost(lab: Lab, plan: SweepPlan) -> Cost:
    """What ``plan`` would take on this machine, by its study, or by earlier runs of it."""
    from unweave.lab.queue.resources import machine

    total, wall, tokens, dollars, least, basis = 0.0, 0.0, 0.0, 0.0, math.inf, ""
    whole = machine(lab.root)
    for rung in plan.rungs:
        trials = plan.trials(rung, range(rung.arms))
        # Without a reckoning of the study's own every config is reckoned alike.
        looked = trials if plan.registered.needs is not None else trials[:1]
        found = [lab.queue.estimate(plan.study, trial.config) for trial in looked]
        basis = basis or found[0][1]
        needs = [one for one, _ in found] * (1 if len(looked) == len(trials) else len(trials))
        widths = [
            math.floor(getattr(whole, name) / getattr(need, name) + 1e-9)
            for need in needs
            for name in ("threads", "memory_gb", "gpu_gb")
            if getattr(need, name) > 0
        ]
        at_once = max(1, min([len(trials), *widths]))
        least = min(least, at_once)
        seconds = sum(need.seconds for need in needs)
        total += seconds
        wall += max(seconds / at_once, max(need.seconds for need in needs))
        tokens += sum(need.tokens for need in needs)
        dollars += sum(need.dollars for need in needs)
    return Cost(plan.runs, total, wall, tokens, dollars, int(least), basis)
