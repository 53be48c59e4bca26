"""From trained datasets to what was foreseen: predictions and observations of every dataset in the same columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np

    from unweave.preferences.evidence import Evidence, Prediction, Replies
    from unweave.preferences.features.clusters import FeatureClusters
    from unweave.preferences.features.store import ReplyFeatures
    from unweave.preferences.made.dataset import MadeDataset
    from unweave.preferences.predictors.standing import Standing
    from unweave.preferences.survey import Survey
    from unweave.preferences.truth.answers import Answered
    from unweave.preferences.truth.bench import Outcome
    from unweave.preferences.truth.observed import Observed

LEADING = "consensus"
"""What claims and controls are about: on a real model it foresaw best (``docs/results/preferences.md``)."""


@dataclass(frozen=True)
class Foreseen:
    """One training of a dataset: what was predicted from it, with and without its planted rows, and what it did."""

    made: MadeDataset
    seed: int
    """Of the training; what is predicted is the same for all of a dataset's."""
    outcome: Outcome
    evidence: Evidence = field(repr=False)
    predictions: tuple[Prediction, ...] = field(repr=False)
    unplanted: tuple[Prediction, ...] = field(repr=False)
    """The same from the rows that no fault changed; those of all rows where none was."""
    standing: Standing = field(repr=False)
    observed: Observed = field(repr=False)


def foresee(
    survey: Survey,
    pool: Sequence[Answered],
    questions: int,
    trained: Sequence[tuple[MadeDataset, int, Outcome]],
) -> tuple[list[Foreseen], FeatureClusters | None]:
    """Predictions from every dataset and observations of every training, with its seed.

    The first ``questions`` of those that were answered count.
    """
    from unweave.preferences.truth.answers import reply_tokens

    survey.dictionary(lambda: reply_tokens(survey.target, pool))
    pooled = survey.own("pool", pool)
    before = survey.own("before", survey.answers)
    clusters = survey.clusters(pooled, before)
    said: dict[str, _Said] = {}
    found = []
    for made, seed, outcome in trained:
        if made.name not in said:
            store = survey.pairs(made.name, made.pairs)
            said[made.name] = _say(made, survey.evidence(store, before, clusters, made.pairs))
        after = survey.own(f"{made.name}-{seed}", outcome.after[:questions])
        observed = _observe(said[made.name].evidence, after, clusters)
        found.append(Foreseen(made, seed, outcome, *said[made.name], observed))
        survey.progress.say(f"{made.name}, seed {seed}: predicted and observed in {len(observed.names)} columns")
    return found, clusters


class _Said(NamedTuple):
    """What is known of a dataset before any training on it."""

    evidence: Evidence
    predictions: tuple[Prediction, ...]
    unplanted: tuple[Prediction, ...]
    standing: Standing


def _say(made: MadeDataset, evidence: Evidence) -> _Said:
    import numpy as np

    from unweave.preferences.predictors.registry import predict
    from unweave.preferences.predictors.standing import standing_of

    predictions = tuple(predict(evidence))
    kept = np.setdiff1d(np.arange(len(evidence)), made.key.planted)
    unplanted = predictions if len(kept) == len(evidence) else tuple(predict(rows_of(evidence, kept)))
    return _Said(evidence, predictions, unplanted, standing_of(evidence, LEADING))


def _observe(evidence: Evidence, after: ReplyFeatures, clusters: FeatureClusters | None) -> Observed:
    from unweave.preferences.truth.observed import observe

    return observe(
        evidence.names,
        evidence.reference.values,
        evidence.reference_groups,
        after.replies("reply", clusters.members if clusters is not None else ()).values,
        after.groups,
        evidence.spread,
    )


def rows_of(evidence: Evidence, rows: np.ndarray) -> Evidence:
    """The same evidence from some of the pairs."""
    return replace(
        evidence,
        chosen=_rows(evidence.chosen, rows),
        rejected=_rows(evidence.rejected, rows),
        groups=evidence.groups[rows],
        gradient=None if evidence.gradient is None else evidence.gradient[rows],
    )


def _rows(replies: Replies, rows: np.ndarray) -> Replies:
    return replace(
        replies,
        values=replies.values[rows],
        tokens=replies.tokens[rows],
        embedding=replies.embedding[rows],
        words=replies.words[rows],
    )


def by_dataset(
    found: Sequence[Foreseen], mixtures: Sequence[str], planted: bool = True
) -> tuple[dict[str, list[Prediction]], dict[str, list[Observed]]]:
    """What was predicted of each of these mixtures, and what its trainings, in order, were seen to do."""
    predictions: dict[str, list[Prediction]] = {}
    observed: dict[str, list[Observed]] = {}
    for each in found:
        name = each.made.key.mixture.name
        if name in mixtures:
            predictions[name] = list(each.predictions if planted else each.unplanted)
            observed.setdefault(name, []).append(each.observed)
    return predictions, observed


def true_mixtures(found: Sequence[Foreseen]) -> list[str]:
    """Mixtures whose labels are the rater's own, in order."""
    return list(dict.fromkeys(f.made.key.mixture.name for f in found if f.made.key.mixture.labels == "true"))


def prediction_of(predictions: Sequence[Prediction], name: str) -> Prediction | None:
    return next((each for each in predictions if each.predictor == name), None)


def recipe(settings: Mapping[str, object]) -> dict[str, object]:
    """What a calibration is bound to: all of a training's settings but its seed."""
    return {name: value for name, value in settings.items() if name != "seed"}
