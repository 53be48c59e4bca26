from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from preference_world import World, as_replies, evidence, random_world, swapped

from unweave.base.errors import UnweaveError
from unweave.preferences.predictors import Shares, all_predictors, left_out, predict, predictor, registry, tilt
from unweave.preferences.predictors.prompts import Prompts, Resampling
from unweave.preferences.predictors.reference import differences, own_variation
from unweave.preferences.predictors.ridge import fit_ridge

BUILT_IN = {
    "bag-of-words",
    "consensus",
    "embedding-ridge",
    "gradient",
    "length-only",
    "mean-difference",
    "persona",
    "tilt",
}
LINEAR = BUILT_IN - {"tilt"}


def lengths(replies):
    return replace(replies, tokens=np.round(100 + 15 * replies.values[:, 0]).astype(np.int64))


def long_and_short(one):
    return replace(one, **{side: lengths(getattr(one, side)) for side in ("chosen", "rejected", "reference")})


def with_gradient(one):
    return replace(one, gradient=(one.chosen.values - one.rejected.values) @ np.diag(np.arange(len(one.names)) % 3))


def foreseen(one, world, names=None):
    """R squared of each predictor's change with the exact one, after the one slope that is free."""
    found = {}
    for each in predict(one, names, resamples=2):
        p, truth = each.change * one.spread, world.change
        slope = (p @ truth) / (p @ p) if p.any() else 0.0
        found[each.predictor] = 1 - ((truth - slope * p) ** 2).sum() / ((truth - truth.mean()) ** 2).sum()
    return found


def averaged(scores):
    return {name: float(np.mean([score[name] for score in scores])) for name in scores[0]}


def test_the_world_moves_as_importance_weights_say():
    world = random_world(3)
    assert world.importance_change(40_000) == pytest.approx(world.change, abs=0.1)


def test_on_policy_both_the_paper_and_the_tilt_foresee_the_exact_change():
    names = ["length-only", "mean-difference", "tilt"]
    worlds = [random_world(seed) for seed in range(3)]
    scores = averaged([foreseen(evidence(w, 2500, seed), w, names) for seed, w in enumerate(worlds)])
    assert scores["mean-difference"] > 0.95
    assert scores["tilt"] > 0.95
    assert scores["length-only"] < 0.1


def test_off_policy_the_tilt_foresees_what_is_dragged_along_and_the_paper_does_not():
    names = ["mean-difference", "tilt"]
    worlds = [random_world(seed) for seed in range(3)]
    scores = averaged(
        [foreseen(evidence(w, 1500, seed, off_policy=np.eye(20)), w, names) for seed, w in enumerate(worlds)]
    )
    assert scores["tilt"] > 0.9
    assert scores["mean-difference"] < 0.5


def test_with_few_pairs_the_tilt_loses_less():
    worlds = [random_world(seed, columns=40, strength=1.0) for seed in range(8)]
    names = ["mean-difference", "tilt"]
    scores = averaged([foreseen(evidence(w, 100, seed), w, names) for seed, w in enumerate(worlds)])
    assert scores["tilt"] > scores["mean-difference"] + 0.03


def test_length_only_is_best_where_only_length_matters():
    loading = np.random.default_rng(5).normal(size=19)
    covariance = np.eye(20)
    covariance[1:, 1:] += np.outer(loading, loading)
    covariance[0, 1:] = covariance[1:, 0] = loading
    covariance[0, 0] = 1.01
    world = World(covariance, np.eye(20)[0] * 0.7)
    scores = []
    for seed in range(4):
        scores.append(foreseen(long_and_short(evidence(world, 60, seed)), world))
    scores = averaged(scores)
    assert scores["length-only"] > 0.95
    assert max(scores, key=scores.get) == "length-only"


@pytest.fixture(scope="module")
def grouped():
    return with_gradient(long_and_short(evidence(random_world(1), 300, 7, pairs_a_prompt=3)))


def test_all_predictors_predict_and_their_shares_add_up(grouped):
    assert set(all_predictors()) == BUILT_IN
    found = predict(grouped)
    assert {each.predictor for each in found} == BUILT_IN
    for each in found:
        assert each.names == grouped.names
        assert each.shares.shape == (300, 20)
        assert each.shares.mean(0) == pytest.approx(each.change, abs=1e-5)
        assert (each.low <= each.change + 1e-6).all()
        assert (each.change <= each.high + 1e-6).all()


def test_the_mean_difference_is_in_units_of_the_targets_own_spread(grouped):
    found = predict(grouped, ["mean-difference"])[0]
    plain = grouped.chosen.values.mean(0) - grouped.rejected.values.mean(0)
    assert found.change == pytest.approx(plain / grouped.reference.values.std(0), abs=1e-5)


