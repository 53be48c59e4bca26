"""From a config to everything that predictions start from, each step kept in the run's folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from unweave.base.errors import UnweaveError
from unweave.base.progress import Progress

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from jaxtyping import Float32

    from unweave.corpora.pairs.report import PairReport
    from unweave.corpora.pairs.source import PairSource
    from unweave.models.target import Target
    from unweave.preferences.evidence import Evidence
    from unweave.preferences.features.clusters import FeatureClusters
    from unweave.preferences.features.store import PairFeatures, ReplyFeatures
    from unweave.preferences.features.topics import Topics
    from unweave.preferences.skim import Skim
    from unweave.preferences.survey import Survey
    from unweave.record.run import Run
    from unweave.studies.preference_data import PreferenceData

SURVEY, STORE = "survey", "data"
SILENT = -1


@dataclass(frozen=True)
class PreferenceReading:
    """A dataset and the target's own replies, read; a row a pair that could be read, in the data's order."""

    target: Target
    source: PairSource
    checked: PairReport
    skim: Skim = field(repr=False)
    survey: Survey = field(repr=False)
    store: PairFeatures
    reference: ReplyFeatures
    clusters: FeatureClusters | None
    evidence: Evidence = field(repr=False)
    topics: Topics | None
    topic_names: tuple[str, ...] = field(repr=False)
    meanings: Mapping[str, str] = field(repr=False)
    """Of each column: what a behaviour measures, or the words of the replies in which a cluster fires."""
    left_out: Mapping[str, str]
    """What was not done, and why."""

    def __len__(self) -> int:
        return len(self.evidence)

    @property
    def labels(self) -> np.ndarray:
        """Each row's topic (n,), -1 in the silent bucket; all 0 where there are no topics."""
        import numpy as np

        return self.topics.labels if self.topics is not None else np.zeros(len(self), np.int64)

    def topic_name(self, number: int) -> str:
        if self.topics is None:
            return "all"
        return "silent" if number == SILENT else self.topic_names[number]


@contextmanager
def own_behaviours(path: str | None) -> Iterator[None]:
    """Registers the behaviours of a person's file, and takes them back at the end: other runs have their own.

    Raises ``UnweaveError`` for one that gives no number for an empty reply, before anything is read.
    """
    from unweave.preferences.behaviours.own_file import load_behaviours
    from unweave.preferences.behaviours.registry import forget_behaviours, score

    if path is None:
        yield
        return
    found = load_behaviours(path)
    try:
        score([""], names=list(found))
        yield
    finally:
        forget_behaviours(next(iter(found.values())).function.__module__)


def read_preferences(
    config: PreferenceData,
    folder: Path,
    source: PairSource,
    checked: PairReport,
    target: Target,
    run: Run | None,
    progress: Progress,
) -> PreferenceReading:
    """Reads the target's replies to some of the data's prompts, and all pairs; a repeated call goes on.

    ``folder`` is the run's; everything lies in its ``survey``.
    """
    from unweave.preferences.skim import skim_pairs
    from unweave.preferences.survey import MOST_GRADIENTS, NONE, Survey, SurveySettings
    from unweave.preferences.truth.answers import answer_questions

    place, stop = folder / SURVEY, run.stop_if_cancelled if run is not None else None
    skim = skim_pairs(source, config.questions, config.seed)
    if len(skim.questions) < 2:
        raise UnweaveError(f"{config.data} has {len(skim.questions)} prompt, and a prediction needs pairs of 2 or more")
    place.mkdir(parents=True, exist_ok=True)
    answers = answer_questions(
        target, skim.questions, place / "before.jsonl", config.samples, config.most, 1, progress, stop
    )
    settings = SurveySettings(
        layer=config.layer,
        features=config.features,
        latents=config.latents,
        kept=config.kept,
        epochs=config.sae_epochs,
        gradient=config.gradient,
        seed=config.seed,
    )
    survey = Survey(target, place, answers, settings, progress, stop)
    left_out = {}
    if config.features == NONE:
        left_out["feature clusters, topics and views"] = "features is none, so that no learned feature was read"
    survey.dictionary(lambda: _texts(target, skim))
    reference = survey.own("before", answers)
    store = survey.pairs(STORE, source)
    clusters = survey.clusters(reference, store)
    if clusters is not None and not len(clusters):
        left_out["feature clusters, topics and views"] = (
            f"no {clusters.config.least_members} features fire together more than chance has it in "
            f"{clusters.texts} replies ({clusters.considered} fire often enough to be looked at)"
        )
    clusters = clusters if clusters is not None and len(clusters) else None
    wanted = config.gradient if config.gradient is not None else store.rows <= MOST_GRADIENTS
    if not wanted:
        left_out["gradients"] = (
            "gradient is off"
            if config.gradient is False
            else f"{store.rows} pairs are more than the {MOST_GRADIENTS} that a backward pass each is taken for unasked"
        )
    pairs = list(source) if wanted else None
    evidence = survey.evidence(store, reference, clusters, pairs)
    topics, names = _topics(config, store, clusters, skim, left_out)
    meanings = _meanings(store.names, evidence, clusters, skim)
    return PreferenceReading(
        target,
        source,
        checked,
        skim,
        survey,
        store,
        reference,
        clusters,
        evidence,
        topics,
        names,
        meanings,
        left_out,
    )


