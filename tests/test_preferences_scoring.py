from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from unweave.base.errors import UnweaveError
from unweave.preferences.evidence import Prediction
from unweave.preferences.truth.comparison import compare_predictors
from unweave.preferences.truth.observed import Observed
from unweave.preferences.truth.scoring import score_predictions


def predicted(values, names=None, predictor="mean-difference"):
    values = np.asarray(values, np.float32)
    names = names or tuple(f"column-{index}" for index in range(len(values)))
    return Prediction(predictor, names, values, values - 0.1, values + 0.1, np.tile(values, (3, 1)))


def seen(values, names=None, reliability=None, error=0.1):
    values = np.asarray(values, np.float64)
    names = names or tuple(f"column-{index}" for index in range(len(values)))
    high = np.ones(len(values)) if reliability is None else np.asarray(reliability, float)
    spread = np.full(len(values), error)
    return Observed(names, values, values - spread, values + spread, spread, high, high, 100, 1600, 200)


def pick(scores, **wanted):
    found = [each for each in scores if all(getattr(each, name) == value for name, value in wanted.items())]
    assert len(found) == 1
    return found[0]


def test_the_slope_of_other_datasets_can_be_worse_than_nothing():
    predictions = {"a": [predicted([1, 2, 3])], "b": [predicted([1, 2, 3])]}
    observations = {"a": [seen([2, 4, 6])], "b": [seen([-1, -2, -3])]}
    scores = score_predictions(predictions, observations, resamples=50, shuffles=19)
    pooled = pick(scores, dataset="pooled", view="all", reliable=False)
    # a is scaled by b's slope, -1, and b by a's, 2: every error is 3 p, and the cells lie about their mean, 1.
    assert pooled.r2.value == pytest.approx(1 - 2 * 9 * 14 / (56 + 14 - 6))
    assert pooled.slope == pytest.approx(0.5)
    p, o = [1, 2, 3, 1, 2, 3], [2, 4, 6, -1, -2, -3]
    assert pooled.r2_in_sample.value == pytest.approx(np.corrcoef(p, o)[0, 1] ** 2)
    assert pooled.sign_accuracy.value == 0.5
    assert pooled.signs == pooled.cells == 6
    assert pooled.ceiling == pytest.approx(1 - 6 * 0.01 / 64)
    assert pooled.r2_of_ceiling == pytest.approx(pooled.r2.value / pooled.ceiling)
    alone = pick(scores, dataset="a", view="all", reliable=False)
    assert alone.slope == pytest.approx(-1)
    assert alone.r2.value == pytest.approx(1 - 9 * 14 / 8)
    assert alone.r2_in_sample.value == pytest.approx(1)
    assert alone.spearman.value == pytest.approx(1)
    assert np.isnan(alone.shuffled)


def test_the_seeds_of_a_dataset_are_left_out_together():
    predictions = {name: [predicted([1, 2, 4])] for name in "ab"}
    observations = {"a": [seen([5, 10, 20]), seen([7, 14, 28])], "b": [seen([2, 4, 8])]}
    scores = score_predictions(predictions, observations, resamples=10, shuffles=19)
    assert pick(scores, dataset="a", view="all", reliable=False).slope == pytest.approx(2)
    assert pick(scores, dataset="a", view="all", reliable=False).cells == 6
    assert pick(scores, dataset="b", view="all", reliable=False).slope == pytest.approx(6)


def test_one_dataset_has_no_slope_from_others():
    scores = score_predictions({"a": [predicted([1, 2, 4])]}, {"a": [seen([1, 2, 3])]}, resamples=10, shuffles=19)
    for each in scores:
        assert np.isnan(each.r2.value)
        assert each.r2_in_sample.value > 0.9


def test_views_hold_reliable_and_cluster_columns_apart():
    names = ("length", "hedges", "cluster:0")
    predictions = {name: [predicted([1, 1, 2], names)] for name in "ab"}
    observations = {
        "a": [seen([1, -1, 2], names, [0.9, 0.2, 0.7])],
        "b": [seen([1, 1, -2], names, [0.9, 0.2, 0.9])],
    }
    scores = score_predictions(predictions, observations, resamples=10, shuffles=19)
    cells = {(each.view, each.reliable): each.cells for each in scores if each.dataset == "pooled"}
    assert cells == {
        ("all", False): 6, ("all", True): 4, ("behaviours", False): 4, ("behaviours", True): 2,
        ("clusters", False): 2, ("clusters", True): 2,
    }  # fmt: skip
    # The one behaviour whose sign was missed is not reliable, and so does not count.
    assert pick(scores, dataset="pooled", view="behaviours", reliable=False).sign_accuracy.value == 1
    assert pick(scores, dataset="pooled", view="clusters", reliable=True).sign_accuracy.value == 0.5


def test_saying_nothing_explains_nothing():
    predictions = {name: [predicted([0, 0, 0])] for name in "ab"}
    observations = {"a": [seen([1, 2, -3])], "b": [seen([2, 2, -4])]}
    pooled = pick(
        score_predictions(predictions, observations, resamples=20), dataset="pooled", view="all", reliable=False
    )
    assert pooled.r2.value == pytest.approx(0)
    assert pooled.r2_in_sample.value == pooled.spearman.value == pooled.sign_accuracy.value == 0


