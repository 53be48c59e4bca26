from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from unweave.base.errors import UnweaveError
from unweave.preferences.features.clusters import ClusterConfig, FeatureClusters, cluster_features
from unweave.preferences.features.conditioned import feature_conditioned, signed_use
from unweave.preferences.features.leans import LeanConfig
from unweave.preferences.features.prompt_conditioned import PromptConfig, _directions, prompt_conditioned
from unweave.preferences.features.topics import cluster_topics, topic_activity

ROWS, TOPICS, SIZE = 700, 5, 8
STYLES = 3
FEATURES = (TOPICS + STYLES) * SIZE
UNITS = [f"pair {row}" for row in range(ROWS)]
LEANING = 1
"""The topic whose pairs prefer the first style."""
NO_FEW = LeanConfig(flips=39)


def made(seed=0, lean=0.6):
    """Prompts and replies with features of a topic, and replies with features of styles; topic 1 prefers style 0."""
    generator = np.random.default_rng(seed)
    topic = generator.integers(TOPICS, size=ROWS)
    replies = {}
    for side in ("chosen", "rejected"):
        style = generator.random((ROWS, STYLES)) < 0.4
        if side == "chosen":
            style[topic == LEANING, 0] |= generator.random((topic == LEANING).sum()) < lean
        on = np.concatenate([topic[:, None] == np.arange(TOPICS), style], axis=1)
        replies[side] = firing(generator, on)
    prompts = firing(generator, topic[:, None] == np.arange(TOPICS), extra=STYLES * SIZE)
    return prompts, replies["chosen"], replies["rejected"], topic


def firing(generator, on, extra=0):
    """Each block's eight features fire often where it is on, and seldom elsewhere, on some share of the tokens."""
    chance = np.where(np.repeat(on, SIZE, axis=1), 0.7, 0.04)
    chance = np.concatenate([chance, np.full((len(on), extra), 0.04)], axis=1)
    frequency = generator.integers(1, 10, size=chance.shape) / 40
    return sparse.csr_matrix(np.where(generator.random(chance.shape) < chance, frequency, 0).astype(np.float32))


def view(prompts, chosen, rejected, clusters):
    topics = cluster_topics(topic_activity(chosen, rejected, clusters)[:, :TOPICS], count=TOPICS)
    signed = signed_use(chosen, rejected, clusters)
    return topics, feature_conditioned(signed, topics, clusters, UNITS, NO_FEW)


@pytest.fixture(scope="module")
def data():
    return made()


@pytest.fixture(scope="module")
def clusters():
    """The truth, in the order topics, styles."""
    members = tuple(tuple(range(at, at + SIZE)) for at in range(0, FEATURES, SIZE))
    return FeatureClusters(members, FEATURES, ROWS, FEATURES, 0.1, 0.5, ClusterConfig())


def test_the_use_is_the_share_of_features_and_turns_over(data, clusters):
    _, chosen, rejected, _ = data
    found = signed_use(chosen, rejected, clusters, above=0.05)
    members = list(clusters.members[6])
    expected = (chosen[:, members].toarray() > 0.05).mean(1) - (rejected[:, members].toarray() > 0.05).mean(1)
    np.testing.assert_allclose(found[:, 6], expected, atol=1e-6)
    np.testing.assert_allclose(signed_use(rejected, chosen, clusters, above=0.05), -found, atol=1e-6)


def test_clusters_and_the_lean_are_found_from_firings_alone(data):
    """From features to a shown lean with nothing told: clusters, topics, and the one planted preference."""
    _, chosen, rejected, topic = data
    found = cluster_features(sparse.vstack([chosen, rejected]).tocsr(), ClusterConfig(top_share=0.15))
    blocks = {tuple(range(at, at + SIZE)) for at in range(0, FEATURES, SIZE)}
    assert set(found.members) == blocks
    topics = cluster_topics(topic_activity(chosen, rejected, found), count=TOPICS)
    table = feature_conditioned(signed_use(chosen, rejected, found), topics, found, UNITS, NO_FEW)
    leans = table.leans()
    assert leans
    style = found.members.index(tuple(range(TOPICS * SIZE, (TOPICS + 1) * SIZE)))
    for lean in leans:
        assert lean.column == style
        assert (topic[topics.labels == lean.group] == LEANING).mean() > 0.9
    assert table.overall[style] > 0.03


def test_the_planted_preference_is_the_only_one_shown(data, clusters):
    prompts, chosen, rejected, topic = data
    topics, table = view(prompts, chosen, rejected, clusters)
    shown = {
        (int(np.bincount(topic[topics.labels == lean.group]).argmax()), lean.column) for lean in table.leans("chosen")
    }
    assert shown == {(LEANING, TOPICS)}
    assert (topics.labels == -1).any()
    assert table.sizes.sum() == (topics.labels >= 0).sum()


