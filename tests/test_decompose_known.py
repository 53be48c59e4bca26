"""What a decomposition can start from: another checkpoint of the model, or an existing decomposition."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from unweave.base.errors import UnweaveError
from unweave.decompose.config import WholeModelConfig
from unweave.decompose.decomposition import Decomposition, SiteSubcomponents
from unweave.decompose.importance import Importance
from unweave.decompose.masked import Mask, MaskedTarget, Pieces
from unweave.decompose.run import decompose
from unweave.decompose.whole_model import Training

SITE, OTHER = "model.layers.1.mlp.down_proj", "model.layers.2.self_attn.q_proj"
CONFIG = WholeModelConfig(
    sites=SITE, subcomponents=6, hidden=8, batch=3, window_length=10, steps=4, faithfulness_steps=50, prune_at=(),
    faithfulness_rate=1e-2,
)  # fmt: skip


@pytest.fixture
def tuned(fresh):
    """A target whose one site differs from the plain one's by a piece of rank one."""
    target = fresh("llama")
    generator = torch.Generator().manual_seed(3)
    site = target.site(SITE)
    u, v = torch.randn(site.d_out, generator=generator), torch.randn(site.d_in, generator=generator)
    with torch.no_grad():
        target.weight(site).add_(0.05 * torch.outer(u, v))
    return target, u, v


def everywhere(model, value, tokens):
    rows = tokens.shape
    counts = {site.name: 3 for site in model.sites}
    pieces = {
        site.name: Pieces(torch.randn(site.d_in, 3), torch.randn(3, site.d_out)) for site in model.sites
    }  # all ones gives W whatever the pieces are
    masks = {name: Mask(torch.full((*rows, n), value), torch.full((*rows, 1), value)) for name, n in counts.items()}
    return model.masked(tokens, pieces, masks)


