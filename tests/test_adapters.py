from __future__ import annotations

import planted
import pytest
import torch

from unweave.base.errors import UnweaveError
from unweave.corpora.windows import token_windows
from unweave.edit import adapters
from unweave.edit.adapters import Descent, _lora_injected, _strengths_applied, train_factors, train_lora
from unweave.edit.adapters import train_lora_stream as stream
from unweave.edit.edits import AdapterEdit, FactorEdit, applied
from unweave.edit.objective import Objective, loss_text
from unweave.models.target import weights_hash
from unweave.read.selection import label_statistics, most_related

KINDS = {
    "llama": "model.layers.[12].mlp.down_proj",
    "qwen2": "model.layers.[12].self_attn.q_proj",
    "gpt2": "transformer.h.[12].mlp.c_proj",
}


def chosen(target):
    return target.sites(KINDS[target.module.config.model_type])


def logits(target, tokens):
    with torch.no_grad():
        return target.logits(tokens)


def structure(module):
    """Everything an adapter could leave behind: layers, attributes, hooks, gradients, and the weights themselves."""
    layers = [
        (name, id(child), sorted(child.__dict__), dict(child._forward_hooks), dict(child._forward_pre_hooks))
        for name, child in module.named_modules()
    ]
    return layers, [(name, id(each), each.requires_grad, each.grad) for name, each in module.named_parameters()]


@pytest.fixture(scope="module")
def objective(planted_target, planted_text):
    windows = {
        label: torch.as_tensor(token_windows(planted_target.tokenizer, planted_text, "training", label, count=8))
        for label in ("qb", "qa")
    }
    removed = loss_text(planted_target, windows["qb"], (15, 31, 47, 63), 1)
    return Objective(removed, loss_text(planted_target, windows["qa"][:2], range(1, 64), 1), 5.1358)


@pytest.mark.parametrize("rank", [1, 4])
def test_the_edit_is_pefts_forward_once_the_adapter_is_out(target, tokens, rank):
    """Linear, biased and transposed layers; the scaling is 1 at any rank."""
    plain = logits(target, tokens)
    with _lora_injected(target, chosen(target), rank, "x", 0) as lora:
        torch.testing.assert_close(logits(target, tokens), plain)
        with torch.no_grad():
            for parameter in lora.parameters:
                parameter.normal_(0, 0.3, generator=torch.Generator().manual_seed(1))
        adapted, matrices = logits(target, tokens), lora.matrices()
        with lora.off():
            torch.testing.assert_close(logits(target, tokens), plain)
        assert torch.equal(logits(target, tokens), adapted)
    assert (adapted - plain).abs().max() > 0.01
    assert {A.shape[0] for A, _ in matrices.values()} == {rank}
    edit = AdapterEdit(matrices, target.identity.digest, "x")
    with applied(target, edit):
        torch.testing.assert_close(logits(target, tokens), adapted, atol=1e-5, rtol=1e-5)


def test_training_leaves_the_target_as_it_was(planted_target, objective):
    before = structure(planted_target.module)
    for sites in ([planted_target.site(planted.SITE)], planted_target.sites()):
        train_lora(planted_target, objective, sites, 1, Descent(0.01, 2), name="x")
    assert structure(planted_target.module) == before
    assert weights_hash(planted_target.module) == planted_target.identity.weights


def test_so_does_training_that_is_interrupted(planted_target, objective):
    before = structure(planted_target.module)

    class Stop:
        def update(self, done, total, note=""):
            raise KeyboardInterrupt

    sites = [planted_target.site(planted.SITE)]
    with pytest.raises(KeyboardInterrupt):
        train_lora(planted_target, objective, sites, 1, Descent(0.01, 5), name="x", progress=Stop())
    assert structure(planted_target.module) == before


def test_lora_descends_the_objective_and_its_edit_has_the_last_value(planted_target, objective):
    sites = [planted_target.site(planted.SITE)]
    trained = train_lora(planted_target, objective, sites, 1, Descent(0.02, 40), name="x")
    assert len(trained.losses) == 40
    assert trained.losses[-1] < 0.6 * trained.losses[0]
    with applied(planted_target, trained.edit), torch.no_grad():
        assert float(objective.loss(planted_target)) < 0.6 * trained.losses[0]
    again = train_lora(planted_target, objective, sites, 1, Descent(0.02, 40), name="x")
    assert again.losses == trained.losses
    assert trained.losses != train_lora(planted_target, objective, sites, 1, Descent(0.02, 3), name="x", seed=1).losses


def test_each_step_draws_four_windows_anew(planted_target, objective, monkeypatch):
    drawn = []
    loss = Objective.loss

    def spy(self, target, rows=None):
        drawn.append(tuple(rows))
        return loss(self, target, rows)

    monkeypatch.setattr(Objective, "loss", spy)
    train_lora(planted_target, objective, [planted_target.site(planted.SITE)], 1, Descent(1e-3, 12), name="x")
    assert {len(set(rows)) for rows in drawn} == {4}
    assert len(set(drawn)) > 6
    assert set().union(*drawn) == set(range(8))


