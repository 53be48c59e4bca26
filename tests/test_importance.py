from __future__ import annotations

import pytest
import torch

from unweave.decompose.importance import Importance, importance_logits, init_importance


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
