from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unweave.decompose import numerics

seeds = st.integers(0, 10_000)
unit = st.floats(0, 1, width=32)
calm = settings(max_examples=40, deadline=None)


def uniform(*shape, seed=0, low=0.0, high=1.0):
    return low + (high - low) * torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def slope(function, z, upstream):
    z = torch.tensor([z], requires_grad=True)
    function(z).backward(torch.tensor([upstream]))
    return float(z.grad)


@calm
@given(seeds)
def test_both_hard_sigmoids_are_the_number_itself_between_0_and_1(seed):
    z = uniform(20, seed=seed)
    assert torch.equal(numerics.lower_leaky(z), z)
    assert torch.equal(numerics.upper_leaky(z), z)


def test_the_masks_sigmoid_never_leaves_0_to_1_and_the_penalties_goes_on_slowly_above_1():
    z = torch.tensor([-3.0, -0.1, 0.0, 1.0, 1.5, 4.0])
    assert numerics.lower_leaky(z).tolist() == [0, 0, 0, 1, 1, 1]
    torch.testing.assert_close(numerics.upper_leaky(z), torch.tensor([0, 0, 0, 1, 1.005, 1.03]))


@pytest.mark.parametrize(
    ("z", "upstream", "expected"),
    [
        (0.5, 2.0, 2.0),
        (0.5, -2.0, -2.0),
        (-0.5, 2.0, 0.0),  # descending would push further below 0
        (-0.5, -2.0, -0.02),  # descending raises z: a dead piece may come back
        (1.5, 2.0, 0.0),
        (1.5, -2.0, 0.0),
    ],
)
def test_below_0_only_gradients_that_raise_z_pass_and_above_1_none(z, upstream, expected):
    assert slope(numerics.lower_leaky, z, upstream) == pytest.approx(expected)


@pytest.mark.parametrize(("z", "expected"), [(-0.5, 0.0), (0.5, 1.0), (1.5, 0.01)])
def test_above_1_the_penalty_can_still_bring_z_down(z, expected):
    assert slope(numerics.upper_leaky, z, 1.0) == pytest.approx(expected)


@calm
@given(seeds, st.integers(1, 6), st.integers(1, 6), st.integers(1, 9))
def test_the_masked_output_is_that_of_the_masked_pieces_and_the_masked_delta_built_out(seed, d_in, d_out, count):
    W, V, U = normal(d_out, d_in, seed=seed), normal(d_in, count, seed=seed + 1), normal(count, d_out, seed=seed + 2)
    x, mask, part = normal(5, d_in, seed=seed + 3), uniform(5, count, seed=seed), uniform(5, 1, seed=seed + 1)
    delta = W - (V @ U).T
    explicit = torch.stack(
        [sum(m * U[c] * (V[:, c] @ row) for c, m in enumerate(ms)) for row, ms in zip(x, mask, strict=True)]
    )
    explicit = explicit + part * (x @ delta.T)
    found = numerics.masked_output(x, x @ W.T, V, U, mask, part)
    torch.testing.assert_close(found, explicit, atol=1e-4, rtol=1e-4)


def test_everything_on_is_the_plain_output_and_everything_off_is_nothing():
    W, V, U, x = normal(4, 3), normal(3, 7, seed=1), normal(7, 4, seed=2), normal(5, 3, seed=3)
    torch.testing.assert_close(numerics.masked_output(x, x @ W.T, V, U, torch.ones(5, 7), 1.0), x @ W.T)
    assert not numerics.masked_output(x, x @ W.T, V, U, torch.zeros(5, 7), 0.0).any()
    torch.testing.assert_close(numerics.masked_output(x, x @ W.T, V, U, torch.ones(5, 7), 0.0), x @ V @ U)


@calm
@given(seeds, st.floats(0.01, 100))
def test_the_relative_error_of_a_token_does_not_depend_on_its_size(seed, size):
    wanted, output = normal(4, 6, seed=seed), normal(4, 6, seed=seed + 1)
    base = numerics.relative_error(output, wanted)
    torch.testing.assert_close(numerics.relative_error(size * output, size * wanted), base, rtol=1e-3, atol=1e-5)


def test_the_relative_error_is_0_for_the_wanted_1_for_nothing_and_4_for_the_opposite():
    wanted = normal(3, 6)
    for factor, expected in ((1.0, 0.0), (0.0, 1.0), (-1.0, 4.0)):
        torch.testing.assert_close(numerics.relative_error(factor * wanted, wanted), torch.full((3,), expected))
    assert torch.isfinite(numerics.relative_error(wanted, torch.zeros_like(wanted))).all()


@calm
@given(unit, unit, st.floats(1e-3, 1))
def test_the_smooth_l0_rises_from_0_to_1(first, second, gamma):
    low, high = sorted((first, second))
    found = numerics.smooth_l0(torch.tensor([0.0, low, high, 1.0], dtype=torch.float64), gamma)
    assert float(found[0]) == 0
    assert float(found[3]) == pytest.approx(1)
    assert -1e-9 <= float(found[1]) <= float(found[2]) + 1e-9


def test_the_smooth_l0_counts_what_is_not_zero_when_narrow_and_squares_when_wide():
    g = torch.tensor([0.0, 0.05, 0.5, 1.0])
    torch.testing.assert_close(numerics.smooth_l0(g, 1e-5), torch.tensor([0.0, 1.0, 1.0, 1.0]))
    torch.testing.assert_close(numerics.smooth_l0(g, 1e3), g.square(), atol=1e-5, rtol=1e-3)
    assert float(numerics.smooth_l0(torch.tensor(0.02), 0.02)) == pytest.approx(0.5, abs=1e-3)