def test_the_rate_warms_up_for_ten_steps_and_falls_to_0(planted_target, objective, monkeypatch):
    rates = []
    step = torch.optim.Adam.step

    def spy(self):
        rates.append(self.param_groups[0]["lr"])
        return step(self)

    monkeypatch.setattr(torch.optim.Adam, "step", spy)
    train_lora(planted_target, objective, [planted_target.site(planted.SITE)], 1, Descent(1.0e-3, 20), name="x")
    expected = [1e-3 * min((n + 1) / 10, 1) * (1 - n / 20) for n in range(20)]
    assert rates == pytest.approx(expected)


def test_an_objective_that_is_not_finite_says_what_to_do(planted_target, objective):
    broken = Objective(objective.removed, objective.retained, float("nan"))
    with pytest.raises(UnweaveError, match=r"x: the objective is nan at step 1; lower the learning rate"):
        train_lora(planted_target, broken, [planted_target.site(planted.SITE)], 1, Descent(0.01, 9), name="x")
    assert weights_hash(planted_target.module) == planted_target.identity.weights


def test_a_stream_reads_its_text_once_against_the_unedited_model(planted_target, planted_text, monkeypatch):
    read = []

    def spy(target, tokens, positions, layer):
        read.append(loss_text(target, tokens, positions, layer))
        return read[-1]

    monkeypatch.setattr(adapters, "loss_text", spy)
    removed, retained = (
        torch.as_tensor(token_windows(planted_target.tokenizer, planted_text, "decomposition", label, count=20))
        for label in ("qb", "qa")
    )
    sites = [planted_target.site(planted.SITE)]
    trained = stream(planted_target, removed, retained, 5.1358, sites, 1, Descent(0.05, 1), name="x")
    assert len(trained.losses) == 5
    assert trained.losses[-1] < trained.losses[0]
    assert torch.equal(torch.cat([text.prefix.tokens for text in read[::2]]), removed)
    assert torch.equal(torch.cat([text.prefix.tokens for text in read[1::2]]), retained)
    for text in read:
        assert text.positions.tolist() == [list(range(1, 64))] * len(text)
        whole = loss_text(planted_target, text.prefix.tokens, range(1, 64), None)
        torch.testing.assert_close(text.base, whole.base)
    assert weights_hash(planted_target.module) == planted_target.identity.weights
    few = stream(planted_target, removed[:3], retained[:1], 5.1358, sites, 1, Descent(0.05, 1), name="x")
    assert len(few.losses) == 1


def test_factors_in_training_act_like_the_factor_edit(target, tokens, decomposed):
    sites = [site.name for site in chosen(target)]
    decomposition = decomposed(target, *sites)
    pieces = [decomposition.subcomponent(sites[0], 1), decomposition.subcomponent(sites[1], 4)]
    strengths = torch.tensor([-1.5, 0.5])
    with _strengths_applied(target, pieces, strengths):
        during = logits(target, tokens)
    edit = FactorEdit.on_pieces([(pieces[0], -0.5), (pieces[1], 1.5)], target.identity.digest)
    with applied(target, edit):
        torch.testing.assert_close(during, logits(target, tokens), atol=1e-5, rtol=1e-5)


def test_sixteen_factors_descend_the_objective(planted_target, planted_text, planted_decomposition, objective):
    pieces = planted_decomposition.site(planted.SITE)
    windows = {
        label: token_windows(planted_target.tokenizer, planted_text, "selection", label, count=8)
        for label in planted.LABELS
    }
    related = most_related(label_statistics(planted_target, pieces, windows), "qb", "qa", 16)
    before = structure(planted_target.module)
    trained = train_factors(
        planted_target, objective, [pieces[index] for index in related], Descent(0.5, 30), name="factors-16"
    )
    assert trained.losses[-1] < 0.7 * trained.losses[0]
    assert [piece.index for piece, _ in trained.edit.pieces] == related
    assert trained.edit.name == "factors-16"
    first = train_factors(planted_target, objective, [pieces[0], pieces[1]], Descent(0.5, 1), name="x")
    assert [factor for _, factor in first.edit.pieces] == pytest.approx([1, 1], abs=0.06)
    assert structure(planted_target.module) == before
    with applied(planted_target, trained.edit), torch.no_grad():
        assert float(objective.loss(planted_target)) < 0.7 * trained.losses[0]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_adapters_of_a_half_precision_target_are_trained_in_single(fresh, tokens, dtype):
    target = fresh("llama", dtype)
    site = chosen(target)[0]
    text = loss_text(target, tokens, range(1, tokens.shape[1]), None)
    trained = train_lora(target, Objective(text, text, 5.0), [site], 1, Descent(0.01, 12), name="x")
    assert torch.isfinite(torch.tensor(trained.losses)).all()
    with _lora_injected(target, [site], 1, "x", 0) as lora:
        assert {parameter.dtype for parameter in lora.parameters} == {torch.float32}
        assert target.logits(tokens).dtype == dtype
    assert target.dtype == dtype


def test_a_module_whose_name_ends_like_the_site_is_left_alone():
    module = torch.nn.ModuleDict(
        {"fc": torch.nn.Linear(3, 3), "aux": torch.nn.ModuleDict({"fc": torch.nn.Linear(3, 3)})}
    )
    assert adapters.peft_target_modules(module, ["fc"]) == "fc"
    assert adapters.peft_target_modules(module, ["aux.fc"]) == ["aux.fc"]