def test_the_gradient_is_what_the_evidence_holds(grouped):
    found = predict(grouped, ["gradient"])[0]
    assert found.change == pytest.approx(grouped.gradient.mean(0) / grouped.spread, abs=1e-5)


def test_swapped_labels_turn_every_sign(grouped):
    turned = replace(swapped(grouped), gradient=-grouped.gradient)
    for plain, other in zip(predict(grouped), predict(turned), strict=True):
        exact = 0 if plain.predictor in LINEAR - {"embedding-ridge", "persona", "bag-of-words"} else 1e-4
        assert plain.change == pytest.approx(-other.change, abs=exact)
        assert np.abs(plain.change).max() > 0.01


def test_the_order_of_rows_and_the_run_do_not_matter(grouped):
    order = np.random.default_rng(0).permutation(len(grouped))

    def shuffled(replies):
        return replace(
            replies,
            **{what: getattr(replies, what)[order] for what in ("values", "tokens", "embedding", "words")},
        )

    other = replace(
        grouped,
        chosen=shuffled(grouped.chosen),
        rejected=shuffled(grouped.rejected),
        groups=grouped.groups[order],
        gradient=grouped.gradient[order],
    )
    for plain, again, moved in zip(predict(grouped), predict(grouped), predict(other), strict=True):
        assert np.array_equal(plain.low, again.low)
        for what in ("change", "low", "high"):
            assert getattr(moved, what) == pytest.approx(getattr(plain, what), abs=2e-4)
        assert moved.shares == pytest.approx(plain.shares[order], abs=5e-3)


def test_at_the_optimum_the_weights_are_the_sum_of_what_pairs_leave_unexplained(grouped):
    scaled = differences(grouped).astype(np.float64)
    found = tilt.fit_weights(scaled, Prompts.of(grouped.groups))
    assert found.rest == pytest.approx(1 / (1 + np.exp(scaled @ found.w)))
    assert found.rest @ scaled / found.penalty == pytest.approx(found.w, abs=1e-8)
    own = own_variation(grouped, Prompts.of(grouped.reference_groups)).astype(np.float64)
    covariance = own.T @ own / (len(own) - 100)
    through = covariance @ found.w
    assert predict(grouped, ["tilt"], resamples=2)[0].change == pytest.approx(through, abs=1e-5)


def test_the_consensus_is_the_mean_of_its_parts_alone_as_among_all(grouped):
    said = {each.predictor: each for each in predict(grouped)}
    parts = [said[name] for name in ("mean-difference", "persona", "embedding-ridge")]
    assert said["consensus"].shares == pytest.approx(np.mean([part.shares for part in parts], 0), abs=1e-5)
    (alone,) = predict(grouped, ["consensus"])
    for what in ("change", "low", "high"):
        assert getattr(alone, what) == pytest.approx(getattr(said["consensus"], what), abs=1e-5)
    assert (alone.low < alone.change).all()
    assert (alone.change < alone.high).all()


def test_a_column_that_cannot_vary_changes_nothing_and_breaks_nothing(grouped):
    still = {
        side: replace(getattr(grouped, side), values=getattr(grouped, side).values * (np.arange(20) > 0))
        for side in ("chosen", "rejected", "reference")
    }
    for each in predict(replace(grouped, **still, gradient=None)):
        assert each.change[0] == pytest.approx(0, abs=1e-6)
        assert np.isfinite(each.shares).all()


def test_without_a_gradient_that_predictor_is_left_out_and_it_is_said(grouped):
    bare = replace(grouped, gradient=None)
    assert "gradients were not computed" in left_out(bare)["gradient"]
    assert {each.predictor for each in predict(bare, resamples=2)} == BUILT_IN - {"gradient"}
    with pytest.raises(UnweaveError, match="'gradient' cannot predict here: the pairs' gradients were not computed"):
        predict(bare, ["gradient"])


def test_a_target_that_answered_every_prompt_once_leaves_out_what_needs_more(grouped):
    once = replace(grouped, reference_groups=np.arange(len(grouped.reference)))
    assert set(left_out(once)) == BUILT_IN - {"gradient", "mean-difference"}
    assert {each.predictor for each in predict(once, resamples=2)} == {"mean-difference", "gradient"}


def test_pairs_of_one_prompt_count_as_one_in_the_interval():
    one = evidence(random_world(2), 40, 0)

    def copied(replies):
        rows = np.repeat(np.arange(40), 5)
        return as_replies(replies.values[rows])

    many = replace(one, chosen=copied(one.chosen), rejected=copied(one.rejected))
    together = predict(replace(many, groups=np.repeat(np.arange(40), 5)), ["mean-difference"], resamples=400)[0]
    apart = predict(replace(many, groups=np.arange(200)), ["mean-difference"], resamples=400)[0]
    ratio = (together.high - together.low).mean() / (apart.high - apart.low).mean()
    assert ratio == pytest.approx(np.sqrt(5), rel=0.12)
    with np.errstate(all="raise"):
        single = predict(replace(many, groups=np.zeros(200, int)), ["mean-difference"])[0]
    assert np.isnan(single.low).all()


