"""Probes find what is in states, find nothing in noise, and never see the topic that they are tested on."""

from __future__ import annotations

import numpy as np
import pytest
from story_arrays import Made

from unweave.base.errors import UnweaveError
from unweave.shapes.stories.held_out import Solved, as_they_are, hold_out, standardised
from unweave.shapes.stories.probes import correlations, fit_probe, probe_by_layer


@pytest.fixture(scope="module")
def made():
    return Made()


def probed(made, states, gold, **options):
    return probe_by_layer(states, gold, made.stories, made.topics, **{"shuffles": 39, **options})


def test_ridge_in_the_space_of_rows_is_ridge():
    from sklearn.linear_model import Ridge

    generator = np.random.default_rng(0)
    features, targets = generator.standard_normal((30, 8)), generator.standard_normal((30, 3))
    train = np.arange(30) < 20
    solved = Solved(as_they_are(features), train, targets)
    centred = features[train] - features[train].mean(0)
    penalty = 0.01
    alpha = penalty * (centred**2).sum()
    right = Ridge(alpha=alpha).fit(features[train], targets[train])
    rows = np.flatnonzero(~train)
    assert solved.decode(solved.coordinates(rows), penalty) == pytest.approx(right.predict(features[rows]), abs=1e-4)
    assert solved.weights(np.full(3, penalty)) == pytest.approx(right.coef_.T, abs=1e-4)


def test_the_layer_that_holds_valence_is_chosen_and_decoded(made):
    generator = np.random.default_rng(5)
    empty = generator.standard_normal((made.n, 1, 24))
    states = np.concatenate([empty, made.states(strength=2)], 1)
    found = probed(made, states, made.valence[:, None], layers=(4, 9))
    assert set(found.chosen_layers.values()) == {9}
    assert set(found.chosen_layers) == set(made.topics)
    assert found.best_after_the_fact == 9
    assert found.chosen.r[0] > 0.9
    assert found.chosen.rmse[0] < 0.5 * found.baselines["mean"].rmse[0]
    assert found.p[0] == 1 / 40
    assert found.by_layer[0].r[0] < found.threshold[0, 0] + 0.1
    assert found.by_layer[1].decoded == pytest.approx(found.chosen.decoded)


def test_states_of_noise_are_as_rarely_significant_as_said(made):
    ps = []
    for seed in range(8):
        states = np.random.default_rng(100 + seed).standard_normal((made.n, 2, 10))
        found = probed(made, states, made.valence[:, None], shuffles=19, seed=seed)
        ps.append(found.p[0])
        # The mean of other topics is what a probe of nothing comes to.
        assert found.chosen.rmse[0] == pytest.approx(found.baselines["mean"].rmse[0], rel=0.06)
    assert 0.2 < np.mean(ps) < 0.8
    assert sum(p <= 0.05 for p in ps) <= 2


def test_states_that_give_only_the_topic_away_do_not_help(made):
    # Valence of each topic lies at another level, and the states name the topic: within topics there is nothing.
    topics = sorted(set(made.topics))
    code = np.eye(5)[[topics.index(each) for each in made.topics]]
    gold = (code @ np.arange(5.0))[:, None] + np.random.default_rng(0).standard_normal((made.n, 1))
    found = probed(made, 5 * code[:, None], gold)
    assert abs(found.chosen.r[0]) < 0.15
    assert found.chosen.rmse[0] > 0.9 * found.baselines["mean"].rmse[0]


def test_a_topic_is_decoded_by_fits_that_never_saw_it(made):
    gold = made.valence[:, None]
    states = standardised(made.states()[:, 0])
    before = hold_out([states], gold[:, None], made.stories, made.topics)
    tested = np.array([each == "sea" for each in made.topics])
    turned = np.where(tested[:, None], -7 * gold, gold)
    after = hold_out([states], turned[:, None], made.stories, made.topics)
    assert after.decoded[0, tested] == pytest.approx(before.decoded[0, tested], abs=1e-5)
    assert np.abs(after.decoded[0, ~tested] - before.decoded[0, ~tested]).max() > 0.1
    # What calibrates the probe of a topic was not told of it either.
    fold = before.topics.index("sea")
    kept = np.flatnonzero(~tested)
    assert after.inner[0, fold, kept] == pytest.approx(before.inner[0, fold, kept], abs=1e-5)
    assert np.isnan(before.inner[0, fold, tested]).all()