def test_with_a_base_all_ones_is_the_target_and_all_zeros_is_the_base(tuned, llama, tokens):
    target, _, _ = tuned
    with torch.no_grad(), MaskedTarget(target, [target.site(SITE)], llama).attached() as model:
        torch.testing.assert_close(everywhere(model, 1.0, tokens), target.logits(tokens), atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(everywhere(model, 0.0, tokens), llama.logits(tokens), atol=1e-4, rtol=1e-4)


def test_what_fine_tuning_added_is_what_is_taken_apart(tuned, llama, tokens):
    target, u, v = tuned
    made = decompose(target, tokens, replace(CONFIG, faithfulness_steps=400, start="inputs"), base=llama)
    pieces = made.site(SITE)
    truth = 0.05 * torch.outer(u, v)
    assert (pieces.product() - truth).norm() < 0.1 * truth.norm()
    assert made.card["base"] == llama.identity.digest


@torch.no_grad()
def test_a_difference_is_measured_between_its_base_and_the_target(tuned, llama, tokens):
    """Its one piece is not all of the site: without the base, zero masks would take the whole matrix away."""
    target, u, v = tuned
    importance = Importance(torch.tensor(1.0), torch.zeros(len(v), 2), torch.zeros(2), torch.zeros(2, 1), torch.ones(1))
    piece = SiteSubcomponents(SITE, v[:, None], 0.05 * u[None], importance)
    made = Decomposition({SITE: piece}, target.identity.digest, target.name, {"base": llama.identity.digest})
    found = made.evaluate(target, tokens, base=llama, attack_steps=(1,))
    for kind in ("unmasked", "importance", "stochastic"):
        assert found.rung(kind).kl == pytest.approx(0, abs=1e-5), kind
    own, before = target.logits(tokens)[:, :-1].log_softmax(-1), llama.logits(tokens)[:, :-1].log_softmax(-1)
    wanted = float((own.exp() * (own - before)).sum(-1).mean())
    assert wanted > 1e-3
    assert found.rung("zero").kl == pytest.approx(wanted, rel=1e-3)
    assert found.sites[0].faithfulness == pytest.approx(0, abs=1e-6)
    assert {control.pieces for control in found.controls} == {"svd", "random"}


def test_only_the_base_that_a_decomposition_was_made_with_is_taken(tuned, llama, fresh, tokens, decomposed):
    target, _, _ = tuned
    made = decomposed(target, SITE)
    difference = replace(made, card={"base": llama.identity.digest})
    given, other = llama.identity.digest, fresh("gpt2")
    for one, base, line in (
        (difference, None, f"from base {given}, and no base is given: give the checkpoint"),
        (difference, other, f"from base {given}, not from {other.identity.digest}: give the checkpoint"),
        (made, llama, f"of no difference from {given}: leave out base"),
    ):
        with pytest.raises(UnweaveError, match=line):
            one.evaluate(target, tokens, base=base)
        with pytest.raises(UnweaveError, match=line):
            decompose(target, tokens, CONFIG, known=one, base=base)


def test_a_difference_goes_on_from_a_decomposition_of_it(tuned, llama, tokens):
    target, _, _ = tuned
    first = decompose(target, tokens, CONFIG, base=llama)
    again = decompose(target, tokens, CONFIG, base=llama, known=first)
    assert again.card["base"] == llama.identity.digest
    assert again.card["known"] == first.digest()


def test_checkpoints_that_are_equal_at_a_site_or_of_another_shape_are_refused(tuned, fresh, tokens):
    target, _, _ = tuned
    with pytest.raises(UnweaveError, match=f"site '{OTHER}' has weights that are all zero"):
        decompose(target, tokens, replace(CONFIG, sites=OTHER), base=fresh("llama"))
    with pytest.raises(UnweaveError, match="is not in this target"):
        decompose(target, tokens, CONFIG, base=fresh("gpt2"))


@pytest.fixture
def known(llama, tokens):
    return decompose(llama, tokens, CONFIG)


def begun(target, tokens, config, known):
    with MaskedTarget(target, target.sites(config.sites)).attached() as model:
        training = Training(model, lambda _: tokens, config)
        training.begin(known)
        return training


def test_a_start_from_a_decomposition_is_that_decomposition(llama, tokens, known):
    training = begun(llama, tokens, CONFIG, known)
    V, U = training.objective.pieces(training.state)[SITE]
    torch.testing.assert_close(V, known.site(SITE).V)
    torch.testing.assert_close(U, known.site(SITE).U)
    x = torch.randn(5, 48, generator=torch.Generator().manual_seed(0))
    logits = training.objective.kind.logits(training.state, {SITE: x})[SITE]
    torch.testing.assert_close(logits, known.site(SITE).importance.logits(x))


def test_more_capacity_starts_at_zero_size_behind_what_is_known_and_a_new_site_starts_anew(llama, tokens, known):
    config = replace(CONFIG, subcomponents=9, sites=f"{SITE},{OTHER}")
    training = begun(llama, tokens, config, known)
    pieces = training.objective.pieces(training.state)
    assert pieces[SITE].V.shape[1] == 9
    torch.testing.assert_close(pieces[SITE].U[:6], known.site(SITE).U)
    assert not pieces[SITE].U[6:].any()
    assert pieces[SITE].V[:, 6:].any()
    assert pieces[OTHER].U.any()
    made = decompose(llama, tokens, config, known=known)
    assert made.site(SITE).U[6:].any()  # they learn
    assert made.card["known"] == known.digest()


def test_what_a_decomposition_cannot_be_the_start_of_is_refused(llama, tokens, known, fresh, planted_text):
    for changes, message in (
        ({"importance": "component-mlp"}, "has importance function 'site-mlp', and importance is 'component-mlp'"),
        ({"hidden": 16}, "set hidden, depth and heads to what it was made with"),
    ):
        with pytest.raises(UnweaveError, match=message):
            decompose(llama, tokens, replace(CONFIG, **changes), known=known)
    with pytest.raises(UnweaveError, match="belongs to target"):
        decompose(fresh("qwen2"), tokens, CONFIG, known=known)
    shared = decompose(llama, tokens, replace(CONFIG, importance="shared-mlp"))
    with pytest.raises(UnweaveError, match="needs the same sites"):
        decompose(llama, tokens, replace(CONFIG, importance="shared-mlp", sites=f"{SITE},{OTHER}"), known=shared)
    from unweave.decompose.config import SiteLocalConfig

    with pytest.raises(UnweaveError, match="base and known are for the whole-model method"):
        decompose(llama, planted_text, SiteLocalConfig(sites=SITE), known=known)


def test_with_a_base_a_site_gives_the_difference_in_half_precision_too(tuned, llama, tokens):
    """Outputs of both checkpoints are rounded by more than their difference's own product is."""
    target, _, _ = tuned
    site = target.site(SITE)
    with torch.no_grad():
        target.weight(site).copy_(llama.weight(site) + 0.02 * (target.weight(site) - llama.weight(site)))
    with torch.no_grad(), MaskedTarget(target, [site], llama, "bfloat16").attached() as model:
        wanted = model.clean(tokens)[1][SITE] @ model.weights[SITE].T
        everywhere(model, 1.0, tokens)
        assert (model.outputs()[SITE] - wanted).norm() < 0.02 * wanted.norm()