@calm
@given(seeds, st.integers(2, 5))
def test_the_frequency_penalty_does_not_depend_on_how_many_tokens_a_batch_has(seed, times):
    psi = uniform(8, 5, seed=seed)
    once, often = (numerics.frequency_penalty(batch.mean(0), 2048) for batch in (psi, psi.repeat(times, 1)))
    torch.testing.assert_close(once, often)


def test_the_frequency_penalty_is_its_formula_and_grows_faster_than_the_frequency():
    expected = 0.5 * math.log2(1 + 10 * 0.5) + 1.0 * math.log2(1 + 10 * 1.0)
    assert float(numerics.frequency_penalty(torch.tensor([0.5, 0.0, 1.0]), 10)) == pytest.approx(expected, rel=1e-6)
    one_always, two_by_turns = torch.tensor([1.0, 0.0]), torch.tensor([0.5, 0.5])
    assert numerics.frequency_penalty(one_always, 10) > numerics.frequency_penalty(two_by_turns, 10)


@calm
@given(unit, st.floats(0.1, 3))
def test_the_lp_penalty_is_a_power_that_is_0_at_0_and_1_at_1(g, p):
    found = numerics.lp_norm(torch.tensor([0.0, g, 1.0], dtype=torch.float64), p)
    assert float(found[0]) == pytest.approx(0, abs=1e-12**p + 1e-12)
    assert float(found[1]) == pytest.approx((g + 1e-12) ** p, rel=1e-6)
    assert float(found[2]) == pytest.approx(1)


@pytest.mark.parametrize("p", [0.4, 1.0, 2.0])
def test_the_lp_penaltys_slope_at_0_is_finite(p):
    g = torch.zeros(1, requires_grad=True)
    numerics.lp_norm(g, torch.tensor(p)).sum().backward()
    assert torch.isfinite(g.grad).all()


@pytest.mark.parametrize("penalty", list(numerics.PENALTIES))
@calm
@given(seeds, st.floats(0.1, 2))
def test_every_penalty_rises_with_the_importance(penalty, seed, width):
    g = uniform(30, seed=seed).sort().values
    found = numerics.PENALTIES[penalty](g, torch.tensor(width))
    assert (found.diff() >= -1e-6).all()


@calm
@given(seeds)
def test_the_kl_is_its_definition_never_negative_and_blind_to_a_constant(seed):
    outputs, wanted = 3 * normal(4, 5, seed=seed), 3 * normal(4, 5, seed=seed + 1)
    p, q = wanted.double().softmax(-1), outputs.double().softmax(-1)
    found = numerics.divergence_kl(outputs, wanted)
    torch.testing.assert_close(found, (p * (p / q).log()).sum(-1).float(), rtol=1e-4, atol=1e-5)
    assert (found >= 0).all()
    torch.testing.assert_close(numerics.divergence_kl(outputs + 7, wanted - 3), found, rtol=1e-3, atol=1e-4)
    assert numerics.divergence_kl(wanted, wanted).abs().max() < 1e-6


def test_the_squared_error_is_the_mean_over_a_rows_entries():
    outputs = torch.tensor([[[1.0, 2.0], [0.0, 0.0]]])
    wanted = torch.tensor([[[1.0, 4.0], [3.0, 1.0]]])
    assert numerics.divergence_mse(outputs, wanted).tolist() == [[2.0, 5.0]]


@calm
@given(seeds, st.floats(10, 1000))
def test_a_normed_row_has_mean_square_1_whatever_its_size(seed, size):
    x = normal(3, 4, 6, seed=seed)
    found = numerics.root_mean_square_norm(size * x)
    torch.testing.assert_close(found.square().mean(-1), torch.ones(3, 4), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(found, numerics.root_mean_square_norm(100 * x), rtol=1e-3, atol=1e-3)
    assert not numerics.root_mean_square_norm(torch.zeros(2, 3)).any()


@calm
@given(seeds, st.integers(1, 6), st.integers(1, 6), st.integers(1, 9))
def test_a_masked_output_keeps_positions_and_takes_a_mask_for_all_rows(seed, d_in, d_out, count):
    W, V, U = normal(d_out, d_in, seed=seed), normal(d_in, count, seed=seed + 1), normal(count, d_out, seed=seed + 2)
    x, mask = normal(2, 3, d_in, seed=seed + 3), uniform(count, seed=seed)
    found = numerics.masked_output(x, x @ W.T, V, U, mask, torch.tensor([0.25]))
    rows = numerics.masked_output(x.flatten(0, 1), x.flatten(0, 1) @ W.T, V, U, mask.expand(6, -1), 0.25)
    torch.testing.assert_close(found.flatten(0, 1), rows)


def test_faithfulness_is_the_deltas_share_of_the_matrix():
    V, U = normal(3, 7), normal(7, 4, seed=1)
    W = (V @ U).T
    assert float(numerics.faithfulness(W, V, U)) < 1e-12
    assert float(numerics.faithfulness(W, V, 0 * U)) == pytest.approx(1)
    assert float(numerics.faithfulness(2 * W, V, U)) == pytest.approx(0.25)


@calm
@given(unit, unit)
def test_masks_lie_between_the_importance_and_1(g, r):
    found = float(numerics.fill_masks(torch.tensor(g), torch.tensor(r)))
    assert g - 1e-6 <= found <= 1 + 1e-6
    assert float(numerics.fill_masks(torch.tensor(g), torch.tensor(0.0))) == g
    assert float(numerics.fill_masks(torch.tensor(g), torch.tensor(1.0))) == pytest.approx(1)