def test_intervals_cover_what_very_much_data_would_say():
    world, names = random_world(1, columns=10, rated=3), ["embedding-ridge", "mean-difference", "persona", "tilt"]
    truth = {
        each.predictor: each.change for each in predict(evidence(world, 8000, 99, prompts=800), names, resamples=2)
    }
    covered = {name: [] for name in names}
    for seed in range(12):
        for each in predict(evidence(world, 600, seed, pairs_a_prompt=3), names, seed=seed):
            known = truth[each.predictor]
            covered[each.predictor].append(((each.low <= known) & (known <= each.high)).mean())
    for name, shares in covered.items():
        assert 0.86 <= np.mean(shares) <= 0.995, name


def test_a_ridge_map_leaves_prompts_out_exactly():
    generator = np.random.default_rng(0)
    prompts = Prompts.of(np.repeat(np.arange(12), 4))
    features = prompts.centred(generator.normal(size=(48, 6)))
    columns = prompts.centred(features @ generator.normal(size=(6, 2)) + generator.normal(size=(48, 2)))
    found = fit_ridge(features, columns, prompts)
    strength = found.penalty * np.linalg.eigvalsh(features.T @ features).mean()

    def weights(rows):
        x, y = features[rows], columns[rows]
        return np.linalg.solve(x.T @ x + strength * np.eye(6), x.T @ y)

    assert found.weights == pytest.approx(weights(np.arange(48)), abs=1e-9)
    without = weights(np.flatnonzero(prompts.index != 5))
    direction = generator.normal(size=6)
    lost = found.influence(direction)[prompts.index == 5].sum(0)
    assert lost == pytest.approx(direction @ (found.weights - without), abs=1e-9)
    left = columns[prompts.index == 5] - features[prompts.index == 5] @ without
    assert found._left_out_errors[prompts.index == 5] == pytest.approx(left, abs=1e-9)


def test_a_wide_and_a_narrow_gram_matrix_give_one_map():
    generator = np.random.default_rng(1)
    prompts = Prompts.of(np.repeat(np.arange(10), 3))
    features, columns = generator.normal(size=(30, 29)), generator.normal(size=(30, 2))
    # 40 zero columns make the same problem a wide one.
    wide = fit_ridge(np.pad(features, ((0, 0), (0, 40))), columns, prompts)
    narrow = fit_ridge(features, columns, prompts)
    assert wide.weights[:29] == pytest.approx(narrow.weights, abs=1e-8)
    assert wide.explained == pytest.approx(narrow.explained, abs=1e-8)


def test_a_persons_own_predictor_takes_part_and_a_second_of_its_name_is_refused(grouped, monkeypatch):
    monkeypatch.setattr(registry, "_PREDICTORS", dict(all_predictors()))

    @predictor("always-one", "says one")
    def always_one(given, resampling: Resampling):
        shares = np.ones((len(given), len(given.names)), np.float32)
        return Shares(shares, resampling.mean_over_pairs(shares))

    found = predict(grouped, ["always-one"])[0]
    assert np.array_equal(found.change, np.ones(20))
    assert np.array_equal(found.low, np.ones(20))
    with pytest.raises(TypeError, match="predictor 'tilt' is registered by unweave"):
        predictor("tilt", "another")(always_one)
    with pytest.raises(UnweaveError, match="predictor 'tild' is not registered; nearest: 'tilt'"):
        predict(grouped, ["tild"])


def test_evidence_that_does_not_fit_together_is_refused(grouped):
    broken = grouped.chosen.values.copy()
    broken[3, 2] = np.nan
    with pytest.raises(UnweaveError, match="column 'column-2' of chosen is not finite"):
        predict(replace(grouped, chosen=replace(grouped.chosen, values=broken)))
    with pytest.raises(UnweaveError, match=r"values of rejected are \(299, 20\): 300 rows of 20 columns"):
        predict(replace(grouped, rejected=replace(grouped.rejected, values=grouped.rejected.values[:-1])))
    with pytest.raises(UnweaveError, match="tokens of reference has 5 rows, not 800"):
        predict(replace(grouped, reference=replace(grouped.reference, tokens=np.arange(5))))
    with pytest.raises(UnweaveError, match=r"gradient is \(2, 20\)"):
        predict(replace(grouped, gradient=grouped.gradient[:2]))
    with pytest.raises(UnweaveError, match="1 resamples give no interval"):
        predict(grouped, resamples=1)
