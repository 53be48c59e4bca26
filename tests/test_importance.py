from __future__ import annotations

import pytest
import torch

from unweave.base.errors import UnweaveError
from unweave.decompose.config import WholeModelConfig
from unweave.decompose.importance import (
    IMPORTANCES,
    ComponentImportance,
    Importance,
    NeedsAllSites,
    SiteShape,
    Widths,
    find_importance,
    importance_logits,
    init_importance,
)

SITES = (SiteShape("up", 6, 5), SiteShape("down", 4, 7))
WIDTHS = Widths(hidden=8, depth=2, heads=2)
ONE_SITE = ("site-mlp", "component-mlp")
ALL_SITES = ("shared-mlp", "transformer")


@pytest.fixture
def made():
    weights = init_importance(6, 200, 5, torch.Generator().manual_seed(0))
    return Importance(torch.tensor(2.0), **weights)


def test_the_logits_are_a_two_layer_mlp_of_the_scaled_input(made):
    x = torch.randn(3, 4, 6, generator=torch.Generator().manual_seed(1))
    hidden = x / 2.0 @ made.A + made.a
    gelu = hidden * 0.5 * (1 + torch.erf(hidden / 2**0.5))
    torch.testing.assert_close(made.logits(x), gelu @ made.B + made.b)
    torch.testing.assert_close(made.logits(x), importance_logits(x / 2.0, *made[1:]))


def test_importances_are_in_0_to_1(made):
    g = made(100 * torch.randn(50, 6, generator=torch.Generator().manual_seed(1)))
    assert g.shape == (50, 5)
    assert (g.min(), g.max()) == (0, 1)


def test_the_scale_makes_the_function_of_a_scaled_input_the_same(made):
    x = torch.randn(7, 6, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(made._replace(scale=torch.tensor(6.0))(3 * x), made(x))


def test_every_piece_starts_half_on_and_can_fall(made):
    zero = made(torch.zeros(1, 6))
    torch.testing.assert_close(zero, torch.full((1, 5), 0.5))
    assert not made.a.any()
    # Inputs of unit variance give hidden values of variance 2 and logits of order 1, whatever the widths.
    assert made.A.var() * 6 == pytest.approx(2, rel=0.15)
    assert made.B.var() * 200 == pytest.approx(1, rel=0.15)


def test_the_start_depends_on_the_generator_alone():
    first, again, other = (init_importance(6, 9, 5, torch.Generator().manual_seed(seed)) for seed in (3, 3, 4))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["A"], other["A"])


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def started(kind, seed=0):
    """All tensors that a kind works with: its own, the pieces' V, and the input scales."""
    tensors = IMPORTANCES[kind].init(SITES, WIDTHS, seed)
    for number, site in enumerate(SITES):
        tensors[f"{site.name}/V"] = normal(site.d_in, site.count, seed=number) / site.d_in**0.5
        tensors[f"{site.name}/importance.scale"] = torch.tensor(2.0 + number)
    return tensors


def inputs(rows=(3, 4), seed=5):
    return {site.name: normal(*rows, site.d_in, seed=seed + number) for number, site in enumerate(SITES)}


@pytest.mark.parametrize("kind", IMPORTANCES)
@pytest.mark.parametrize("rows", [(3, 4), (6,)])
def test_every_kind_gives_a_logit_a_row_and_subcomponent_of_every_site(kind, rows):
    found = IMPORTANCES[kind].logits(started(kind), inputs(rows))
    assert {name: tuple(z.shape) for name, z in found.items()} == {"up": (*rows, 5), "down": (*rows, 7)}
    for z in found.values():
        assert torch.isfinite(z).all()
        assert z.std() > 0.05  # not all alike
        assert float(z.mean()) == pytest.approx(0.5, abs=0.8)


@pytest.mark.parametrize("kind", IMPORTANCES)
def test_scales_of_the_inputs_are_taken_out(kind):
    tensors, x = started(kind), inputs()
    wanted = IMPORTANCES[kind].logits(tensors, x)
    for name in x:
        tensors[f"{name}/importance.scale"] = 10 * tensors[f"{name}/importance.scale"]
    found = IMPORTANCES[kind].logits(tensors, {name: 10 * value for name, value in x.items()})
    for name, z in wanted.items():
        torch.testing.assert_close(found[name], z)


