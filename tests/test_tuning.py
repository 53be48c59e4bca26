from __future__ import annotations

import planted
import pytest
import torch

from unweave.base.errors import UnweaveError
from unweave.base.files import read_json
from unweave.corpora.windows import token_windows, windows_by_label
from unweave.edit import tuned
from unweave.edit import tuning as room
from unweave.edit.adapters import Descent
from unweave.edit.methods import find_method
from unweave.edit.setting import Setting
from unweave.edit.tuned import Tuning, bundled_tuning, tuning_from_dict, tuning_label
from unweave.edit.tuning import Trial, try_descents, tuning_yardstick
from unweave.read.selection import label_statistics, select

RATES = {"lora-1": {4: Descent(0.1, 30), 64: Descent(0.02, 40)}, "factors-16": {64: Descent(0.5, 9, 0.8)}}
TUNING = Tuning("fr", RATES, 100)


@pytest.fixture(scope="module")
def statistics(planted_target, planted_text, planted_decomposition):
    windows = windows_by_label(planted_target.tokenizer, planted_text, "selection", count=16)
    return label_statistics(planted_target, planted_decomposition.site(planted.SITE), windows), windows


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
    for target, stored in read_json(tuned.TUNED).items():
        for label in (*stored["labels"], "unheard-of"):
            found = bundled_tuning(label, target)
            assert found.label != label
            assert found.entropy_carried == stored["entropy_carried"]
            for name in ("factors-16", "lora-1-here", "lora-1", "lora-4", "lora-1-here-kl-all"):
                assert found.descent(name, 4).steps > 0


def test_what_was_not_tuned_for_a_target_comes_from_smollm2_and_what_was_does_not():
    home, own = bundled_tuning("de"), bundled_tuning("de", "polyglot")
    assert bundled_tuning("fr", "polyglot").descent("lora-4", 4) == bundled_tuning("fr").descent("lora-4", 4)
    assert own.descent("lora-1-here", 64) == home.descent("lora-1-here", 64)
    for name in ("lora-1-here", "lora-4"):
        assert own.descent(name, 4) != home.descent(name, 4)
    assert own.tokens < home.tokens


def test_a_target_of_ones_own_takes_what_was_tuned_for_smollm2():
    assert bundled_tuning("de", "my-model") == bundled_tuning("de", "smollm2")


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
