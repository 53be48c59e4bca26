"""What screening has shown: noise from repeats, and how probable it is that each candidate reaches every bar."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from unweave.lab.agent.builtin.surrogate import Mixture, Place, predict
from unweave.lab.agent.merit import merit, preferred
from unweave.lab.agent.plan import Arm, Plan
from unweave.lab.agent.planner import Results
from unweave.stats.noise import pooled_deviation
from unweave.studies.inquiry import Outcome

UNKNOWN = 0.2
"""How probable it is that a candidate of which nothing is known reaches the bars: to be tried, not ruled out."""


REACH = 1.0
"""Standard deviations within which a bar lies of what is expected of a setting far from all tried ones."""
LEAST_NOISE = 0.02
"""Of a bar: what a single run is never taken to be more exact than."""


@dataclass
class Screening:
    """The screening runs of a plan, read once a step."""

    plan: Plan
    results: Results

    def __post_init__(self) -> None:
        criterion = self.plan.criterion
        self.candidates = [arm for arm in self.plan.arms if arm.role == "candidate"]
        self.counted: tuple[Outcome, ...] = (criterion.effect, *(criterion.harms if criterion.harmless else ()))
        self._values: dict[str, dict[str, list[float]]] = {}
        self._seeds: dict[str, dict[str, dict[int, float]]] = {}
        self._shared_noise: dict[str, float] = {}
        self.nothing = {one.arm for one in self.results.measured if one.nothing and one.stage == "screen"}
        self.faulty = {one.arm for one in self.results.measured if one.fault and one.stage == "screen"}
        for one in self.results.measured:
            if one.stage == "screen":
                kept = self._values.setdefault(one.arm, {})
                for name, seeds in one.values.items():
                    kept.setdefault(name, []).extend(seeds.values())
                    self._seeds.setdefault(one.arm, {}).setdefault(name, {}).update(seeds)
        self.noise = {outcome.name: self._noise(outcome) for outcome in self.plan.outcomes()}
        self._predicted: _Predictions | None = None

    def tried(self, arm: str) -> bool:
        """Whether the arm was run, or cannot be."""
        return arm in self._values or arm in self.nothing or arm in self.faulty

    def count(self, arm: str) -> int:
        """Screening seeds of the arm so far."""
        return max((len(values) for values in self._values.get(arm, {}).values()), default=0)

    def mean(self, arm: str) -> dict[str, float]:
        """The mean of each outcome over the arm's screening seeds."""
        return {name: float(np.mean(values)) for name, values in self._values.get(arm, {}).items()}

    def merit(self, arm: str) -> float:
        """How good the arm looks by what the question prefers."""
        return merit(self.plan, self.mean(arm))

    def near(self, arm: str, best: str, errors: float) -> bool:
        """Whether ``arm`` is within so many standard errors of ``best``, both on the same text."""
        shares = [self._together(outcome) / self._scale(outcome) for outcome in preferred(self.plan)]
        error = max(shares, default=0.0) * math.sqrt(1 / max(1, self.count(arm)) + 1 / max(1, self.count(best)))
        return self.merit(arm) >= self.merit(best) - errors * error

    def _together(self, outcome: Outcome) -> float:
        """What repeats differ by beside what the same text does to every arm."""
        if outcome.name not in self._shared_noise:
            self._shared_noise[outcome.name] = self._residual(outcome.name)
        return self._shared_noise[outcome.name]

    def _residual(self, name: str) -> float:
        repeated = {arm: found[name] for arm, found in self._seeds.items() if len(found.get(name, {})) > 1}
        common = set.intersection(*(set(seeds) for seeds in repeated.values())) if len(repeated) > 1 else set()
        if len(common) < 2:
            return self.noise[name]
        grid = np.array([[found[seed] for seed in sorted(common)] for found in repeated.values()])
        residual = grid - grid.mean(0) - grid.mean(1, keepdims=True) + grid.mean()
        freedom = (grid.shape[0] - 1) * (grid.shape[1] - 1)
        return float(np.sqrt(np.square(residual).sum() / freedom)) * math.sqrt((freedom + 2) / freedom)

    def _scale(self, outcome: Outcome) -> float:
        return abs(outcome.bar) if outcome.bar and self._by_harm() else 1.0

    def passes(self, arm: str) -> bool:
        """Whether the means reach every bar."""
        found = self.mean(arm)
        return self.tried(arm) and all(
            outcome.name in found and (outcome.bar is None or outcome.reached(found[outcome.name]))
            for outcome in self.counted
        )

    def effect_probability(self, arm: str) -> float:
        """How probable it is that the arm, or group, reaches the effect's bar."""
        return self._own(arm, self.plan.criterion.effect)

    def probability(self, arm: str) -> float:
        """How probable it is that the candidate reaches every bar, from its own runs or else from its neighbours'."""
        if arm in self.nothing or arm in self.faulty:
            return 0.0
        if self.tried(arm):
            return math.prod(self._own(arm, outcome) for outcome in self.counted)
        return self._neighbourly(arm)

    def better_probability(self, arm: str, best: str | None) -> float:
        """How probable it is that an untried candidate reaches every bar and is better than ``best``."""
        found = self.probability(arm)
        predicted = self._prediction()
        if best is None or self.tried(arm) or arm not in predicted.asked:
            return found
        # Of several harms the greatest counts, so the arm must be better in each.
        bar = self.merit(best)
        for outcome in preferred(self.plan):
            if outcome.bar is None or self._by_harm():
                sign = 1.0 if outcome.better == "higher" else -1.0
                found *= predicted.beyond(arm, outcome, sign * bar * self._scale(outcome))
        return found

    def _by_harm(self) -> bool:
        return self.plan.criterion.prefer == "harm" and bool(self.plan.criterion.harms)

    def _own(self, arm: str, outcome: Outcome) -> float:
        if arm in self.nothing:
            return 0.0
        values = self._values.get(arm, {}).get(outcome.name, [])
        if not values:
            return 0.0
        if outcome.bar is None:
            return 1.0
        sign = 1.0 if outcome.better == "higher" else -1.0
        error = self.noise[outcome.name] / math.sqrt(len(values))
        return _normal(sign * (float(np.mean(values)) - outcome.bar) / max(error, 1e-9))

    def _noise(self, outcome: Outcome) -> float:
        name = outcome.name
        deviation, freedom = pooled_deviation(values[name] for values in self._values.values() if name in values)
        # Few repeats often show too little of it, and none where they are at the end of a range.
        least = LEAST_NOISE * abs(outcome.bar or 0.0)
        return max(deviation * math.sqrt((freedom + 2) / freedom) if freedom else 0.0, least)

    def _neighbourly(self, arm: str) -> float:
        predicted = self._prediction()
        if arm not in predicted.asked:
            return UNKNOWN
        barred = [(outcome, outcome.bar) for outcome in self.counted if outcome.bar is not None]
        return math.prod(predicted.beyond(arm, outcome, bar) for outcome, bar in barred)

    def _prediction(self) -> _Predictions:
        """Of untried candidates; only where an ordered field has a tried neighbour."""
        if self._predicted is None:
            places = {arm.name: place(self.plan, arm) for arm in self.candidates}
            seen = [arm.name for arm in self.candidates if self._values.get(arm.name)]
            known = {places[name].kind for name in seen}
            asked = [name for name in places if not self.tried(name) and places[name].kind in known]
            if not any(places[name].ranks for name in places) or len(seen) < 3:
                asked = []
            self._predicted = _Predictions(asked)
            if asked:
                for outcome in {one.name: one for one in (*self.counted, *preferred(self.plan))}.values():
                    self._predicted.mixtures[outcome.name] = self._mixture(outcome, places, seen, asked)
        return self._predicted

    def _mixture(self, outcome: Outcome, places: Mapping[str, Place], seen: list[str], asked: list[str]) -> Mixture:
        name = outcome.name
        having = [one for one in seen if name in self._values[one]]
        values = [float(np.mean(self._values[one][name])) for one in having]
        errors = [self.noise[name] / math.sqrt(len(self._values[one][name])) for one in having]
        # Were settings less different than this, the bar would be out of reach before anything is known.
        scale = abs(outcome.bar - float(np.mean(values))) / REACH if outcome.bar is not None else 0.0
        return predict([places[one] for one in having], values, errors, [places[one] for one in asked], scale)


