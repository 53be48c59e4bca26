"""Projections of states, and how far they keep neighbours."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from sklearn.manifold import trustworthiness

from unweave.base.errors import UnweaveError
from unweave.shapes.stories.projection import fit_projection, neighbourhood_preservation


@pytest.fixture(scope="module")
def flat():
    generator = np.random.default_rng(0)
    return generator.standard_normal((80, 2)) @ generator.standard_normal((2, 20)) + 5


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
