from __future__ import annotations

from dataclasses import asdict, replace
from types import SimpleNamespace

import pytest
import tiny

from unweave.decompose import clock, whole_model
from unweave.decompose.config import SiteLocalConfig
from unweave.decompose.lineage import first_seed, same_settings, seconds, stages, tokens_seen, with_ancestors
from unweave.decompose.run import decompose

CONFIG = replace(tiny.CONFIG, steps=4)
SITES = {"a": {"training_seconds": 3.5}, "b": {"training_seconds": 4.0}}
LOCAL = {"method": "site-local", "config": {"steps": 10, "batch": 32, "seed": 5}, "tokens": 640, "sites": SITES}


@pytest.fixture(autouse=True)
def ten_seconds_a_step(monkeypatch):
    now, step = [0.0], whole_model.Training.step
    monkeypatch.setattr(clock, "time", SimpleNamespace(monotonic=lambda: now[0]))

    def counted(self, number):
        now[0] += 10
        return step(self, number)

    monkeypatch.setattr(whole_model.Training, "step", counted)


def test_a_chain_of_trainings_carries_what_all_of_them_took():
    target, batches = tiny.words(), tiny.sentences(batch=6)
    configs = [CONFIG, replace(CONFIG, steps=3, seed=1), replace(CONFIG, steps=2, seed=2)]
    made = None
    for config in configs:
        made = decompose(target, batches, config, known=made)
    assert made.card["training_seconds"] == 10 * (4 + 3 + 2)
    assert made.card["tokens_seen"] == (4 + 3 + 2) * 6 * tiny.LENGTH
    assert made.card["stages"] == [asdict(config.resolved()) for config in configs]
    assert made.card["config"] == asdict(configs[-1].resolved())
    assert first_seed(made.card) == 0


def test_groups_see_the_text_once_each_and_features_are_no_tokens():
    grouped = decompose(tiny.words(), tiny.sentences(batch=6), replace(CONFIG, groups=2))
    assert grouped.card["tokens_seen"] == 2 * 4 * 6 * tiny.LENGTH
    assert "stages" not in grouped.card
    features = decompose(tiny.features(), tiny.rows(), replace(CONFIG, divergence="mse"))
    again = decompose(tiny.features(), tiny.rows(), replace(CONFIG, divergence="mse"), known=features)
    assert "tokens_seen" not in again.card
    assert (features.card["training_seconds"], again.card["training_seconds"]) == (40, 80)


def test_sites_taken_apart_alone_count_each_for_themselves():
    card = {"config": asdict(CONFIG), "training_seconds": 2.0, "tokens_seen": 100}
    found = with_ancestors(card, LOCAL)
    assert (found["training_seconds"], found["tokens_seen"]) == (9.5, 100 + 2 * 10 * 32)
    assert found["stages"] == [LOCAL["config"], asdict(CONFIG)]
    assert first_seed(found) == 5
    # The card that it was made from is left alone.
    assert "stages" not in card


def test_a_card_that_says_nothing_adds_nothing_and_has_no_first_seed():
    card = {"config": asdict(CONFIG), "training_seconds": 2.0, "tokens_seen": 100}
    found = with_ancestors(card, {})
    assert (found["training_seconds"], found["tokens_seen"]) == (2.0, 100)
    assert first_seed(found) is None
    assert (stages({}), seconds({}), tokens_seen({}), first_seed({})) == ([{}], 0, 0, None)
    assert tokens_seen({"method": "whole-model", "config": asdict(CONFIG), "tokens": 640}) == 0
    assert first_seed({"config": asdict(SiteLocalConfig(seed=3))}) == 3


def test_settings_are_the_same_whatever_the_seed_and_the_globs_and_however_they_were_read():
    config = asdict(replace(CONFIG, prune_at=(0.5,)))
    card = {"config": config}
    for free in ({"seed": 7}, {"sites": "a,b"}, {"micro_batch": 2}, {"prune_at": [0.5]}):
        assert same_settings(card, {"config": config | free})
    assert not same_settings(card, {"config": config | {"steps": 5}})
    assert not same_settings(card, {"config": config, "stages": [config, config]})
    assert not same_settings(card, {})
