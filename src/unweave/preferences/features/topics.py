"""What pairs are about: clusters of rows by the features of their replies, whichever side they fire on, with names.

Source: Bergen et al. 2026 (arXiv 2606.12360), feature-conditioned view. Rows are clustered on unsigned activity and
tested on signed differences, which avoids circularity.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, Int64

from unweave.base.errors import UnweaveError
from unweave.base.seeds import derive
from unweave.preferences.behaviours.reply_text import WORD
from unweave.preferences.features.clusters import FeatureClusters
from unweave.preferences.features.firings import Csr, column_sums, csr

SILENT = 0.05
"""Share of rows, those of least activity, that are of no topic."""
LEAST_ROWS, MOST_TOPICS = 50, 512
STARTS = 8


@dataclass(frozen=True)
class Topics:
    """Topics of rows, the largest first; -1 is the silent bucket."""

    labels: Int64[np.ndarray, " n"]
    centroids: Float32[np.ndarray, "k m"]
    """Of length 1."""
    closeness: Float32[np.ndarray, " n"]
    """Cosine of each row's activity with its topic's centroid; 0 in the silent bucket."""
    silent_below: float
    """Length of activity under which a row is silent."""

    def __len__(self) -> int:
        return len(self.centroids)

    def sizes(self) -> Int64[np.ndarray, " k"]:
        return np.bincount(self.labels[self.labels >= 0], minlength=len(self)).astype(np.int64)

    def members(self) -> Csr:
        """True where a row is of a topic, n x k."""
        rows = np.flatnonzero(self.labels >= 0)
        return csr((np.ones(len(rows), bool), (rows, self.labels[rows])), shape=(len(self.labels), len(self)))

    def nearest(self, topic: int, count: int) -> Int64[np.ndarray, " r"]:
        """The rows nearest to a topic's centroid, the nearest first."""
        rows = np.flatnonzero(self.labels == topic)
        return rows[np.argsort(-self.closeness[rows], kind="stable")[:count]]


@dataclass(frozen=True)
class TopicWords:
    """The words that most distinguish a topic's prompts from all others', with the z of their log-odds."""

    words: tuple[str, ...]
    z: tuple[float, ...] = field(repr=False)

    @property
    def name(self) -> str:
        return ", ".join(self.words)


def topic_activity(chosen: Csr, rejected: Csr, clusters: FeatureClusters) -> Float32[np.ndarray, "n m"]:
    """How much each cluster of features fires in both replies together: the sum of its features' firing frequencies."""
    return np.asarray(((chosen + rejected) @ clusters.indicator()).toarray(), np.float32)


def topic_count(rows: int) -> int:
    """One topic for every sqrt(rows) rows but at least 50, and no more than 512; the source has 512 for 246,849."""
    return int(np.clip(round(rows / max(LEAST_ROWS, rows**0.5)), 1, MOST_TOPICS))


