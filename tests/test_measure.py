from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from unweave.edit.edits import AdapterEdit, applied
from unweave.edit.measure import Measured, Yardstick, make_yardstick, measure, realised, uniform_cross_entropy
from unweave.edit.off_target import MaskedText, compare, effects, masked_cross_entropy
from unweave.models.prefix import Prefix, cache_prefix


@pytest.fixture
def windows():
    generator = torch.Generator().manual_seed(4)
    return {label: torch.randint(300, (count, 10), generator=generator) for label, count in (("de", 5), ("en", 3))}


@pytest.fixture
def edit(llama):
    generator = torch.Generator().manual_seed(2)
    site = llama.site("model.layers.2.mlp.down_proj")
    A, B = torch.randn(1, site.d_in, generator=generator), torch.randn(site.d_out, 1, generator=generator)
    return AdapterEdit({site.name: (A, B)}, llama.identity.digest, "a change")


def test_cross_entropy_is_torchs_and_entropy_its_formula():
    logits = 3 * torch.randn(2, 5, 30, generator=torch.Generator().manual_seed(0))
    tokens = torch.randint(30, (2, 5), generator=torch.Generator().manual_seed(1))
    loss, entropy = realised(logits, tokens)
    expected = torch.nn.functional.cross_entropy(logits.transpose(1, 2), tokens, reduction="none")
    torch.testing.assert_close(loss, expected)
    probabilities = logits.softmax(-1)
    torch.testing.assert_close(entropy, -(probabilities * probabilities.log()).sum(-1), rtol=1e-4, atol=1e-5)


def test_a_uniform_prediction_has_ln_v_of_both_and_a_sure_one_none():
    tokens = torch.zeros(1, 1, dtype=torch.long)
    loss, entropy = realised(torch.zeros(1, 1, 50), tokens)
    assert (float(loss), float(entropy)) == pytest.approx((math.log(50), math.log(50)))
    sure = torch.tensor([[[200.0, 0.0, 0.0]]])
    assert [float(value) for value in realised(sure, tokens)] == pytest.approx([0, 0], abs=1e-5)


def test_every_token_but_the_first_is_predicted_from_those_before_it(llama, windows):
    tokens = windows["de"]
    with torch.no_grad():
        logits = llama.logits(tokens)[:, :-1]
    loss = torch.nn.functional.cross_entropy(logits.transpose(1, 2), tokens[:, 1:], reduction="none").mean(1)
    found = measure(llama, Prefix(tokens, 0, None))
    torch.testing.assert_close(found.cross_entropy, loss)
    assert found.mean() == pytest.approx((float(loss.mean()), float(found.entropy.mean())))


@pytest.mark.parametrize(("layer", "batch"), [(1, 16), (2, 2), (3, 3)])
def test_a_cached_prefix_and_any_batch_give_the_same(llama, windows, layer, batch):
    whole = measure(llama, Prefix(windows["de"], 0, None))
    cached = measure(llama, cache_prefix(llama, windows["de"], layer), batch)
    torch.testing.assert_close(cached.cross_entropy, whole.cross_entropy)
    torch.testing.assert_close(cached.entropy, whole.entropy)


def test_a_yardstick_holds_the_base_and_measures_what_is_now_applied(llama, windows, edit):
    stick = make_yardstick(llama, windows, layer=2, batch=2)
    whole = {label: measure(llama, Prefix(tokens, 0, None)) for label, tokens in windows.items()}
    with applied(llama, edit):
        edited = {label: measure(llama, Prefix(tokens, 0, None)) for label, tokens in windows.items()}
        found = stick.measure(llama, ["en"])
    assert list(found) == ["en"]
    torch.testing.assert_close(found["en"].cross_entropy, edited["en"].cross_entropy, rtol=1e-4, atol=1e-4)
    for label in windows:
        torch.testing.assert_close(stick.base[label].cross_entropy, whole[label].cross_entropy)
    assert not torch.allclose(edited["en"].cross_entropy, whole["en"].cross_entropy, atol=0.01)


@pytest.mark.parametrize("local", [True, False])
def test_effects_are_paired_differences_window_by_window(llama, windows, edit, local):
    stick = make_yardstick(llama, windows, layer=2)
    with applied(llama, edit):
        edited = stick.measure(llama)
    found = effects(llama, edit, stick, local=local)
    for label, effect in found.items():
        change = edited[label].cross_entropy - stick.base[label].cross_entropy
        assert effect.change == pytest.approx(float(change.mean()), abs=1e-5)
        assert effect.edited - effect.base == pytest.approx(effect.change, abs=1e-5)
        assert effect.low < effect.change < effect.high
        assert (effect.label, effect.windows) == (label, len(windows[label]))
        assert effect.entropy == pytest.approx(float(edited[label].entropy.mean()), abs=1e-5)
    assert measure(llama, stick.prefixes["de"]).mean() == pytest.approx(stick.base["de"].mean())


def test_an_edit_before_the_cached_layer_is_only_seen_by_whole_forwards(llama, windows):
    site = llama.site("model.layers.0.mlp.down_proj")
    A, B = torch.ones(1, site.d_in), torch.ones(site.d_out, 1)
    early = AdapterEdit({site.name: (A, B)}, llama.identity.digest, "early")
    stick = make_yardstick(llama, windows, layer=2)
    assert effects(llama, early, stick, local=True)["de"].change == pytest.approx(0, abs=1e-5)
    assert abs(effects(llama, early, stick, local=False)["de"].change) > 0.01


def test_one_window_has_a_change_and_no_interval():
    before = {"de": Measured(torch.tensor([2.0]), torch.tensor([1.0]))}
    after = {"de": Measured(torch.tensor([3.5]), torch.tensor([1.5]))}
    effect = compare(before, after)["de"]
    assert (effect.base, effect.edited, effect.change, effect.entropy) == (2.0, 3.5, 1.5, 1.5)
    assert np.isnan([effect.low, effect.high]).all()


def test_only_counted_tokens_enter_the_masked_cross_entropy(llama, windows):
    tokens = windows["de"]
    counted = torch.zeros(tokens.shape, dtype=torch.bool)
    counted[:, 6:] = True
    with torch.no_grad():
        logits = llama.logits(tokens)[:, :-1]
    losses = torch.nn.functional.cross_entropy(logits.transpose(1, 2), tokens[:, 1:], reduction="none")
    expected = float(losses[:, 5:].mean())
    assert masked_cross_entropy(llama, MaskedText(tokens, counted), batch=2) == pytest.approx(expected, rel=1e-5)
    everything = MaskedText(tokens, torch.ones_like(counted))
    assert masked_cross_entropy(llama, everything) == pytest.approx(float(losses.mean()), rel=1e-5)


def test_ln_v_counts_the_logits(llama):
    assert uniform_cross_entropy(llama) == math.log(300)
    assert isinstance(make_yardstick(llama, {}, None), Yardstick)