@dataclass
class _Predictions:
    """What is expected of each candidate in ``asked``, by outcome."""

    asked: list[str]
    mixtures: dict[str, Mixture] = field(default_factory=dict)

    def beyond(self, arm: str, outcome: Outcome, bar: float) -> float:
        """The probability of being on the right side of ``bar``."""
        above = float(self.mixtures[outcome.name].above(bar)[self.asked.index(arm)])
        return above if outcome.better == "higher" else 1 - above


def place(plan: Plan, arm: Arm) -> Place:
    """Where an arm stands on the plan's axes."""
    ranks, kind = [], []
    for axis in plan.axes:
        value = arm.settings[axis.field]
        listed = [_plain(one) for one in axis.values]
        if axis.ordered and len(listed) > 2:
            ranks.append(listed.index(_plain(value)) / (len(listed) - 1))
        else:
            kind.append(str(_plain(value)))
    return Place(tuple(ranks), tuple(kind))


def spread_first(plan: Plan, arms: Sequence[Arm]) -> list[str]:
    """One candidate for each combination of the fields without an order, at ranks that are spread out."""
    kinds: dict[tuple[str, ...], list[tuple[tuple[float, ...], str]]] = {}
    for arm in arms:
        found = place(plan, arm)
        kinds.setdefault(found.kind, []).append((found.ranks, arm.name))
    chosen = []
    for number, members in enumerate(kinds.values()):
        # Steps of the golden ratio leave no part of the range out, however many there are.
        wanted = (0.5 + number * 0.618034) % 1.0
        chosen.append(min(members, key=lambda one: sum(abs(rank - wanted) for rank in one[0]))[1])
    return chosen


def _plain(value: object) -> object:
    return tuple(value) if isinstance(value, (list, tuple)) else value


def _normal(z: float) -> float:
    return 0.5 * math.erfc(-z / math.sqrt(2))
