"""Sets what methods leave open, on another label than the one removed: learning rates and where to stop."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import mean

import torch

from unweave.base.progress import Progress, Silent
from unweave.edit.adapters import Descent
from unweave.edit.measure import Yardstick, make_yardstick
from unweave.edit.methods import Method, Task
from unweave.edit.off_target import effects
from unweave.edit.setting import Setting
from unweave.edit.tuned import Tuning
from unweave.read.selection import Statistics

WINDOWS = 16


@dataclass(frozen=True)
class Trial:
    """One way to descend, tried on the tuning label: how far it ends from ln V, and the worst change elsewhere, nats.

    Both are means over seeds.
    """

    method: str
    budget: int
    descent: Descent
    distance: float
    worst_other: float

    @property
    def score(self) -> float:
        """What is made small: missing ln V by a nat is as bad as costing another label a nat."""
        return self.distance + max(0.0, self.worst_other)


def tuning_yardstick(setting: Setting, labels: Iterable[str]) -> Yardstick:
    """Windows of the tuning part for judging settings; a few of them may be among the loss windows, drawn by lot."""
    windows = {
        label: torch.as_tensor(setting.windows("tuning", label, WINDOWS, seed=-1, length=setting.window))
        for label in labels
    }
    return make_yardstick(setting.target, windows, setting.layer)


def try_descents(
    setting: Setting,
    statistics: Statistics,
    method: Method,
    budget: int,
    descents: Sequence[Descent],
    yardstick: Yardstick,
    seeds: int = 2,
    progress: Progress | None = None,
) -> list[Trial]:
    """Trains a method on the tuning label in each way and measures it on the tuning part."""
    found = []
    for descent in descents:
        tuning = Tuning(setting.label, {method.name: {budget: descent}}, 0)
        distances, worst = [], []
        for seed in range(seeds):
            made = method.function(Task(setting, statistics, tuning, budget, seed, progress or Silent()))
            measured = effects(setting.target, made.edit, yardstick, local=method.local)
            distances.append(abs(setting.ceiling - measured[setting.label].edited))
            worst.append(max(effect.change for label, effect in measured.items() if label != setting.label))
        found.append(Trial(method.name, budget, descent, mean(distances), mean(worst)))
    return found
