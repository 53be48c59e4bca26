from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_preferences_scoring import predicted, seen

from unweave.base.errors import UnweaveError
from unweave.preferences.truth.calibration import Calibration, calibrate

RECIPE = {"beta": 0.1, "epochs": 3}


def trained(seed, datasets=5, columns=30, spread=0.3, noise=0.2):
    """Datasets whose slopes differ about 2, seen with noise."""
    generator = np.random.default_rng(seed)
    predictions, observations = {}, {}
    for dataset in range(datasets):
        said = generator.normal(size=columns)
        slope = 2 + spread * generator.normal()
        predictions[str(dataset)] = [predicted(said)]
        observations[str(dataset)] = [seen(slope * said + noise * generator.normal(size=columns))]
    return predictions, observations


def test_slopes_are_least_squares_through_the_origin():
    predictions = {"a": [predicted([1, 2])], "b": [predicted([3, 0])]}
    observations = {"a": [seen([2, 4])], "b": [seen([3, 1])]}
    found = calibrate(predictions, observations, "digest", RECIPE).slopes["mean-difference"]
    assert found.slope == pytest.approx((2 + 8 + 9) / (1 + 4 + 9))
    assert found.spread == pytest.approx(np.std([2, 1], ddof=1))
    assert found.residual == pytest.approx(np.sqrt(1 / 4))
    assert found.datasets == 2


def test_it_is_known_how_many_pairs_slopes_were_learnt_on(tmp_path):
    predictions = {"a": [predicted([1, 2])], "b": [predicted([3, 0])]}
    predictions["b"] = [replace(predictions["b"][0], shares=np.zeros((7, 2), np.float32))]
    found = calibrate(predictions, {"a": [seen([2, 4])], "b": [seen([3, 1])]}, "digest", RECIPE)
    assert found.pairs == (3, 7)
    found.save(tmp_path / "calibration.json")
    assert Calibration.load(tmp_path / "calibration.json").pairs == (3, 7)


def test_the_interval_covers_what_a_new_dataset_does():
    covered, widths = [], []
    for seed in range(40):
        predictions, observations = trained(seed, datasets=6)
        new, unseen = predictions.pop("5")[0], observations.pop("5")[0]
        said = calibrate(predictions, observations, "digest", RECIPE).changes(new)
        covered.append(((said.low <= unseen.change) & (unseen.change <= said.high)).mean())
        widths.append((said.high - said.low).mean())
        assert said.change == pytest.approx(said.shares.mean(0), abs=1e-5)
    assert 0.92 <= np.mean(covered) <= 0.998
    assert np.mean(widths) < 6


def test_one_dataset_gives_a_change_without_an_interval(tmp_path):
    predictions, observations = trained(0, datasets=1)
    found = calibrate(predictions, observations, "digest", RECIPE)
    said = found.changes(predictions["0"][0])
    assert np.isfinite(said.change).all()
    assert np.isnan(said.low).all()
    found.save(tmp_path / "calibration.json")
    assert np.isnan(Calibration.load(tmp_path / "calibration.json").slopes["mean-difference"].spread)


def test_it_is_written_and_read_back_and_holds_for_its_own_target_and_recipe(tmp_path):
    found = calibrate(*trained(1), "digest", RECIPE)
    found.save(tmp_path / "calibration.json")
    back = Calibration.load(tmp_path / "calibration.json")
    assert back == found
    back.check("digest", {"epochs": 3, "beta": 0.1})
    with pytest.raises(UnweaveError, match="calibrated on the target digest, not on other"):
        back.check("other", RECIPE)
    with pytest.raises(UnweaveError, match=r"calibrated with beta 0\.1, not 0\.5"):
        back.check("digest", RECIPE | {"beta": 0.5})
    with pytest.raises(UnweaveError, match="calibrated with rank None, not 8"):
        back.check("digest", RECIPE | {"rank": 8})
    with pytest.raises(UnweaveError, match=r"not a calibration \(KeyError: 'slopes'\)"):
        Calibration.from_json({"target": "digest"})
    with pytest.raises(UnweaveError, match="predictor 'tilt' was not calibrated; nearest: 'mean-difference'"):
        back.changes(predicted([1.0], predictor="tilt"))


def test_a_predictor_that_said_nothing_cannot_be_calibrated():
    with pytest.raises(UnweaveError, match="'mean-difference' said of every dataset that nothing changes"):
        calibrate({"a": [predicted([0, 0])]}, {"a": [seen([1, 2])]}, "digest", RECIPE)


def test_the_calibrations_of_the_package_are_of_the_default_training():
    import unweave.preferences as room
    from unweave.models.load import load_target
    from unweave.studies.preference_forecast import find_calibration

    files = sorted((Path(room.__path__[0]) / "calibrations").iterdir())
    kept = [Calibration.load(file) for file in files]
    assert [each.target for each in kept] == [file.stem for file in files]
    assert sorted((each.recipe["epochs"], each.recipe["learning_rate"]) for each in kept) == [(1, 5e-4), (2, 2e-3)]
    assert all({"consensus", "mean-difference", "tilt"} <= set(each.slopes) for each in kept)
    assert find_calibration(None, load_target("pupil", device="cpu")) in kept