@pytest.mark.parametrize("kind", IMPORTANCES)
def test_the_seed_and_the_names_decide_the_start(kind):
    first, again, other = (IMPORTANCES[kind].init(SITES, WIDTHS, seed) for seed in (0, 0, 1))
    assert all(torch.equal(tensor, again[name]) for name, tensor in first.items())
    assert any(tensor.any() and tensor.std() > 0 for tensor in first.values())
    for name, tensor in first.items():
        # What starts random starts elsewhere with another seed.
        assert tensor.std() == 0 or not torch.equal(tensor, other[name])
    # A site alone starts as it does among others, as far as its own tensors go.
    alone = IMPORTANCES[kind].init(SITES[1:], WIDTHS, 0)
    own = [name for name in alone if name.startswith("down/")]
    assert own
    assert all(torch.equal(alone[name], first[name]) for name in own)


@pytest.mark.parametrize("kind", IMPORTANCES)
def test_what_is_pruned_is_what_has_a_place_for_each_subcomponent(kind):
    per_subcomponent = IMPORTANCES[kind].per_subcomponent
    for site in SITES:
        mine = {
            name.removeprefix(f"{site.name}/importance."): tensor
            for name, tensor in started(kind).items()
            if name.startswith(f"{site.name}/importance.")
        }
        assert {name for name, tensor in mine.items() if tensor.shape[-1:] == (site.count,)} == set(per_subcomponent)


@pytest.mark.parametrize("kind", ONE_SITE)
def test_kinds_of_one_site_look_at_nothing_else(kind):
    tensors, x = started(kind), inputs()
    whole = IMPORTANCES[kind].logits(tensors, x)
    assert torch.equal(IMPORTANCES[kind].logits(tensors, {"down": x["down"]})["down"], whole["down"])
    alone = IMPORTANCES[kind].one_site("down", tensors)
    torch.testing.assert_close(alone.logits(x["down"]), whole["down"])
    torch.testing.assert_close(alone(x["down"]), whole["down"].clamp(0, 1))


@pytest.mark.parametrize("kind", ONE_SITE)
def test_kinds_of_one_site_look_at_one_row_at_a_time(kind):
    x = normal(5, 4, seed=9)
    alone = IMPORTANCES[kind].one_site("down", started(kind))
    torch.testing.assert_close(alone.logits(x)[2:3], alone.logits(x[2:3]))


def test_a_component_mlp_sees_the_response_of_its_own_subcomponent_only():
    tensors, x = started("component-mlp"), inputs()
    before = IMPORTANCES["component-mlp"].logits(tensors, x)["up"]
    for own in (0, 3):
        changed = dict(tensors)
        changed["up/V"] = tensors["up/V"].clone()
        changed["up/V"][:, own] = normal(6, seed=30)
        after = IMPORTANCES["component-mlp"].logits(changed, x)["up"]
        others = torch.arange(5) != own
        assert torch.equal(after[..., others], before[..., others])
        assert not torch.isclose(after[..., own], before[..., own]).any()
    # An input that its v does not see does not move it.
    v = tensors["up/V"][:, 2]
    aside = normal(6, seed=31)
    aside = aside - (aside @ v) / (v @ v) * v
    moved = IMPORTANCES["component-mlp"].logits(tensors, {"up": x["up"] + aside})["up"]
    torch.testing.assert_close(moved[..., 2], before[..., 2])
    assert (moved[..., 0] - before[..., 0]).abs().min() > 1e-4


def test_a_component_mlp_is_its_formula():
    tensors, x = started("component-mlp"), inputs()
    found = IMPORTANCES["component-mlp"].one_site("up", tensors)
    assert isinstance(found, ComponentImportance)
    A, a, B, b = (tensors[f"up/importance.{name}"] for name in "AaBb")
    a = a.copy_(normal(*a.shape, seed=8))
    for c in range(5):
        response = x["up"] @ tensors["up/V"][:, c] / 2.0
        hidden = response[..., None] * A[:, c] + a[:, c]
        gelu = hidden * 0.5 * (1 + torch.erf(hidden / 2**0.5))
        torch.testing.assert_close(found.logits(x["up"])[..., c], gelu @ B[:, c] + b[c])