def _texts(target: Target, skim: Skim) -> list[tuple[list[int], list[int]]]:
    """Prompts and replies of the sampled pairs as tokens, for features to be trained on."""
    from unweave.preferences.encoding import PairEncoder, choose_limits

    encoder = PairEncoder(target, choose_limits(target))
    return [
        (encoder.prompt(pair.prompt)[0], encoder.reply(text)[0])
        for pair in skim.sample.values()
        for text in (pair.chosen, pair.rejected)
    ]


def _topics(
    config: PreferenceData,
    store: PairFeatures,
    clusters: FeatureClusters | None,
    skim: Skim,
    left_out: dict[str, str],
) -> tuple[Topics | None, tuple[str, ...]]:
    from unweave.preferences.features.topics import cluster_topics, name_topics

    if clusters is None:
        return None, ()
    activity = both_sides(store, clusters)
    try:
        topics = cluster_topics(activity, config.seed)
    except UnweaveError as refusal:
        left_out["topics and the feature-conditioned view"] = str(refusal)
        return None, ()
    names: list[str] = []
    for number, found in enumerate(name_topics(skim.prompts, topics)):
        name = found.name or f"topic {number}"
        names.append(f"{name} ({number})" if name in names else name)
    return topics, tuple(names)


def both_sides(store: PairFeatures, clusters: FeatureClusters) -> Float32[np.ndarray, "n m"]:
    """How much each cluster of features fires in both replies together."""
    chosen, rejected = (store.cluster_frequency(side, clusters.members) for side in store.SIDES)
    return chosen + rejected


def _meanings(
    behaviours: tuple[str, ...], evidence: Evidence, clusters: FeatureClusters | None, skim: Skim
) -> dict[str, str]:
    import numpy as np

    from unweave.preferences.behaviours.registry import find_behaviours

    found = {each.name: each.meaning for each in find_behaviours(behaviours)}
    if clusters is None:
        return found
    rows = np.array(list(skim.sample))
    values = np.concatenate([side.values[rows][:, len(behaviours) :] for side in (evidence.chosen, evidence.rejected)])
    replies = [pair.chosen for pair in skim.sample.values()] + [pair.rejected for pair in skim.sample.values()]
    words = words_where(values, replies)
    return found | {f"cluster:{number}": each for number, each in enumerate(words)}


def words_where(values: Float32[np.ndarray, "n k"], replies: list[str]) -> list[str]:
    """Of each column (n, k) the words that distinguish the tenth of replies in which it is largest."""
    import numpy as np

    from unweave.preferences.features.firings import csr
    from unweave.preferences.features.topics import distinguishing_words

    bound = np.quantile(values, 0.9, axis=0)
    found = distinguishing_words(replies, csr((values > 0) & (values >= bound)))
    return [each.name or "no words of its own" for each in found]
