from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from sklearn.metrics import adjusted_rand_score

from unweave.base.errors import UnweaveError
from unweave.preferences.features.clusters import ClusterConfig, FeatureClusters
from unweave.preferences.features.topics import (
    Topics,
    cluster_topics,
    log_odds,
    name_topics,
    topic_activity,
    topic_count,
)

SUBJECTS = ("dragon castle knight", "rice soup oven", "gravity light atom")


def clusters_of(*members, features=20):
    return FeatureClusters(members, features, 100, features, 0.1, 0.5, ClusterConfig())


@pytest.fixture(scope="module")
def data():
    """Rows of three directions of activity, of very different lengths, and twelve that are nearly silent."""
    generator = np.random.default_rng(0)
    truth = generator.integers(3, size=240)
    centres = np.array([[5, 1, 0, 0.5], [0, 4, 1, 0], [1, 0, 3, 3.0]])
    activity = centres[truth] + 0.4 * np.abs(generator.standard_normal((240, 4)))
    activity *= np.exp(generator.standard_normal((240, 1)))
    activity[:12] = 1e-3 * generator.random((12, 4))
    return activity.astype(np.float32), truth


def test_topics_are_directions_not_sizes(data):
    activity, truth = data
    found = cluster_topics(activity, count=3)
    assert adjusted_rand_score(truth[12:], found.labels[12:]) > 0.97
    assert (found.labels[:12] == -1).all()
    assert (found.labels == -1).sum() == 12
    np.testing.assert_allclose(np.linalg.norm(found.centroids, axis=1), 1, rtol=1e-5)
    assert (np.diff(found.sizes()) <= 0).all()
    assert found.sizes().sum() == 228
    louder = cluster_topics(activity * np.linspace(1, 50, 240, dtype=np.float32)[:, None], count=3, silent=0.0)
    assert adjusted_rand_score(truth[12:], louder.labels[12:]) > 0.97


def test_closeness_is_the_cosine_with_the_own_centroid(data):
    activity, _ = data
    found = cluster_topics(activity, count=3)
    for topic in range(3):
        nearest = found.nearest(topic, 5)
        assert (found.labels[nearest] == topic).all()
        rows = np.flatnonzero(found.labels == topic)
        cosines = activity[rows] @ found.centroids[topic] / np.linalg.norm(activity[rows], axis=1)
        np.testing.assert_allclose(found.closeness[rows], cosines, rtol=1e-4)
        assert set(nearest) == set(rows[np.argsort(-cosines)[:5]])
    members = found.members().toarray()
    assert (members.sum(1) == (found.labels >= 0)).all()
    assert (members[np.arange(12, 240), found.labels[12:]]).all()


def test_the_same_seed_gives_the_same_topics(data):
    activity, _ = data
    assert np.array_equal(cluster_topics(activity, seed=4).labels, cluster_topics(activity, seed=4).labels)


def test_rows_without_any_activity_are_silent(data):
    activity = data[0].copy()
    activity[100:140] = 0
    found = cluster_topics(activity, count=3)
    assert (found.labels[100:140] == -1).all()
    assert (found.labels[140:] >= 0).all()


@pytest.mark.parametrize(("rows", "topics"), [(30, 1), (400, 8), (2500, 50), (246_849, 497), (10**7, 512)])
def test_the_number_of_topics_follows_the_rows(rows, topics):
    assert topic_count(rows) == topics


def test_activity_counts_both_replies_and_only_clustered_features():
    chosen, rejected = np.zeros((2, 20)), np.zeros((2, 20))
    chosen[0, [0, 1, 19]] = (0.5, 0.25, 1)
    rejected[0, 1], rejected[1, 7] = 0.5, 0.125
    found = topic_activity(sparse.csr_matrix(chosen), sparse.csr_matrix(rejected), clusters_of((0, 1), (5, 7)))
    np.testing.assert_array_equal(found, [[1.25, 0], [0, 0.125]])


def test_topics_are_named_by_words_that_others_lack():
    generator = np.random.default_rng(1)
    labels = generator.integers(-1, 3, size=120)
    prompts = [
        " ".join(["Tell me of the", *generator.permutation(SUBJECTS[label].split())[:2]]) if label >= 0 else "the, of"
        for label in labels
    ]
    prompts[int(np.flatnonzero(labels == 0)[0])] += " zebra zebra zebra zebra zebra"
    topics = Topics(labels, np.eye(3, dtype=np.float32), np.ones(120, np.float32), 0.0)
    named = name_topics(prompts, topics, words=3)
    for words, subject in zip(named, SUBJECTS, strict=True):
        assert set(words.words) == set(subject.split())
        assert min(words.z) > 3
        assert words.name == ", ".join(words.words)
    with pytest.raises(UnweaveError, match="119 prompts of 120 rows"):
        name_topics(prompts[1:], topics)
    assert [each.words for each in name_topics([""] * 120, topics)] == [()] * 3


def test_log_odds_by_hand():
    inside, outside, prior = np.array([8.0, 2.0]), np.array([5.0, 15.0]), np.array([1.0, 3.0])
    first = np.log(9 / (14 - 9)) - np.log(6 / (24 - 6))
    assert log_odds(inside, outside, prior)[0] == pytest.approx(first / np.sqrt(1 / 9 + 1 / 6))
    assert log_odds(inside, outside, prior)[1] < 0


def test_what_has_no_topics_is_refused(data):
    with pytest.raises(UnweaveError, match="give more rows"):
        cluster_topics(np.zeros((10, 3), np.float32))
    with pytest.raises(UnweaveError, match="500 topics"):
        cluster_topics(data[0], count=500)
    with pytest.raises(UnweaveError, match="silent 1"):
        cluster_topics(data[0], silent=1.0)
