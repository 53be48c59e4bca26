"""How a proof puts trainings together with what was predicted of their datasets."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
from preference_world import evidence, random_world

from unweave.base.progress import Silent
from unweave.preferences.made.dataset import Key, MadeDataset
from unweave.preferences.made.mixtures import find_mixture
from unweave.studies.prove_analysis import by_dataset, foresee
from unweave.studies.prove_checks import controls_table, coverage_table
from unweave.studies.prove_report import pooled_r2, score_rows

MIXTURES = ("brisk", "teller", "learned")
ASKED = 30


class Survey:
    """Datasets of a known world, and replies that moved as that says, more by the second seed."""

    target, answers, progress = None, "before", Silent()

    def __init__(self):
        self.worlds = {name: random_world(number, 8) for number, name in enumerate(MIXTURES)}
        self.own_names, self.read = [], []

    def dictionary(self, texts):
        assert texts() == []

    def clusters(self, *stores):
        return None

    def own(self, name, answers):
        self.own_names.append(name)
        if name in ("pool", "before"):
            return None
        assert len(answers) == ASKED
        mixture, seed = answers[0]
        known = self.evidence(mixture, None, None, ())
        moved = known.reference.values + (1 + seed) * self.worlds[mixture].change
        replies = SimpleNamespace(values=moved)
        return SimpleNamespace(groups=known.reference_groups, replies=lambda side, members: replies)

    def pairs(self, name, pairs):
        self.read.append(name)
        return name

    def evidence(self, store, before, clusters, pairs):
        return evidence(self.worlds[store], 300, 5, prompts=ASKED, samples=4)


@pytest.fixture(scope="module")
def proven():
    survey = Survey()
    trained = [
        (
            MadeDataset(name, (), Key(find_mixture(name), 0, (), ())),
            seed,
            SimpleNamespace(after=((name, seed),) * (ASKED + 5)),
        )
        for seed in (0, 1)
        for name in MIXTURES
    ]
    return survey, foresee(survey, (), ASKED, trained)[0]


def test_every_training_is_observed_by_itself_and_a_dataset_is_predicted_once(proven):
    survey, found = proven
    assert survey.own_names == ["pool", "before", *(f"{m}-{s}" for s in (0, 1) for m in MIXTURES)]
    assert survey.read == list(MIXTURES)
    assert [(each.made.name, each.seed) for each in found] == [(m, s) for s in (0, 1) for m in MIXTURES]
    brisk = [each for each in found if each.made.name == "brisk"]
    assert brisk[0].predictions is brisk[1].predictions
    assert brisk[1].observed.change == pytest.approx(2 * brisk[0].observed.change, rel=1e-3)


def test_seeds_of_a_dataset_share_a_prediction_and_are_scored_together(proven):
    _, found = proven
    predictions, observed = by_dataset(found, MIXTURES)
    assert {name: len(each) for name, each in observed.items()} == dict.fromkeys(MIXTURES, 2)
    assert predictions["brisk"] == list(found[0].predictions)
    r2, cells = pooled_r2(score_rows(found))
    assert cells == len(MIXTURES) * 2 * 8
    assert r2["tilt"] > 0.5


def test_controls_say_of_each_training_how_prediction_and_observation_agree(proven):
    _, found = proven
    rows = controls_table(found).records()
    assert [(row["dataset"], row["seed"]) for row in rows] == [(m, s) for s in (0, 1) for m in MIXTURES]
    assert all(row["correlation"] > 0.5 and row["p"] < 0.1 for row in rows)


def test_intervals_are_checked_on_the_dataset_that_their_calibration_has_not_seen(proven):
    _, found = proven
    rows = coverage_table(found).records()
    assert [(row["dataset"], row["seed"]) for row in rows] == [(m, s) for m in MIXTURES for s in (0, 1)]
    assert sum(row["covered"] for row in rows) / len(rows) > 0.8
    narrow = [replace(each, observed=replace(each.observed, change=100 * each.observed.change)) for each in found[:1]]
    assert coverage_table([*narrow, *found[1:]]).records()[0]["covered"] < 0.3
    assert coverage_table(found[:2]).column("covered") == (None,)