def made_study(seed=0, datasets=6, columns=40, error=0.3):
    """What is observed is 2 times the truth plus noise; one predictor knows the truth, one half of it, one nothing."""
    generator = np.random.default_rng(seed)
    predictions, observations = {}, {}
    for dataset in range(datasets):
        truth = generator.normal(size=columns)
        predictions[str(dataset)] = [
            predicted(truth, predictor="knows"),
            predicted(truth + generator.normal(size=columns), predictor="guesses"),
            predicted(generator.normal(size=columns), predictor="random"),
        ]
        observations[str(dataset)] = [
            seen(2 * truth + error * generator.normal(size=columns), error=error) for _ in range(2)
        ]
    return predictions, observations


@pytest.fixture(scope="module")
def study():
    return made_study()


def test_a_predictor_that_knows_reaches_the_ceiling_and_a_random_one_is_at_chance(study):
    scores = score_predictions(*study, resamples=300, shuffles=199)
    known, random = (
        pick(scores, predictor=name, dataset="pooled", view="all", reliable=False) for name in ("knows", "random")
    )
    assert known.slope == pytest.approx(2, abs=0.05)
    assert known.r2_of_ceiling == pytest.approx(1, abs=0.01)
    assert known.r2.low < known.r2.value < known.r2.high
    assert 0 < known.r2.high - known.r2.low < 0.05
    assert known.p_shuffled == pytest.approx(1 / 200)
    assert known.shuffled < 0.2
    assert random.r2.value < 0.05
    assert random.p_shuffled > 0.05
    assert random.sign_accuracy.low < 0.5 < random.sign_accuracy.high
    assert random.spearman.low < 0 < random.spearman.high


def test_intervals_widen_with_datasets_that_differ(study):
    predictions, observations = study
    turned = dict(observations)
    turned["0"] = [replace(each, change=-each.change) for each in observations["0"]]
    plain, mixed = (
        pick(
            score_predictions(predictions, each, resamples=200, shuffles=19),
            predictor="knows", dataset="pooled", view="all", reliable=False,
        )
        for each in (observations, turned)
    )  # fmt: skip
    assert mixed.r2.high - mixed.r2.low > 5 * (plain.r2.high - plain.r2.low)


def test_the_better_of_two_is_named_and_equals_are_not(study):
    found = compare_predictors(*study, "knows", "guesses", resamples=300)
    assert found.better == "knows"
    assert found.blocks == 240
    assert found.p < 0.01
    assert 0.2 < found.difference.low < found.difference.value < found.difference.high
    other = compare_predictors(*study, "guesses", "knows", resamples=300)
    assert other.better == "knows"
    assert other.difference.value == pytest.approx(-found.difference.value)
    same = compare_predictors(*study, "knows", "knows", resamples=50)
    assert same.better is None
    assert same.p == 1.0
    some = compare_predictors(*study, "knows", "guesses", names=["column-1", "column-2"], resamples=50)
    assert some.blocks == 12


def test_a_comparison_of_equals_is_rarely_won():
    won = 0
    for seed in range(40):
        predictions, observations = made_study(seed, datasets=4, columns=12)
        generator = np.random.default_rng(seed + 1000)
        for dataset in predictions:
            truth = predictions[dataset][0].change
            predictions[dataset] = [predicted(truth + generator.normal(size=12), predictor=name) for name in ("a", "b")]
        won += compare_predictors(predictions, observations, "a", "b", resamples=100).better is not None
    assert won <= 5


def test_where_no_other_dataset_has_a_reliable_cell_neither_is_better():
    predictions = {name: [predicted([1, 2, 4]), predicted([4, 1, 2], predictor="other")] for name in "ab"}
    observations = {"a": [seen([1, 2, 3])], "b": [seen([1, 2, 3], reliability=[0, 0, 0])]}
    found = compare_predictors(predictions, observations, "mean-difference", "other", resamples=20)
    assert np.isnan(found.difference.value)
    assert found.better is None


def test_what_does_not_belong_together_is_refused(study):
    predictions, observations = study
    with pytest.raises(UnweaveError, match=r"datasets \['5'\] are predicted or observed, not both"):
        score_predictions({name: each for name, each in predictions.items() if name != "5"}, observations)
    with pytest.raises(UnweaveError, match="dataset '5' has no run"):
        score_predictions(predictions, observations | {"5": []})
    with pytest.raises(UnweaveError, match="dataset '5' is predicted by"):
        score_predictions(predictions | {"5": predictions["5"][:1]}, observations)
    with pytest.raises(UnweaveError, match="column 'column-39' was predicted of '5' and not observed"):
        score_predictions(predictions, observations | {"5": [seen(np.ones(39))]})
    with pytest.raises(UnweaveError, match="floor of 70"):
        score_predictions(predictions, observations, floor=70)
    with pytest.raises(UnweaveError, match="predictor 'know' predicted nothing here; nearest: 'knows'"):
        compare_predictors(predictions, observations, "know", "guesses")
    with pytest.raises(UnweaveError, match="1 dataset has no slope from others"):
        compare_predictors({"0": predictions["0"]}, {"0": observations["0"]}, "knows", "guesses")
    weak = {
        name: [replace(one, reliability=one.reliability * 0) for one in runs] for name, runs in observations.items()
    }
    with pytest.raises(UnweaveError, match=r"no cell reaches a reliability of 0\.7"):
        compare_predictors(predictions, weak, "knows", "guesses")
