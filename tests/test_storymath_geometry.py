"""Distances between emotions and between stories, which noise does not make."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import pdist, squareform
from story_arrays import Made

from unweave.base.errors import UnweaveError
from unweave.corpora.stories import EMOTIONS
from unweave.shapes.stories.geometry import (
    concept_distances,
    directions_held,
    human_distances,
    path_distances,
    readout_distances,
    state_distances,
)
from unweave.shapes.stories.human import VALENCE_AROUSAL, WORDS, valence_arousal


@pytest.fixture(scope="module")
def made():
    return Made()


def mixed(made, levels, width=40, seed=2, noise=1.0):
    """States [n, 1, width] to which each emotion's level adds along a direction of its own."""
    generator = np.random.default_rng(seed)
    directions = generator.standard_normal((levels.shape[1], width))
    return (levels @ directions + noise * generator.standard_normal((len(levels), width)))[:, None]


def test_emotions_that_are_read_alike_are_near():
    generator = np.random.default_rng(0)
    one = generator.standard_normal(400)
    readouts = np.stack([one, one + 0.1 * generator.standard_normal(400), -one], 1)
    found = readout_distances(readouts)
    assert found[0, 1] < 0.2
    assert found[0, 2] == pytest.approx(2)
    with pytest.raises(UnweaveError, match="1 emotions are read alike"):
        readout_distances(np.stack([one, np.ones(400)], 1))


def test_states_that_hold_emotions_have_their_geometry(made):
    levels = made.emotions()
    found = concept_distances(mixed(made, levels), levels, made.stories, made.topics, shuffles=99)
    assert found.r > 0.9
    assert found.p < 0.05
    apart = state_distances(mixed(made, levels), levels, made.stories, made.topics)[0]
    assert apart == pytest.approx(apart.T)
    assert np.diag(apart) == pytest.approx(np.zeros(6), abs=1e-12)


def test_random_states_have_no_geometry_of_emotions(made):
    # Any linear map of the levels, and so noise, copies some of their geometry: the test must not count it.
    levels = made.emotions()
    ps, rs = [], []
    for seed in range(30):
        states = np.random.default_rng(seed).standard_normal((made.n, 1, 60))
        found = concept_distances(states, levels, made.stories, made.topics, shuffles=99)
        ps.append(found.p)
        rs.append(found.r)
    assert sum(p <= 0.05 for p in ps) <= 4
    assert np.mean(rs) > 0.1


def test_states_hold_directions_that_topics_share_or_not(made):
    levels = made.emotions()
    assert directions_held(mixed(made, levels), levels, made.stories, made.topics, 199) == 1 / 200
    # Each topic has directions of its own, at right angles to the others'.
    generator = np.random.default_rng(0)
    directions = np.linalg.qr(generator.standard_normal((60, 60)))[0][:30].reshape(5, 6, 60)
    codes = [sorted(set(made.topics)).index(each) for each in made.topics]
    own = np.einsum("nc,ncd->nd", levels - levels.mean(0), directions[codes]) * 4
    own += generator.standard_normal(own.shape)
    assert directions_held(own[:, None], levels, made.stories, made.topics, 99) > 0.05


def test_states_whose_geometry_is_another_are_told_by_dealing_emotions(made):
    # The emotions are held, along directions that lie among each other as those of other emotions.
    levels = made.emotions()
    generator = np.random.default_rng(0)
    apart = 4 * np.linalg.qr(generator.standard_normal((40, 40)))[0][:6]
    free = levels @ np.linalg.inv(np.cov(levels.T))
    states = (free @ apart + 0.5 * generator.standard_normal((made.n, 40)))[:, None]
    found = concept_distances(states, levels, made.stories, made.topics, shuffles=99)
    assert directions_held(states, levels, made.stories, made.topics, 99) < 0.05
    assert found.p > 0.05


def test_layers_that_do_not_vary_have_no_r(made):
    levels = made.emotions()
    states = np.concatenate([np.ones((made.n, 1, 40)), mixed(made, levels)], 1)
    found = concept_distances(states, levels, made.stories, made.topics, shuffles=99)
    assert found.layer == 1
    assert found.by_layer[0] == 0
    nothing = concept_distances(states[:, :1], levels, made.stories, made.topics, shuffles=99)
    assert (nothing.r, nothing.p) == (0, 1)


def test_stories_that_are_read_alike_take_like_paths(made):
    levels = made.emotions()
    found = path_distances(mixed(made, levels), levels, made.stories, made.topics, shuffles=199)
    assert found.r > 0.5
    assert found.p == 1 / 200
    ps = [
        path_distances(
            np.random.default_rng(seed).standard_normal((made.n, 1, 10)), levels, made.stories, made.topics, shuffles=99
        ).p
        for seed in range(20)
    ]
    assert 0.25 < np.mean(ps) < 0.75
    assert sum(p <= 0.05 for p in ps) <= 4


def test_a_topic_alone_makes_no_like_paths(made):
    # Both the states and the readouts tell topics apart, and nothing inside a topic.
    generator = np.random.default_rng(4)
    topics = sorted(set(made.topics))
    code = np.eye(5)[[topics.index(each) for each in made.topics]]
    states = (6 * code @ generator.standard_normal((5, 10)) + generator.standard_normal((made.n, 10)))[:, None]
    readouts = 6 * code @ generator.standard_normal((5, 6)) + generator.standard_normal((made.n, 6))
    assert path_distances(states, readouts, made.stories, made.topics, shuffles=99).p > 0.05


def test_people_s_emotions_are_placed_by_pleasure_and_arousal():
    coordinates = valence_arousal()
    assert coordinates.shape == (6, 2)
    place = dict(zip(EMOTIONS, coordinates.tolist(), strict=True))
    assert place["happiness"] == [0.81, 0.51]
    assert place["sadness"] == [-0.63, -0.27]
    assert min(place, key=lambda name: place[name][1]) == "sadness"
    assert set(WORDS) == set(EMOTIONS)
    assert len(VALENCE_AROUSAL) >= 18
    assert np.abs(valence_arousal(list(VALENCE_AROUSAL))).max() <= 1
    with pytest.raises(UnweaveError, match="'hapy' has no valence and arousal in the table; nearest: 'happy'"):
        valence_arousal(["hapy"])


def test_people_agree_with_the_lexicon_on_valence():
    from unweave.corpora.stories import scored_words

    both = [(scored_words(word), place[0]) for word, place in VALENCE_AROUSAL.items()]
    pairs = np.array([(score[0][1], valence) for score, valence in both if score])
    assert len(pairs) >= 18
    assert np.corrcoef(pairs.T)[0, 1] > 0.85


def test_distances_are_held_against_people_s():
    coordinates = valence_arousal()
    generator = np.random.default_rng(0)
    near = squareform(pdist(coordinates @ generator.standard_normal((2, 30))))
    found = human_distances(near[None], coordinates)
    assert found.r > 0.8
    assert found.p < 0.05