def cluster_topics(
    activity: Float32[np.ndarray, "n m"], seed: int = 0, count: int | None = None, silent: float = SILENT
) -> Topics:
    """Spherical k-means of the rows of ``activity`` that are not among the ``silent`` share of least length.

    ``count`` topics at most, by default ``topic_count`` of the rows that are left; one that no row is nearest to is
    dropped. Raises ``UnweaveError`` where all rows are silent, and for a count that there are too few rows for.

    Source: mini-batch k-means of unit rows (Sculley 2010; scikit-learn), its centroids scaled to length 1.
    """
    from sklearn.cluster import MiniBatchKMeans

    if activity.ndim != 2 or not 0 <= silent < 1:
        raise UnweaveError(f"activity is {activity.shape} and silent {silent}: give [rows, clusters], and [0, 1)")
    lengths = np.linalg.norm(activity, axis=1)
    below = float(np.quantile(lengths, silent)) if len(lengths) else 0.0
    active = np.flatnonzero((lengths >= below) & (lengths > 0))
    count = topic_count(len(active)) if count is None else count
    if not 1 <= count <= len(active):
        raise UnweaveError(f"{count} topics of {len(active)} rows in which a cluster of features fires: give more rows")
    units = activity[active] / lengths[active, None]
    found = MiniBatchKMeans(
        count,
        n_init=STARTS,  # type: ignore[arg-type]
        batch_size=4096,
        random_state=derive(seed, "topics") % 2**32,
        reassignment_ratio=0.0,
    ).fit(units)
    centroids = found.cluster_centers_ / np.linalg.norm(found.cluster_centers_, axis=1, keepdims=True).clip(1e-12)
    cosines = units @ centroids.T
    nearest = cosines.argmax(1)
    sizes = np.bincount(nearest, minlength=count)
    order = np.argsort(-sizes, kind="stable")[: int((sizes > 0).sum())]
    place = np.full(count, -1, np.int64)
    place[order] = np.arange(len(order))
    labels, closeness = np.full(len(activity), -1, np.int64), np.zeros(len(activity), np.float32)
    labels[active], closeness[active] = place[nearest], cosines[np.arange(len(active)), nearest]
    return Topics(labels, centroids[order].astype(np.float32), closeness, below)


def name_topics(prompts: Sequence[str], topics: Topics, words: int = 4) -> tuple[TopicWords, ...]:
    """Words of each topic's prompts against all other prompts, silent ones too, the most distinguishing first.

    A word counts once a prompt. Only words that are more frequent in the topic are given, so there may be fewer.
    Raises ``UnweaveError`` where prompts are not as many as rows.

    Source: Monroe, Colaresi and Quinn 2008, "Fightin' Words", log-odds with an informative Dirichlet prior; the prior
    has as many words as an average topic.
    """
    if len(prompts) != len(topics.labels):
        raise UnweaveError(f"{len(prompts)} prompts of {len(topics.labels)} rows: give one a row")
    return distinguishing_words(prompts, topics.members(), words)


def distinguishing_words(texts: Sequence[str], members: Csr, words: int = 4) -> tuple[TopicWords, ...]:
    """Of each group (column of ``members``, n x k) the words that its texts have more often than all others.

    Groups may overlap. As ``name_topics``, whose source is here too.
    """
    from sklearn.feature_extraction.text import CountVectorizer

    groups = members.shape[1]
    # Words in another script are words too, so that the pattern is not scikit-learn's.
    vectoriser: Any = CountVectorizer(
        binary=True,
        analyzer=lambda text: WORD.findall(text.lower()),  # type: ignore[arg-type]
        dtype=np.float64,  # type: ignore[arg-type]
    )
    try:
        held: Csr = vectoriser.fit_transform(texts)
    except ValueError:  # no text has a word
        return tuple(TopicWords((), ()) for _ in range(groups))
    vocabulary, everywhere = vectoriser.get_feature_names_out(), column_sums(held)
    inside = np.asarray((members.T.astype(np.float64) @ held).todense())
    prior = everywhere / everywhere.sum() * max(inside.sum() / max(groups, 1), 1.0)
    named = []
    for counts in inside:
        z = log_odds(counts, everywhere - counts, prior)
        best = [int(each) for each in np.argsort(-z, kind="stable")[:words] if z[each] > 0 and counts[each] > 0]
        named.append(TopicWords(tuple(str(vocabulary[each]) for each in best), tuple(float(z[each]) for each in best)))
    return tuple(named)


def log_odds(
    inside: Float64[np.ndarray, " w"], outside: Float64[np.ndarray, " w"], prior: Float64[np.ndarray, " w"]
) -> Float64[np.ndarray, " w"]:
    """z of the difference of two groups' log-odds of each word (Monroe et al. 2008, equations 16, 20 and 22)."""

    def odds(counts: np.ndarray) -> np.ndarray:
        with_prior = counts + prior
        return np.log(with_prior) - np.log(counts.sum() + prior.sum() - with_prior)

    return (odds(inside) - odds(outside)) / np.sqrt(1 / (inside + prior) + 1 / (outside + prior))
