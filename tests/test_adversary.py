from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unweave.decompose import draws
from unweave.decompose.adversary import SCOPES, attack, deal_sources, signed_step, start_sources
from unweave.decompose.config import WholeModelConfig

calm = settings(max_examples=30, deadline=None)
COUNTS = {"up": 7, "down": 3}
POOL = 4


def start(scope, rows=(6, 5), seed=0, purpose="sources"):
    return start_sources(scope, rows, POOL, COUNTS, seed, purpose)


def dealt(sources, samples, scope="pooled", seed=0):
    return deal_sources(scope, sources, draws.key(seed, "deal"), torch.as_tensor(samples))


@pytest.mark.parametrize(
    ("scope", "rows", "leading"),
    [
        ("shared", (6, 5), (1, 1)),
        ("position", (6, 5), (1, 5)),
        ("batch", (6, 5), (6, 5)),
        ("pooled", (6, 5), (POOL, 1)),
        ("shared", (6,), (1,)),
        ("position", (6,), (1,)),
        ("batch", (6,), (6,)),
        ("pooled", (6,), (POOL,)),
    ],
)
def test_a_source_reaches_as_far_as_its_scope_says_and_has_one_entry_more_for_the_delta(scope, rows, leading):
    sources = start(scope, rows)
    assert {name: tuple(source.shape) for name, source in sources.items()} == {
        "up": (*leading, 8),
        "down": (*leading, 4),
    }
    for source in dealt(sources, range(6), scope).values():
        # What is dealt has one vector for every row, or reaches over rows.
        assert torch.broadcast_shapes(source.shape[:-1], rows) == rows


def test_every_scope_of_the_settings_is_there():
    assert list(SCOPES) == ["shared", "position", "batch", "pooled"]
    for scope in SCOPES:
        WholeModelConfig(sources=scope)


def test_sources_start_uniform_by_seed_purpose_and_site():
    first = start_sources("batch", (50, 20), POOL, {"a": 9, "b": 9}, 0, "sources")
    again = start_sources("batch", (50, 20), POOL, {"b": 9}, 0, "sources")
    assert torch.equal(first["b"], again["b"])
    assert not torch.equal(first["a"], first["b"])
    for other in ((1, "sources"), (0, "fresh 3")):
        assert not torch.equal(start_sources("batch", (50, 20), POOL, {"a": 9}, *other)["a"], first["a"])
    assert 0 <= float(first["a"].min()) < 0.01
    assert 0.99 < float(first["a"].max()) <= 1
    assert float(first["a"].mean()) == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("rows", [(6, 5), (6,)])
def test_each_sample_gets_one_vector_of_the_pool_the_same_at_every_site(rows):
    sources = start("pooled", rows)
    found = dealt(sources, range(40))
    numbers = {}
    for name, source in sources.items():
        assert found[name].shape == (40, *source.shape[1:])
        same = (found[name][:, None] == source).flatten(2).all(-1)  # sample by vector
        assert (same.sum(1) == 1).all()
        numbers[name] = same.int().argmax(1)
    assert torch.equal(numbers["up"], numbers["down"])
    assert set(numbers["up"].tolist()) == set(range(POOL))


def test_the_pool_is_dealt_evenly_and_anew_at_every_step():
    pool = {"a": torch.arange(POOL)[:, None, None].float()}
    first, second = (dealt(pool, range(4000), seed=seed)["a"].flatten().long() for seed in (0, 1))
    counts = torch.bincount(first, minlength=POOL)
    assert (counts - 1000).abs().max() < 130  # a standard deviation is 27
    # Two steps agree on a sample as often as chance lets them.
    assert float((first == second).float().mean()) == pytest.approx(1 / POOL, abs=0.03)


def test_a_samples_vector_does_not_depend_on_its_batch():
    sources = start("pooled")
    whole = dealt(sources, range(16))
    for name, found in dealt(sources, range(8, 16)).items():
        assert torch.equal(found, whole[name][8:])


def test_gradients_flow_to_the_vectors_that_were_dealt_and_no_other():
    source = start("pooled")["up"].requires_grad_()
    found = dealt({"up": source}, [3])["up"]
    weights = torch.arange(8.0) + 1
    (found * weights).sum().backward()
    (chosen,) = (found[0] == source).flatten(1).all(-1).nonzero().flatten().tolist()
    assert torch.equal(source.grad[chosen, 0], weights)
    assert not source.grad[torch.arange(POOL) != chosen].any()


def test_a_vector_that_is_dealt_twice_gets_both_gradients():
    source = torch.rand(1, 1, 3).requires_grad_()
    dealt({"a": source}, range(5))["a"].sum().backward()
    assert torch.equal(source.grad, torch.full((1, 1, 3), 5.0))


@pytest.mark.parametrize("scope", ["shared", "position", "batch"])
def test_what_is_not_pooled_is_handed_on_as_it_is(scope):
    sources = start(scope)
    found = dealt(sources, range(6), scope)
    assert all(found[name] is source for name, source in sources.items())


@calm
@given(
    st.lists(st.floats(0, 1, width=32), min_size=3, max_size=3),
    st.lists(st.sampled_from([-2.0, 0.0, 0.5]), min_size=3, max_size=3),
    st.floats(0, 2, width=32),
)
def test_a_signed_step_goes_uphill_by_the_rate_whatever_the_slope_and_stays_in_0_to_1(source, gradient, rate):
    found = signed_step(torch.tensor(source), torch.tensor(gradient), rate)
    for before, slope, after in zip(source, gradient, found.tolist(), strict=True):
        sign = (slope > 0) - (slope < 0)
        assert after == pytest.approx(min(1, max(0, before + rate * sign)), abs=1e-6)
        assert 0 <= after <= 1


@pytest.mark.parametrize("steps", [0, 1, 3, 50])
def test_an_attack_takes_so_many_steps_uphill(steps):
    slopes = {"up": torch.tensor([2.0, -0.1, 0.0]), "down": torch.tensor([-3.0])}
    sources = {"up": torch.tensor([0.2, 0.9, 0.5]), "down": torch.tensor([0.35])}
    climbed = []

    def climb(leaves):
        total = sum((leaf * slope).sum() for leaf, slope in zip(leaves, slopes.values(), strict=True))
        climbed.append(float(total.detach()))
        return torch.autograd.grad(total, leaves)

    with torch.no_grad():  # as it is called while a loss is being put together
        found = attack(climb, sources, steps, 0.1)
    for name, source in sources.items():
        torch.testing.assert_close(found[name], (source + 0.1 * steps * slopes[name].sign()).clamp(0, 1))
        assert not found[name].requires_grad
    assert list(found) == ["up", "down"]
    assert len(climbed) == steps
    assert climbed == sorted(climbed)


def test_an_attack_leaves_its_start_alone():
    sources = {"up": torch.full((3,), 0.5)}
    found = attack(lambda leaves: [torch.ones_like(leaves[0])], sources, 2, 0.1)
    assert torch.equal(sources["up"], torch.full((3,), 0.5))
    assert not sources["up"].requires_grad
    torch.testing.assert_close(found["up"], torch.full((3,), 0.7))


def test_an_attack_follows_the_slope_where_it_has_come_to():
    """On a hill it walks to the top and stays within a step of it."""
    top = torch.tensor([0.25, 0.8])
    found = attack(lambda leaves: [2 * (top - leaves[0])], {"a": torch.tensor([0.95, 0.1])}, 30, 0.05)
    assert (found["a"] - top).abs().max() <= 0.05 + 1e-6
