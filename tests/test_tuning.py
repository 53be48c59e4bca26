from __future__ import annotations

import math
from pathlib import Path
from statistics import median

import planted
import pytest
import torch

from unweave.base.errors import UnweaveError
from unweave.base.files import read_json
from unweave.corpora.windows import token_windows, windows_by_label
from unweave.edit import tuned
from unweave.edit import tuning as room
from unweave.edit.adapters import Descent
from unweave.edit.edits import FactorEdit, applied
from unweave.edit.line_search import expected_level, tune_factor
from unweave.edit.measure import measure
from unweave.edit.methods import find_method
from unweave.edit.setting import Setting
from unweave.edit.tuned import Tuning, bundled_tuning, tuning_from_dict, tuning_label
from unweave.edit.tuning import Trial, calibrate_stop, try_descents, tuning_yardstick, with_stop
from unweave.models.target import weights_hash
from unweave.read.selection import harvest, select

RATES = {"lora-1": {4: Descent(0.1, 30), 64: Descent(0.02, 40)}, "factors-16": {64: Descent(0.5, 9, 0.8)}}
TUNING = Tuning("fr", 0.97, RATES, 100)


@pytest.fixture(scope="module")
def statistics(planted_target, planted_text, planted_decomposition):
    windows = windows_by_label(planted_target.tokenizer, planted_text, "selection", count=16)
    return harvest(planted_target, planted_decomposition.site(planted.SITE), windows), windows


@pytest.fixture(scope="module")
def setting(planted_target, planted_text, planted_decomposition, statistics):
    found, windows = statistics
    pieces = planted_decomposition.site(planted.SITE)
    chosen = select([found], planted.TUNED_ON).index
    return Setting(planted_target, planted_text, "qc", "qa", pieces, chosen, windows, part="tuning")


@pytest.mark.parametrize(
    ("method", "budget", "rate"),
    [
        ("lora-1", 4, 0.1),
        ("lora-1", 63, 0.1),
        ("lora-1", 64, 0.02),
        ("lora-1", 1024, 0.02),
        ("lora-1", 1, 0.1),
        ("factors-16", 4, 0.5),
    ],
)
def test_a_budget_that_was_not_tuned_takes_the_nearest_below_or_the_smallest(method, budget, rate):
    assert TUNING.descent(method, budget).learning_rate == rate


def test_a_method_without_a_rate_says_how_to_get_one():
    with pytest.raises(UnweaveError, match=r"method 'lora-9' has no tuned learning rate: run recipes"):
        TUNING.descent("lora-9", 4)


def test_settings_come_back_from_json():
    assert tuning_from_dict(TUNING.as_dict()) == TUNING


@pytest.mark.parametrize(("label", "other"), [("de", "fr"), ("fr", "es"), ("es", "it"), ("it", "de")])
def test_each_label_is_tuned_on_the_next_and_the_retained_one_is_passed_over(label, other):
    assert tuning_label(label, ("en", "de", "fr", "es", "it"), "en") == other


@pytest.mark.parametrize(("label", "labels"), [("de", ("de", "en")), ("nl", ("de", "en", "fr"))])
def test_without_another_label_there_is_nothing_to_tune_on(label, labels):
    with pytest.raises(UnweaveError, match=f"no label is left to tune on for '{label}'"):
        tuning_label(label, labels, "en")


def test_the_bundled_settings_know_every_trained_method_and_another_label_than_their_own():
    stored = read_json(Path(tuned.__file__).parent / "tuned.json")
    for label in (*stored, "unheard-of"):
        found = bundled_tuning(label)
        assert found.label != label
        assert 0.5 < found.stop < 1.5
        for name in ("factors-16", "lora-1-here", "lora-1", "lora-4", "lora-1-here-kl-all"):
            assert found.descent(name, 4).steps > 0


def test_the_stopping_level_leaves_the_tuning_label_where_it_is_aimed(setting):
    """Tuned with it, the label's realised cross-entropy comes out at the aim in the middle of the seeds."""
    before = weights_hash(setting.target.module)
    stop, tokens = calibrate_stop(setting, budget=4, seeds=5)
    assert tokens == (room.WINDOWS + 5 * (1 + 2)) * 64
    edit = FactorEdit.on_pieces([(setting.piece(), 1.0)], setting.target.identity.digest)
    prefix = tuning_yardstick(setting, ["qc"]).prefixes["qc"]
    reference = setting.reference(setting.piece())
    ceiling = math.log(setting.target.vocabulary)

    def realised(strength):
        with applied(setting.target, edit.with_factor(1 + strength)):
            return measure(setting.target, prefix).mean()[0] / ceiling

    strength = next(tried / 50 for tried in range(-50, -800, -1) if realised(tried / 50) >= room.AIM)
    expected = [
        expected_level(setting.target, edit, setting.objective(4, seed), reference, strength).level for seed in range(5)
    ]
    assert stop == pytest.approx(median(expected) / ceiling, rel=0.02)
    levels = []
    for seed in range(5):
        found = tune_factor(setting.target, edit, setting.objective(4, seed), reference, stop=stop)
        levels.append(realised(found.strength))
    assert median(levels) == pytest.approx(room.AIM, abs=0.1)
    assert weights_hash(setting.target.module) == before


def test_the_tuning_yardstick_is_held_out_text_of_the_tuning_part(setting):
    stick = tuning_yardstick(setting, ["qa", "qc"])
    assert list(stick.prefixes) == ["qa", "qc"]
    held = token_windows(setting.target.tokenizer, setting.corpus, "tuning", "qc")
    assert {tuple(row) for row in stick.prefixes["qc"].tokens.tolist()} <= {tuple(row) for row in held.tolist()}
    assert len(stick.prefixes["qc"]) == room.WINDOWS
    assert stick.prefixes["qc"].layer == 1


def test_a_rate_that_does_nothing_is_far_from_ln_v_and_a_better_one_nearer(setting, statistics):
    stick = tuning_yardstick(setting, planted.LABELS)
    descents = [Descent(1e-6, 30), Descent(1e-1, 30), Descent(1e-1, 30, 0.5)]
    trials = try_descents(setting, statistics[0], find_method("lora-1-here"), 16, descents, stick)
    assert [(trial.method, trial.budget, trial.descent) for trial in trials] == [
        ("lora-1-here", 16, descent) for descent in descents
    ]
    base = stick.base["qc"].mean()[0]
    assert trials[0].distance == pytest.approx(setting.ceiling - base, abs=0.02)
    assert trials[0].worst_other == pytest.approx(0, abs=0.02)
    assert trials[1].distance < 0.8 * trials[0].distance
    assert trials[2].worst_other < trials[1].worst_other  # a floor at half of ln V is reached sooner and left alone
    assert torch.isfinite(torch.tensor([trial.score for trial in trials])).all()


def test_missing_a_nat_counts_like_costing_another_label_a_nat_and_helping_it_earns_nothing():
    descent = Descent(0.1, 3)
    assert Trial("x", 4, descent, 1.0, 0.0).score == Trial("x", 4, descent, 0.0, 1.0).score == 1.0
    assert Trial("x", 4, descent, 0.5, -3.0).score == 0.5


def test_another_stop_keeps_the_rates_and_adds_its_tokens():
    found = with_stop(TUNING, 0.9, 50, "it")
    assert (found.stop, found.label, found.tokens, found.descents) == (0.9, "it", 150, TUNING.descents)