def test_exchanged_replies_turn_every_lean_over(data, clusters):
    prompts, chosen, rejected, _ = data
    _, table = view(prompts, chosen, rejected, clusters)
    _, swapped = view(prompts, rejected, chosen, clusters)
    np.testing.assert_allclose(swapped.delta, -table.delta, atol=1e-6)
    np.testing.assert_array_equal(swapped.shown, table.shown)


def test_without_a_preference_nothing_is_shown(clusters):
    for seed in (11, 12, 13):
        prompts, chosen, rejected, _ = made(seed, lean=0.0)
        assert not view(prompts, chosen, rejected, clusters)[1].leans()
        assert not prompt_conditioned(prompts, chosen, rejected, UNITS, leans=NO_FEW).table.leans()


@pytest.mark.parametrize("binary", [True, False])
def test_the_prompts_that_push_are_found(data, binary):
    prompts, chosen, rejected, topic = data
    config = PromptConfig(rows=100, binary=binary)
    found = prompt_conditioned(prompts, chosen, rejected, UNITS, config, LeanConfig(flips=39, least_features=3))
    leans = found.table.leans("chosen")
    assert leans
    for lean in leans:
        rows = found.members[:, [lean.group]].toarray().ravel()
        assert (topic[rows] == LEANING).mean() > 0.8
        blocks = np.array(found.response_clusters[lean.column]) // SIZE
        assert np.bincount(blocks).argmax() == TOPICS
    assert found.members.sum(0).max() <= 100
    turned = prompt_conditioned(prompts, rejected, chosen, UNITS, config, LeanConfig(flips=39, least_features=3))
    assert turned.response_clusters == found.response_clusters
    np.testing.assert_allclose(turned.table.delta, -found.table.delta, atol=1e-5)


def test_prompt_clusters_are_blocks_that_fire_together(data):
    prompts, chosen, rejected, _ = data
    found = prompt_conditioned(prompts, chosen, rejected, UNITS, PromptConfig(sample=400), NO_FEW)
    frequent = np.flatnonzero(np.asarray((prompts > 0).sum(0)).ravel() >= PromptConfig().count_of(ROWS))
    assert sorted(each for members in found.prompt_clusters for each in members) == frequent.tolist()
    whole = [set(members) for members in found.prompt_clusters]
    for at in range(0, TOPICS * SIZE, SIZE):
        block = set(range(at, at + SIZE))
        assert sum(bool(block & members) for members in whole) == 1


def test_features_are_placed_as_dense_standardised_columns_are(data):
    values = data[0][:, :30]
    placed = _directions(values, PromptConfig(dimensions=6), "prompt")
    dense = values.toarray().astype(np.float64)
    _, sizes, right = np.linalg.svd((dense - dense.mean(0)) / dense.std(0), full_matrices=False)
    expected = (sizes[:6, None] * right[:6]).T
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(placed @ placed.T, expected @ expected.T, atol=1e-5)


def test_rare_and_constant_features_are_not_looked_at(data):
    prompts, chosen, rejected, _ = data
    more = sparse.csr_matrix((ROWS, 2), dtype=np.float32)
    always = sparse.csr_matrix(np.full((ROWS, 1), 0.5, np.float32))
    wide = [sparse.hstack([each, more, always]).tocsr() for each in (prompts, chosen, rejected)]
    found = prompt_conditioned(*wide, UNITS, leans=NO_FEW)
    assert max(max(members) for members in found.response_clusters) < FEATURES
    assert FEATURES not in {each for members in found.prompt_clusters for each in members}
    with pytest.raises(UnweaveError, match="lower least_count"):
        prompt_conditioned(prompts, chosen, rejected, UNITS, PromptConfig(least_count=ROWS))


def test_what_does_not_match_is_refused(data, clusters):
    prompts, chosen, rejected, _ = data
    with pytest.raises(UnweaveError, match="same rows"):
        signed_use(chosen, rejected[1:], clusters)
    with pytest.raises(UnweaveError, match="give one a row"):
        prompt_conditioned(prompts[1:], chosen, rejected, UNITS)
    topics = cluster_topics(topic_activity(chosen, rejected, clusters), count=TOPICS)
    with pytest.raises(UnweaveError, match="give one a row"):
        feature_conditioned(signed_use(chosen, rejected, clusters)[1:], topics, clusters, UNITS)
    with pytest.raises(UnweaveError, match="rows is 0"):
        PromptConfig(rows=0)
