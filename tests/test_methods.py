from __future__ import annotations

from dataclasses import replace

import planted
import pytest
import torch

from unweave.base.errors import UnweaveError
from unweave.corpora.windows import windows_by_label
from unweave.edit.adapters import Descent
from unweave.edit.edits import AdapterEdit, FactorEdit, applied
from unweave.edit.methods import METHODS, Task, find_method
from unweave.edit.setting import Setting
from unweave.edit.tuned import Tuning
from unweave.models.target import weights_hash
from unweave.read.selection import label_statistics, most_related, select
from unweave.studies.remove_language import RECORD

NAMES = sorted(METHODS)
ONE_NUMBER = (
    "lora-1-here-scaled",
    "factor",
    "factor-plain",
    "mean-difference",
    "least-variance",
    "random-subcomponent",
    "always-on-subcomponent",
)


@pytest.fixture(scope="module")
def task(planted_target, planted_text, planted_decomposition):
    windows = windows_by_label(planted_target.tokenizer, planted_text, "selection", count=8)
    pieces = planted_decomposition.site(planted.SITE)
    statistics = label_statistics(planted_target, pieces, windows)
    chosen = select([statistics], planted.REMOVED).index
    setting = Setting(planted_target, planted_text, planted.REMOVED, planted.RETAINED, pieces, chosen, windows)
    trained = [name for name in NAMES if "lora" in name or "factors" in name]
    tuning = Tuning(planted.TUNED_ON, {name: {4: Descent(0.01, 3)} for name in trained}, 0)
    card = {"windows": dict.fromkeys(planted.LABELS, 4)}
    return Task(setting, statistics, tuning, 4, 0, decomposition=replace(planted_decomposition, card=card))


@pytest.fixture(scope="module")
def made(task):
    """Every method's edit, made once."""
    kept = {}

    def make(name):
        if name not in kept:
            kept[name] = find_method(name).function(task)
        return kept[name]

    return make


def test_the_study_offers_every_registered_method():
    assert sorted(RECORD) == NAMES
    with pytest.raises(UnweaveError, match=r"method 'factr' is not registered; nearest: 'factor'"):
        find_method("factr")


@pytest.mark.parametrize("name", NAMES)
def test_every_method_gives_an_edit_of_the_target_and_leaves_the_target_alone(name, task, made):
    result, target = made(name), task.setting.target
    assert weights_hash(target.module) == target.identity.weights
    assert result.edit.target == target.identity.digest
    local = find_method(name).local
    assert (result.edit.sites() == [planted.SITE]) == local
    assert len(result.edit.sites()) == (1 if local else len(target.all_sites()))
    tokens = torch.as_tensor(task.setting.selection["qb"][:1])
    with torch.no_grad():
        before = target.logits(tokens)
        with applied(target, result.edit):
            assert torch.isfinite(target.logits(tokens)).all()
        assert torch.equal(target.logits(tokens), before)


@pytest.mark.parametrize("name", NAMES)
def test_every_method_says_what_it_spent(name, task, made):
    spent = made(name).spent
    if name == "ablation":
        assert not find_method(name).budgeted
        assert (spent.loss, spent.seen, spent.retained) == (0, 0, 0)
    elif name == "lora-1-here-equal-total":
        # Of each label four windows of the decomposition and eight of the selection; position 0 is never in the loss.
        assert (spent.loss, spent.seen, spent.retained) == (12 * 63, 12 * 64, 3 * 12 * 64)
    else:
        retained = 2 * 3 if name == "lora-1-here-kl-all" else 2
        assert (spent.loss, spent.seen, spent.retained) == (4, 64, retained * 64)


@pytest.mark.parametrize("name", ONE_NUMBER)
def test_one_number_methods_have_one_piece_whose_factor_is_below_1(name, task, made):
    result = made(name)
    ((piece, factor),) = result.edit.pieces
    assert factor <= 1
    assert result.detail["factor"] == factor
    assert result.detail["subcomponent"] == piece.index
    assert result.detail["stopped"]


def test_which_piece_each_method_takes(task, made):
    statistics, chosen = task.statistics, task.setting.chosen
    assert made("factor").detail["subcomponent"] == made("ablation").edit.pieces[0][0].index == chosen
    assert made("factor-plain").detail["subcomponent"] == chosen
    assert made("ablation").edit.pieces[0][1] == 0.0
    ((A, B),) = (made("lora-1-here").edit.low_rank(planted.SITE),)
    ((scaled, factor),) = made("lora-1-here-scaled").edit.pieces
    assert factor < 0
    torch.testing.assert_close(torch.outer(-scaled.u, scaled.v), B @ A)
    assert made("mean-difference").detail["subcomponent"] == made("least-variance").detail["subcomponent"] == -1
    always = made("always-on-subcomponent").detail["subcomponent"]
    assert float(statistics.importance[:, always].min()) == float(statistics.importance.min(0).values.max())
    random = find_method("random-subcomponent").function
    drawn = {random(replace(task, seed=seed)).detail["subcomponent"] for seed in range(4)}
    assert len(drawn) > 1
    assert chosen not in drawn
    assert all(float(statistics.importance[:, index].max()) > 0.01 for index in drawn)
    related = [piece.index for piece, _ in made("factors-16").edit.pieces]
    assert related == most_related(statistics, "qb", "qa", 16)


@pytest.mark.parametrize(
    ("name", "rank"), [("lora-1-here", 1), ("lora-1", 1), ("lora-4", 4), ("lora-1-here-kl-all", 1)]
)
def test_loras_have_the_rank_they_are_named_for(name, rank, made):
    edit = made(name).edit
    assert isinstance(edit, AdapterEdit)
    assert {edit.low_rank(site)[0].shape[0] for site in edit.sites()} == {rank}


def test_lora_everywhere_descends_through_the_layers_before_the_site(made, task):
    edit = made("lora-1").edit
    early = [site.name for site in task.setting.target.sites() if (site.layer or 0) < (task.setting.layer or 0)]
    assert early
    assert all(float(edit.low_rank(name)[1].abs().max()) > 0 for name in early), "no gradient reached them"


def test_strict_text_costs_what_is_in_the_loss(task):
    spent = find_method("factor").function(replace(task, strict=True)).spent
    assert (spent.loss, spent.seen) == (4, 4)


def test_factors_are_edits_of_factors(made):
    assert isinstance(made("factor").edit, FactorEdit)
    assert isinstance(made("factors-16").edit, FactorEdit)