@pytest.mark.parametrize("kind", ALL_SITES)
def test_kinds_of_all_sites_look_at_every_site(kind):
    x = {name: value.requires_grad_() for name, value in inputs().items()}
    found = IMPORTANCES[kind].logits(started(kind), x)
    for z in found.values():
        for gradient in torch.autograd.grad(z[1, 2].sum(), list(x.values()), retain_graph=True):
            assert gradient[1, 2].any()
            assert not gradient[0].any()  # never at another sample
            # The transformer sees all positions of a sequence, the MLP its own.
            seen = gradient[1].any(-1).tolist()
            assert seen == ([True] * 4 if kind == "transformer" else [False, False, True, False])


@pytest.mark.parametrize("kind", ALL_SITES)
def test_kinds_of_all_sites_do_not_mind_the_order_of_the_inputs(kind):
    tensors, x = started(kind), inputs()
    wanted = IMPORTANCES[kind].logits(tensors, x)
    found = IMPORTANCES[kind].logits(tensors, dict(reversed(x.items())))
    assert all(torch.equal(found[name], z) for name, z in wanted.items())


@pytest.mark.parametrize("kind", ALL_SITES)
def test_kinds_of_all_sites_have_no_function_of_one(kind):
    assert IMPORTANCES[kind].one_site is None


def test_the_shared_mlp_is_its_formula():
    tensors, x = started("shared-mlp"), inputs()
    side_by_side = torch.cat([x["down"] / 3.0, x["up"] / 2.0], -1)  # by name
    hidden = side_by_side @ tensors["importance.A"] + tensors["importance.a"]
    gelu = hidden * 0.5 * (1 + torch.erf(hidden / 2**0.5))
    for name, z in IMPORTANCES["shared-mlp"].logits(tensors, x).items():
        torch.testing.assert_close(z, gelu @ tensors[f"{name}/importance.B"] + tensors[f"{name}/importance.b"])


def test_the_transformer_does_not_mind_the_size_of_an_input_and_uses_all_of_its_blocks():
    tensors, x = started("transformer"), inputs()
    wanted = IMPORTANCES["transformer"].logits(tensors, x)
    found = IMPORTANCES["transformer"].logits(tensors, {"up": 50 * x["up"], "down": x["down"]})
    torch.testing.assert_close(found["up"], wanted["up"], rtol=1e-3, atol=1e-3)  # normed, token by token
    for block in range(2):
        for part in ("o", "down"):
            without = dict(tensors)
            without[f"importance.blocks.{block}.{part}"] = torch.zeros_like(
                without[f"importance.blocks.{block}.{part}"]
            )
            changed = IMPORTANCES["transformer"].logits(without, x)["up"]
            assert (changed - wanted["up"]).abs().max() > 1e-2


@pytest.mark.parametrize(("hidden", "heads"), [(10, 4), (12, 4), (6, 2)])
def test_heads_of_an_odd_or_broken_width_are_refused(hidden, heads):
    with pytest.raises(
        UnweaveError, match=f"^hidden is {hidden} with {heads} heads: a head's width must be a whole, ev"
    ):
        IMPORTANCES["transformer"].init(SITES, Widths(hidden, 1, heads), 0)


def test_a_site_whose_importances_need_all_sites_says_what_to_use():
    needs = NeedsAllSites("transformer")
    for function in (needs, needs.logits):
        with pytest.raises(UnweaveError) as refused:
            function(torch.zeros(2, 3))
        assert str(refused.value) == (
            "importances of this decomposition come from the inputs of all its sites at once (transformer): use "
            "Decomposition.importances with every site's input"
        )


def test_the_kinds_are_those_of_the_settings_and_another_names_the_nearest():
    for kind in IMPORTANCES:
        WholeModelConfig(importance=kind)
        assert find_importance(kind) is IMPORTANCES[kind]
    with pytest.raises(UnweaveError, match="importance function 'shared' is not known; nearest: 'shared-mlp'"):
        find_importance("shared")
    with pytest.raises(UnweaveError, match="importance is 'shared'; nearest: 'shared-mlp'"):
        WholeModelConfig(importance="shared")
