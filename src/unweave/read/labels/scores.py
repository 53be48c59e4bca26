"""How well labels say where features fire, over all features: intervals, and the control with dealt labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from unweave.base.seeds import numpy_generator
from unweave.read.labels.judges import Judge, answers
from unweave.read.labels.labeler import UNCLEAR, Label
from unweave.read.labels.scoring import ScoringSet, Trial

CHANCE = 0.5
RESAMPLES = 2000


@dataclass(frozen=True)
class Score:
    """A balanced accuracy (or, for intruders, an accuracy) with its 95 % interval over examples, and its trials."""

    value: float
    low: float
    high: float
    trials: int


def balanced(judge: Judge, label: Label, trials: Sequence[Trial], seed: int, fuzzing: bool = False) -> Score | None:
    """Mean balanced accuracy over trials; None without any. A label that is unclear scores 0.5."""
    if not trials:
        return None
    if label.confidence == UNCLEAR:
        return Score(CHANCE, CHANCE, CHANCE, len(trials))
    told = np.array(answers(judge, label, trials, fuzzing))
    value = float((told[:, 1] / told[:, 0] + told[:, 3] / told[:, 2]).mean() / 2)
    there, found, others, left = told.sum(0)
    # The bootstrap of a share of yes and no answers is binomial.
    generator = numpy_generator(seed, "balanced accuracy")
    drawn = generator.binomial(there, found / there, RESAMPLES) / there
    drawn = (drawn + generator.binomial(others, left / others, RESAMPLES) / others) / 2
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Score(value, float(low), float(high), len(trials))


def intruders(judge: Judge, trials: Sequence[Trial], seed: int) -> Score | None:
    """Share of intruders found; None without trials. Chance is 0.2."""
    if not trials:
        return None
    chosen = judge.intruder([trial.contexts for trial in trials])
    right = int(sum(trial.truth[each] for trial, each in zip(trials, chosen, strict=True)))
    drawn = numpy_generator(seed, "intruders").binomial(len(trials), right / len(trials), RESAMPLES) / len(trials)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Score(right / len(trials), float(low), float(high), len(trials))


@dataclass(frozen=True)
class FeatureScores:
    """What one label scores; None where there are too few held-out examples."""

    detection: Score | None
    fuzzing: Score | None
    intruder: Score | None
    intruder_control: Score | None


def score_label(judge: Judge, label: Label, held: ScoringSet, seed: int = 0) -> FeatureScores:
    """All scores of one label."""
    return FeatureScores(
        balanced(judge, label, held.detection, seed),
        balanced(judge, label, held.fuzzing, seed, fuzzing=True),
        intruders(judge, held.intruder, seed),
        intruders(judge, held.strangers, seed),
    )


def dealt(rows: Sequence[int], seed: int) -> Mapping[int, int]:
    """Whose label each feature gets in the control: a random other one's, each label used once."""
    if len(rows) < 2:
        return {}
    order = numpy_generator(seed, "dealt labels").permutation(list(rows))
    return dict(zip(order.tolist(), np.roll(order, 1).tolist(), strict=True))
