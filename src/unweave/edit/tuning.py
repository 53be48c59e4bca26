"""Sets what methods leave open, on another label than the one removed: stopping level, learning rates, steps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import mean

import torch

from unweave.base.progress import Progress, Silent
from unweave.edit.adapters import Descent
from unweave.edit.edits import FactorEdit, applied
from unweave.edit.line_search import Probe, expected_level, search
from unweave.edit.measure import Yardstick, make_yardstick, measure
from unweave.edit.methods import Method, Task
from unweave.edit.off_target import effects
from unweave.edit.setting import Setting
from unweave.edit.tuned import Tuning
from unweave.read.selection import Statistics

STOP_SEEDS = 9
WINDOWS = 16
AIM = 0.98
"""Where the calibration puts the realised cross-entropy, in ln V: just short, since past ln V only harm is added."""


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
    """Held-out windows of the tuning part, for judging settings; no loss text is drawn from their end."""
    windows = {
        label: torch.as_tensor(setting.windows("tuning", label, WINDOWS, seed=-1, length=setting.window))
        for label in labels
    }
    return make_yardstick(setting.target, windows, setting.layer)


def calibrate_stop(
    setting: Setting, budget: int = 4, seeds: int = STOP_SEEDS, progress: Progress | None = None
) -> tuple[float, int]:
    """The stopping level, in units of ln V, that leaves the label's realised cross-entropy at ``AIM``; and the tokens.

    On the tuning label's own text the factor is found whose realised cross-entropy is there; the level that the
    stopping rule expects there, from each seed's loss tokens, is read off, and the median over seeds is the stop.
    """
    progress = progress or Silent()
    label = setting.label
    windows = torch.as_tensor(setting.windows("tuning", label, WINDOWS, seed=-1, length=setting.window))
    yardstick = make_yardstick(setting.target, {label: windows}, setting.layer)
    edit = FactorEdit.on_pieces([(setting.piece(), 1.0)], setting.target.identity.digest)

    def realised(strength: float) -> Probe:
        with applied(setting.target, edit.with_factor(1.0 + strength)):
            return Probe(strength, measure(setting.target, yardstick.prefixes[label]).mean()[0], 0.0)

    strength = search(realised, AIM * setting.ceiling).strength
    reference = setting.reference(setting.piece())
    levels, tokens = [], windows.numel()
    for seed in range(seeds):
        objective = setting.objective(budget, seed)
        tokens += objective.removed.tokens_seen + objective.retained.tokens_seen
        levels.append(expected_level(setting.target, edit, objective, reference, strength).level)
        progress.update(seed + 1, seeds, "stopping level")
    return float(torch.tensor(levels).median()) / setting.ceiling, tokens


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
        tuning = Tuning(setting.label, 1.0, {method.name: {budget: descent}}, 0)
        distances, worst = [], []
        for seed in range(seeds):
            made = method.function(Task(setting, statistics, tuning, budget, seed, progress or Silent()))
            measured = effects(setting.target, made.edit, yardstick, local=method.local)
            distances.append(abs(setting.ceiling - measured[setting.label].edited))
            worst.append(max(effect.change for label, effect in measured.items() if label != setting.label))
        found.append(Trial(method.name, budget, descent, mean(distances), mean(worst)))
    return found


def with_stop(tuning: Tuning, stop: float, tokens: int, label: str) -> Tuning:
    """The same learning rates under another stopping level."""
    return replace(tuning, stop=stop, tokens=tuning.tokens + tokens, label=label)
