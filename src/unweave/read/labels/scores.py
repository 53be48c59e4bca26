"""How well labels say where features fire, over all features: intervals, and the control with dealt labels.

Labels are scored on held-out text: whole blocks of consecutive windows that the harvest set aside, of which no labeler
sees anything, so that a label is not scored on the other half of a sentence that it was made from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from unweave.base.seeds import numpy_generator
from unweave.read.labels.judges import Judge, answers
from unweave.read.labels.labeler import UNCLEAR, Label
from unweave.read.labels.scoring import ScoringSet, Trial
from unweave.stats.proportion import mean_of_shares, wilson_interval

CHANCE = 0.5


@dataclass(frozen=True)
class Score:
    """A balanced accuracy (or, for intruders, an accuracy) with its 95 % interval over examples, and its trials."""

    value: float
    low: float
    high: float
    trials: int


def balanced(judge: Judge, label: Label, trials: Sequence[Trial], fuzzing: bool = False) -> Score | None:
    """Mean balanced accuracy over trials; None without any, and where the judge cannot read the label.

    A label that is unclear scores 0.5.
    """
    if not trials:
        return None
    if label.confidence == UNCLEAR:
        return Score(CHANCE, CHANCE, CHANCE, len(trials))
    if not judge.can_read(label):
        return None
    # Every trial has as many contexts of either sort, so that the mean over trials is that over contexts.
    there, found, others, left = np.array(answers(judge, label, trials, fuzzing)).sum(0).tolist()
    interval = mean_of_shares([wilson_interval(found, there), wilson_interval(left, others)])
    return Score(interval.mean, interval.low, interval.high, len(trials))


def intruders(judge: Judge, trials: Sequence[Trial]) -> Score | None:
    """Share of intruders found; None without trials. Chance is 0.2."""
    if not trials:
        return None
    chosen = judge.intruder([trial.contexts for trial in trials])
    right = int(sum(trial.truth[each] for trial, each in zip(trials, chosen, strict=True)))
    interval = wilson_interval(right, len(trials))
    return Score(interval.mean, interval.low, interval.high, len(trials))


@dataclass(frozen=True)
class FeatureScores:
    """What one label scores; None where there are too few held-out examples or the judge cannot read the label."""

    detection: Score | None
    fuzzing: Score | None
    intruder: Score | None
    intruder_control: Score | None


def score_label(judge: Judge, label: Label, held: ScoringSet, control: bool = True) -> FeatureScores:
    """All scores of one label; its intruder control only with ``control``."""
    return FeatureScores(
        balanced(judge, label, held.detection),
        balanced(judge, label, held.fuzzing, fuzzing=True),
        intruders(judge, held.intruder),
        intruders(judge, held.strangers) if control else None,
    )


def dealt(rows: Sequence[int], seed: int) -> Mapping[int, int]:
    """Whose label each feature gets in the control: a random other one's, each label used once."""
    if len(rows) < 2:
        return {}
    order = numpy_generator(seed, "dealt labels").permutation(list(rows))
    return dict(zip(order.tolist(), np.roll(order, 1).tolist(), strict=True))
