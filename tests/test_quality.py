from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from unweave.decompose import numerics
from unweave.decompose.decomposition import SiteSubcomponents, random_like
from unweave.decompose.importance import Importance
from unweave.decompose.quality import Divergence, Quality, check_quality
from unweave.models.target import weights_hash

SITES = {
    "llama": "model.layers.1.mlp.down_proj",
    "qwen2": "model.layers.2.self_attn.q_proj",
    "gpt2": "transformer.h.1.mlp.c_proj",
}


def fixed_importance(site, values):
    """An importance function that ignores its input."""
    zeros = torch.zeros(site.d_in, 2)
    return Importance(torch.tensor(1.0), zeros, torch.zeros(2), torch.zeros(2, len(values)), values)


def singular_pieces(target, values=None):
    """The exact pieces of an SVD of the kind's site, needed as much as ``values`` say."""
    site = target.site(SITES[target.module.config.model_type])
    U, S, Vh = torch.linalg.svd(target.weight(site), full_matrices=False)
    values = torch.ones(len(S)) if values is None else values
    return SiteSubcomponents(site.name, Vh.T.contiguous(), S[:, None] * U.T, fixed_importance(site, values))


def quality(target, pieces, tokens):
    return check_quality(target, target.weight(target.site(pieces.site)), pieces, tokens)


def predictions(target, tokens):
    with torch.no_grad():
        return target.logits(tokens)[:, 1:].log_softmax(-1)


def divergence(before, after):
    return float((before.exp() * (before - after)).sum(-1).mean())


def test_exact_pieces_change_nothing_when_all_are_on(target, tokens):
    """Linear, biased and transposed sites: the output is rebuilt from the captured input and the bias."""
    pieces = singular_pieces(target)
    before = weights_hash(target.module)
    found = quality(target, pieces, tokens)
    assert found.unmasked == pytest.approx(0, abs=1e-4)
    # What is needed stays on under every mask, and what the delta adds the pieces lose.
    for kind in ("importance", "stochastic", "adversarial"):
        assert getattr(found.ours, kind) == pytest.approx(0, abs=1e-4)
    assert found.relative_error < 1e-6
    assert found.faithfulness < 1e-9
    assert (found.l0, found.alive, found.tokens) == (len(pieces), len(pieces), tokens.numel())
    assert weights_hash(target.module) == before
    assert not target.module.get_submodule(pieces.site)._forward_hooks


def test_masks_that_are_the_same_everywhere_act_like_the_edited_weight(target, tokens):
    count = len(singular_pieces(target))
    values = (torch.arange(count) % 3 == 0).float()
    pieces = singular_pieces(target, values)
    found = quality(target, pieces, tokens)
    weight = target.weight(target.site(pieces.site))
    before, original = predictions(target, tokens), weight.clone()
    weight.copy_((pieces.V @ (values[:, None] * pieces.U)).T)
    assert found.ours.importance == pytest.approx(divergence(before, predictions(target, tokens)), rel=1e-2, abs=1e-5)
    weight.zero_()
    assert found.zeroed == pytest.approx(divergence(before, predictions(target, tokens)), rel=1e-2, abs=1e-5)
    weight.copy_(original)
    assert found.l0 == values.sum()


def test_the_delta_is_masked_too(llama, tokens):
    """Pieces that are nothing leave the whole weight to the delta, which only stochastic masks let through in part."""
    exact = singular_pieces(llama)
    nothing = SiteSubcomponents(exact.site, exact.V, 0 * exact.U, exact.importance)
    found = quality(llama, nothing, tokens)
    assert found.faithfulness == pytest.approx(1)
    assert found.unmasked == pytest.approx(found.zeroed)
    assert 0 < found.ours.stochastic < found.ours.importance == pytest.approx(found.zeroed, rel=1e-2)


def test_the_adversary_finds_worse_masks_than_chance(llama, tokens):
    pieces = singular_pieces(llama, torch.zeros(len(singular_pieces(llama))))
    found = quality(llama, pieces, tokens)
    assert found.ours.adversarial > found.ours.stochastic


def test_the_same_check_twice_is_the_same(llama, tokens):
    pieces = singular_pieces(llama, torch.linspace(0, 1, len(singular_pieces(llama))))
    assert quality(llama, pieces, tokens) == quality(llama, pieces, tokens)


def test_the_trained_decomposition_beats_both_baselines_clearly(planted_decomposition):
    (entry,) = planted_decomposition.card["sites"].values()
    found = entry["quality"]
    assert found["passed"]
    assert found["l0"] < 4
    for kind in ("importance", "stochastic", "adversarial"):
        for other in ("svd", "random"):
            assert found["ours"][kind] < 0.5 * found[other][kind]
    # The site matters here: without it the predictions are others.
    assert found["zeroed"] > 0.3
    assert abs(found["unmasked"]) < 1e-3


def test_pieces_in_random_directions_fail_with_sentences_that_say_where(planted_target, planted_decomposition, heldout):
    (pieces,) = planted_decomposition.sites.values()
    found = quality(planted_target, random_like(pieces, torch.Generator().manual_seed(0)), heldout)
    assert not found.passed
    assert any("KL under importance masks is" in line and "of svd masks at L0" in line for line in found.failures)
    assert found.as_dict()["failures"] == found.failures


@pytest.fixture(scope="module")
def heldout(planted_target, planted_text):
    from unweave.corpora.windows import windows_by_label

    windows = windows_by_label(planted_target.tokenizer, planted_text, "evaluation", count=3)
    return torch.cat([torch.as_tensor(part) for part in windows.values()])


def made(ours, svd, random):
    measured = dict.fromkeys(("l0", "relative_error", "first_token_error", "faithfulness", "unmasked", "zeroed"), 1.0)
    return Quality(site="h", alive=1, tokens=1, ours=ours, svd=svd, random=random, **measured)


def test_an_svd_keeps_as_many_directions_as_pieces_are_needed(llama, tokens, monkeypatch):
    values = torch.zeros(32)
    values[:5] = 1.0
    kept = []
    top = numerics.keep_largest

    def spy(strength, count):
        kept.append(count)
        assert int((top(strength, count) > 0).sum(-1).max()) == count
        return top(strength, count)

    monkeypatch.setattr(numerics, "keep_largest", spy)
    assert quality(llama, singular_pieces(llama, values), tokens).l0 == 5
    assert set(kept) == {5}


def test_it_passes_only_when_every_kind_beats_every_baseline():
    good, bad = Divergence(0.1, 0.1, 0.1), Divergence(0.2, 0.2, 0.2)
    assert made(good, bad, bad).passed
    for kind in ("importance", "stochastic", "adversarial"):
        for name in ("svd", "random"):
            baselines = {"svd": bad, "random": bad, name: replace(bad, **{kind: 0.1})}
            (line,) = made(good, **baselines).failures
            assert line == f"KL under {kind} masks is 0.100 nats, not below the 0.100 of {name} masks at L0 1.0"
        assert not made(replace(good, **{kind: float("nan")}), bad, bad).passed