def test_features_of_a_fold_are_made_from_its_training_rows(made):
    asked = []

    def watched(train):
        asked.append(train)
        return made.states()[:, 0]

    hold_out([watched], made.valence[:, None, None], made.stories, made.topics)
    sizes = sorted({len(set(np.array(made.topics)[train])) for train in asked})
    assert sizes == [3, 4]
    assert len(asked) == 15


def test_calibration_mends_a_bent_scale(made):
    states = made.states(strength=4)
    bent = np.exp(2.5 * made.valence)[:, None]
    found = probed(made, states, bent, shuffles=19)
    held = hold_out([standardised(states[:, 0])], bent[:, None], made.stories, made.topics)
    straight = np.sqrt(((held.decoded[0, :, 0, 0] - bent[:, 0]) ** 2).mean())
    assert found.chosen.rmse[0] < 0.85 * straight


def test_baselines_read_places_and_words(made):
    generator = np.random.default_rng(3)
    words = np.where(made.valence > 0, "good", "bad")
    texts = [f"{word} {generator.integers(50)}" for word in words]
    nothing = generator.standard_normal((made.n, 1, 6))
    place = np.array([row == 0 or made.stories[row - 1] != made.stories[row] for row in range(made.n)], float)
    found = probed(made, nothing, np.stack([made.valence, place], 1), texts=texts, shuffles=19)
    assert found.baselines["words"].r[0] > 0.75
    assert found.baselines["words"].r[1] < 0.3
    assert found.baselines["position"].r[1] > 0.95
    assert abs(found.baselines["position"].r[0]) < 0.3
    assert found.baselines["mean"].r.tolist() == [0, 0]
    assert "words" not in probed(made, nothing, made.valence[:, None], shuffles=19).baselines


def test_place_alone_is_no_finding(made):
    # Surprise that every story has at its third sentence is in the null too.
    number = np.concatenate([np.arange(made.stories.count(each)) for each in dict.fromkeys(made.stories)])
    gold = (number == number[0] + 2).astype(float)[:, None]
    states = np.eye(12)[number][:, None]
    found = probed(made, states, gold)
    assert found.chosen.r[0] > 0.9
    assert found.chosen_threshold[0] > 0.3


def test_a_fitted_probe_reads_new_states(made):
    probe = fit_probe(made.states(strength=2)[:, 0], made.valence[:, None], made.stories, made.topics)
    other = Made(seed=7)
    read = probe.decode(other.states(strength=2)[:, 0])
    assert np.corrcoef(read[:, 0], other.valence)[0, 1] > 0.9
    assert read.min() >= made.valence.min() - 0.5
    raw = probe.raw(other.states(strength=2)[:, 0])
    assert np.polyfit(raw[:, 0], other.valence, 1)[0] == pytest.approx(1, abs=0.25)
    with pytest.raises(UnweaveError, match="reads \\[n, 24\\]"):
        probe.decode(np.zeros((3, 5)))


def test_r_is_taken_inside_topics():
    fold = np.array([0, 0, 0, 1, 1, 1])
    gold = np.array([[0.0], [1], [2], [10], [11], [12]])
    assert correlations(gold, gold, fold) == pytest.approx([1])
    assert correlations(np.array([[5.0]] * 3 + [[1.0]] * 3), gold, fold) == pytest.approx([0])
    upside_down = np.array([[2.0], [1], [0], [12], [11], [10]])
    assert correlations(upside_down, gold, fold) == pytest.approx([-1])


def test_what_cannot_be_probed_is_refused(made):
    gold = made.valence[:, None]
    with pytest.raises(UnweaveError, match="2 topics: three are needed"):
        two = Made(topics=("sea", "farm"))
        probe_by_layer(two.states(), two.valence[:, None], two.stories, two.topics)
    with pytest.raises(UnweaveError, match="5 shuffles cannot reach"):
        probed(made, made.states(), gold, shuffles=5)
    with pytest.raises(UnweaveError, match="2 layers are named and states have 1"):
        probed(made, made.states(), gold, layers=(1, 2))
    with pytest.raises(UnweaveError, match="give \\[n, l, d\\]"):
        probed(made, made.states()[:, 0], gold)
    with pytest.raises(UnweaveError, match="give finite numbers"):
        probed(made, made.states(), np.full_like(gold, np.nan))
