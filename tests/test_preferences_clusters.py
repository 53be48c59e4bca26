from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from sklearn.metrics import adjusted_rand_score, mutual_info_score

from unweave.base.errors import UnweaveError
from unweave.preferences.features import clusters as module
from unweave.preferences.features.clusters import (
    ClusterConfig,
    FeatureClusters,
    cluster_features,
    normalised_mutual_information,
)

TEXTS = 1500
SIZES = (14, 9, 6, 5)
CONFIG = ClusterConfig(top_share=0.05)


def planted(seed=0, noise=120, texts=TEXTS):
    """Blocks of features that fire in texts of one topic, among features that fire anywhere; block of each."""
    generator = np.random.default_rng(seed)
    labels = np.repeat([*range(len(SIZES)), -1], [*SIZES, noise])
    topic = generator.integers(len(SIZES) + 2, size=texts)
    rate = generator.uniform(0.02, 0.2, size=len(labels))
    chance = np.where(topic[:, None] == labels, 0.8, rate * 0.5)
    chance[:, labels < 0] = rate[labels < 0]
    return sparse.csr_matrix(generator.random(chance.shape) < chance), labels


def independent(seed=0, features=160, texts=TEXTS, spread=0.0):
    """Features that fire anywhere, in long texts more often than in short ones."""
    generator = np.random.default_rng(seed)
    length = np.exp(spread * generator.standard_normal(texts))[:, None]
    rate = generator.uniform(0.02, 0.3, size=features)
    return sparse.csr_matrix(generator.random((texts, features)) < np.clip(rate * length, 0, 0.95))


def test_planted_blocks_are_found():
    fired, labels = planted()
    found = cluster_features(fired, CONFIG)
    assert [len(each) for each in found.members] == sorted(SIZES, reverse=True)
    assert adjusted_rand_score(labels, found.labels()) > 0.95
    assert found.modularity > 0.5
    assert 0 < found.threshold < 1


@pytest.mark.parametrize("spread", [0.0, 0.4])
def test_independent_features_make_no_cluster(spread):
    for seed in range(4):
        assert len(cluster_features(independent(seed, spread=spread), CONFIG)) == 0


@pytest.mark.parametrize("what", ["texts", "features"])
def test_order_does_not_matter(what):
    fired, _ = planted(1)
    order = np.random.default_rng(3).permutation(fired.shape[what == "features"])
    found = cluster_features(fired, CONFIG)
    if what == "texts":
        moved, back = cluster_features(fired[order], CONFIG), np.arange(fired.shape[1])
    else:
        moved, back = cluster_features(fired[:, order], CONFIG), order
    again = {frozenset(int(back[each]) for each in members) for members in moved.members}
    assert again == {frozenset(members) for members in found.members}


def test_information_is_that_of_scikit_learn():
    generator = np.random.default_rng(0)
    a, b = generator.random(300) < 0.3, generator.random(300) < 0.6
    b |= a & (generator.random(300) < 0.5)
    found = normalised_mutual_information(*(np.array([x], float) for x in ((a & b).sum(), a.sum(), b.sum())), 300)
    expected = mutual_info_score(a, b) / np.sqrt(mutual_info_score(a, a) * mutual_info_score(b, b))
    assert found[0] == pytest.approx(expected)
    same, never = np.array([90.0]), np.array([0.0])
    assert normalised_mutual_information(same, same, same, 300)[0] == pytest.approx(1)
    assert normalised_mutual_information(never, never, same, 300)[0] == 0


@pytest.mark.parametrize("pairs", [1, 2000])
def test_blocks_and_dense_counts_change_nothing(monkeypatch, pairs):
    fired, _ = planted(2, noise=20, texts=400)
    config = ClusterConfig(top_share=0.1)
    whole = cluster_features(fired, config)
    assert len(whole) == len(SIZES)
    monkeypatch.setattr(module, "PAIRS", pairs)
    monkeypatch.setattr(module, "DENSE_TEXTS", 37)
    for density in (0.0, 1.0):
        monkeypatch.setattr(module, "DENSE", density)
        assert cluster_features(fired, config) == whole


def test_rare_and_frequent_features_are_not_considered():
    fired, labels = planted()
    with_more = sparse.hstack(
        [fired, np.eye(TEXTS, 6) @ np.ones((6, 6)), np.ones((TEXTS, 5)), np.zeros((TEXTS, 3))]
    ).tocsr()  # fmt: skip
    found = cluster_features(with_more, CONFIG)
    assert found.considered == len(labels)
    assert (found.labels()[len(labels) :] == -1).all()


def test_features_that_exclude_each_other_are_no_cluster():
    """Their mutual information is far above that of shuffled features, and they never fire together."""
    topic = np.random.default_rng(0).integers(4, size=TEXTS)
    fired = sparse.hstack([topic[:, None] == np.arange(4), independent(features=40)]).tocsr()
    assert len(cluster_features(fired, CONFIG)) == 0


def test_what_was_saved_is_loaded(tmp_path):
    fired, _ = planted()
    found = cluster_features(fired, CONFIG)
    found.save(tmp_path / "clusters.json")
    assert FeatureClusters.load(tmp_path / "clusters.json") == found
    (tmp_path / "other.json").write_text('{"members": [[1]]}')
    with pytest.raises(UnweaveError, match="holds no clusters"):
        FeatureClusters.load(tmp_path / "other.json")


def test_the_indicator_sums_features_by_cluster():
    fired, _ = planted()
    found = cluster_features(fired, CONFIG)
    sums = (fired.astype(np.float32) @ found.indicator()).toarray()
    for number, members in enumerate(found.members):
        np.testing.assert_array_equal(sums[:, number], np.asarray(fired[:, list(members)].sum(1)).ravel())


def test_what_cannot_be_clustered_is_refused():
    with pytest.raises(UnweaveError, match="cannot be seen firing together"):
        cluster_features(sparse.csr_matrix((1, 5)))
    assert len(cluster_features(sparse.csr_matrix((40, 5)))) == 0
    for settings in ({"top_share": 0.0}, {"least_members": 1}):
        with pytest.raises(UnweaveError):
            ClusterConfig(**settings)
