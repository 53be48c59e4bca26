"""Projections, neighbourhoods, and distances between emotions that noise does not make."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from scipy.spatial.distance import pdist, squareform
from sklearn.manifold import trustworthiness
from story_arrays import Made

from unweave.base.errors import UnweaveError
from unweave.corpora.stories import EMOTIONS
from unweave.shapes.stories.geometry import (
    concept_distances,
    fit_projection,
    human_distances,
    neighbourhood_preservation,
    path_distances,
    readout_distances,
    state_distances,
)
from unweave.shapes.stories.human import VALENCE_AROUSAL, WORDS, valence_arousal


@pytest.fixture(scope="module")
def made():
    return Made()


@pytest.fixture(scope="module")
def flat():
    generator = np.random.default_rng(0)
    return generator.standard_normal((80, 2)) @ generator.standard_normal((2, 20)) + 5


def mixed(made, levels, width=40, seed=2, noise=1.0):
    """States [n, 1, width] to which each emotion's level adds along a direction of its own."""
    generator = np.random.default_rng(seed)
    directions = generator.standard_normal((levels.shape[1], width))
    return (levels @ directions + noise * generator.standard_normal((len(levels), width)))[:, None]


def test_principal_axes_hold_a_flat_and_place_other_rows(flat):
    found = fit_projection(flat, 2)
    assert sum(found.explained) == pytest.approx(1)
    assert found.axes == tuple(f"PC{number} ({share:.0%})" for number, share in enumerate(found.explained, 1))
    places = found.apply(flat)
    assert pdist(places) == pytest.approx(pdist(flat))
    assert found.apply(flat[3:5]) == pytest.approx(places[3:5])
    # The mean is that of the fitted rows, whatever is placed.
    assert found.apply(flat.mean(0)[None]) == pytest.approx(np.zeros((1, 2)), abs=1e-9)


def test_axes_do_not_turn_round_with_the_order_of_rows(flat):
    assert fit_projection(flat, 2).apply(flat) == pytest.approx(fit_projection(flat[::-1], 2).apply(flat))


def test_projections_that_cannot_be_are_refused(flat, monkeypatch):
    with pytest.raises(UnweaveError, match="81 dimensions of 80 rows"):
        fit_projection(flat, 81)
    with pytest.raises(UnweaveError, match="width 3: this projection takes 20"):
        fit_projection(flat).apply(np.zeros((2, 3)))
    with pytest.raises(UnweaveError, match="no projection is named 'tsne'"):
        fit_projection(flat, way="tsne")
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(UnweaveError, match=r'pip install "unweave\[umap\]"'):
        fit_projection(flat, way="umap")


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_umap_keeps_neighbours_and_places_other_rows(flat):
    pytest.importorskip("umap")
    found = fit_projection(flat, 2, "umap")
    places = found.apply(flat)
    assert neighbourhood_preservation(flat, places, 5).trustworthiness > 0.9
    assert found.axes == ("UMAP 1", "UMAP 2")
    assert found.explained == ()
    near = found.apply(flat[:4] + 1e-6)
    assert np.abs(near - places[:4]).max() < 0.2 * np.ptp(places)


def test_neighbourhoods_are_as_scikit_learn_has_them(flat):
    generator = np.random.default_rng(1)
    low = flat[:, :2] + generator.standard_normal((80, 2))
    found = neighbourhood_preservation(flat, low, 6)
    assert found.trustworthiness == pytest.approx(trustworthiness(flat, low, n_neighbors=6))
    assert found.continuity == pytest.approx(trustworthiness(low, flat, n_neighbors=6))
    assert neighbourhood_preservation(flat, flat, 6)[:2] == (1, 1)


def test_neighbourhoods_of_chance_and_of_random_planes(flat):
    found = neighbourhood_preservation(flat, np.random.default_rng(2).standard_normal((80, 2)), 6)
    assert found.trustworthiness == pytest.approx(found.chance, abs=0.06)
    assert found.chance == pytest.approx(0.5, abs=0.05)
    wide = np.random.default_rng(3).standard_normal((80, 3)) @ np.diag([5.0, 4, 0.1])
    kept = neighbourhood_preservation(wide, fit_projection(wide, 2).apply(wide), 6)
    assert kept.chance < kept.random_plane < kept.trustworthiness


def test_sentences_of_ones_own_story_are_no_neighbours():
    # Stories are clumps; where they lie among each other is lost, which neighbours of the own story would hide.
    generator = np.random.default_rng(0)
    stories = np.repeat(np.arange(12), 8)
    high = 10 * generator.standard_normal((12, 5))[stories] + generator.standard_normal((96, 5))
    low = 10 * generator.standard_normal((12, 2))[stories] + generator.standard_normal((96, 2))
    assert neighbourhood_preservation(high, low, 7).trustworthiness > 0.75
    apart = neighbourhood_preservation(high, low, 7, stories)
    assert apart.trustworthiness == pytest.approx(0.5, abs=0.12)
    with pytest.raises(UnweaveError, match="50 neighbours of 88 rows"):
        neighbourhood_preservation(high, low, 50, stories)


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
    found = concept_distances(mixed(made, levels), levels, made.stories, made.topics)
    assert found.r > 0.9
    assert found.p < 0.05
    apart = state_distances(mixed(made, levels), levels, made.stories, made.topics)[0]
    assert apart == pytest.approx(apart.T)
    assert np.diag(apart) == pytest.approx(np.zeros(6), abs=1e-12)


def test_random_states_have_no_geometry_of_emotions(made):
    # Directions of the same sentences would copy the levels' own geometry from any states.
    levels = made.emotions()
    rs, ps = [], []
    for seed in range(30):
        states = np.random.default_rng(seed).standard_normal((made.n, 1, 60))
        found = concept_distances(states, levels, made.stories, made.topics)
        rs.append(found.r)
        ps.append(found.p)
    assert abs(np.mean(rs)) < 0.2
    assert sum(p <= 0.05 for p in ps) <= 5
    naive = np.random.default_rng(0).standard_normal((60, made.n)) @ (levels - levels.mean(0)) / levels.std(0)
    assert np.corrcoef(pdist(naive.T), squareform(readout_distances(levels)))[0, 1] > 0.8


def test_layers_that_do_not_vary_have_no_r(made):
    levels = made.emotions()
    states = np.concatenate([np.ones((made.n, 1, 40)), mixed(made, levels)], 1)
    found = concept_distances(states, levels, made.stories, made.topics, shuffles=99)
    assert found.layer == 1
    assert found.by_layer[0] == 0
    with pytest.raises(UnweaveError, match="do not vary at any of 1 layers"):
        concept_distances(states[:, :1], levels, made.stories, made.topics)


def test_stories_that_are_read_alike_take_like_paths(made):
    levels = made.emotions()
    found = path_distances(mixed(made, levels), levels, made.stories, made.topics, shuffles=199)
    assert found.r > 0.5
    assert found.p == 1 / 200
    ps = [
        path_distances(
            np.random.default_rng(seed).standard_normal((made.n, 1, 10)), levels, made.stories, made.topics, shuffles=99
        ).p
        for seed in range(10)
    ]
    assert sum(p <= 0.05 for p in ps) <= 2


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


def test_distances_are_held_against_people_s(made):
    coordinates = valence_arousal()
    generator = np.random.default_rng(0)
    near = squareform(pdist(coordinates @ generator.standard_normal((2, 30))))
    found = human_distances(near[None], coordinates)
    assert found.r > 0.8
    assert found.p < 0.05
    del made
