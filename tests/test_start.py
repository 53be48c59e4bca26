from __future__ import annotations

from dataclasses import replace

import pytest
import tiny
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unweave.base.errors import UnweaveError
from unweave.decompose.config import WholeModelConfig
from unweave.decompose.importance import IMPORTANCES
from unweave.decompose.masked import MaskedTarget
from unweave.decompose.numerics import relative_error
from unweave.decompose.start import (
    initial_tensors,
    pieces_from_independent_inputs,
    pieces_from_inputs,
    random_pieces,
    subcomponent_count,
)

calm = settings(max_examples=30, deadline=None)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def found():
    """The tiny target's sites, weights and inputs of a few batches."""
    target = tiny.words()
    with MaskedTarget(target, target.sites()).attached() as model, torch.no_grad():
        _, inputs = model.clean(torch.cat([tiny.sentences()(step) for step in range(8)]))
    return model.sites, model.weights, inputs


@pytest.mark.parametrize(
    ("options", "d_in", "d_out", "expected"),
    [
        ({}, 576, 576, 576),
        ({}, 576, 1536, 1152),
        ({"capacity": 1.0}, 100, 64, 112),
        ({"capacity": 0.01}, 64, 64, 64),
        ({"subcomponents": 5}, 64, 4096, 5),
    ],
)
def test_the_count_is_a_multiple_of_the_larger_side_or_what_is_asked_for(options, d_in, d_out, expected):
    assert subcomponent_count(WholeModelConfig(**options), d_in, d_out) == expected


def test_random_pieces_have_the_published_variances():
    V, U = random_pieces(200, 300, 400, torch.Generator().manual_seed(0))
    assert (V.shape, U.shape) == ((200, 400), (400, 300))
    assert float(V.var()) * 200 == pytest.approx(1, rel=0.02)
    assert float(U.var()) * 400 == pytest.approx(1, rel=0.02)
    # So their sum has entries of variance 1 / d_in, as matrices over their scale have.
    assert float((V @ U).var()) * 200 == pytest.approx(1, rel=0.05)


@calm
@given(st.integers(0, 1000), st.integers(2, 6), st.integers(2, 6), st.integers(1, 12))
def test_pieces_from_inputs_answer_to_inputs_and_add_up_to_the_matrix_where_they_reach(seed, d_in, d_out, count):
    x, W = normal(40, d_in, seed=seed), normal(d_out, d_in, seed=seed + 1)
    V, U = pieces_from_inputs(x, W, count, torch.Generator().manual_seed(seed))
    assert (V.shape, U.shape) == ((d_in, count), (count, d_out))
    unit = x / x.norm(dim=-1, keepdim=True)
    assert ((unit @ V).max(0).values > 1 - 1e-4).all()  # each is one of the inputs, at length 1
    torch.testing.assert_close(V.T @ V @ U, V.T @ W.T, rtol=1e-2, atol=1e-2)
    if count >= 2 * d_in:
        torch.testing.assert_close(V @ U, W.T, rtol=1e-2, atol=1e-2)


def test_inputs_that_differ_most_are_taken_first():
    """Ten thousand alike and six of their own kind: chance alone would hardly meet those."""
    kinds = torch.eye(7)
    x = torch.cat([kinds[:1].expand(10_000, 7) + 1e-3 * normal(10_000, 7), 5 * kinds[1:]])
    V, _ = pieces_from_inputs(x, normal(4, 7), 7, torch.Generator().manual_seed(0))
    assert sorted(V.abs().argmax(0).tolist()) == list(range(7))


def test_an_input_and_its_opposite_are_one_direction_and_zeros_are_none():
    x = torch.cat([torch.eye(3), -torch.eye(3), torch.zeros(50, 3)])
    V, U = pieces_from_inputs(x, normal(4, 3), 3, torch.Generator().manual_seed(0))
    torch.testing.assert_close((V.T @ V).abs(), torch.eye(3))
    torch.testing.assert_close((V @ U).T, normal(4, 3))


def test_inputs_with_positions_are_rows_like_any_other():
    x, W = normal(6, 5, 4), normal(3, 4, seed=1)
    for one, other in zip(
        pieces_from_inputs(x, W, 6, torch.Generator().manual_seed(0)),
        pieces_from_inputs(x.flatten(0, 1), W, 6, torch.Generator().manual_seed(0)),
        strict=True,
    ):
        assert torch.equal(one, other)


@pytest.mark.parametrize("start", ["inputs", "independent", "random"])
@pytest.mark.parametrize("importance", list(IMPORTANCES))
def test_the_start_has_the_names_and_shapes_that_training_uses(found, start, importance):
    sites, weights, inputs = found
    tensors = initial_tensors(sites, weights, inputs, replace(tiny.CONFIG, start=start, importance=importance))
    for site in sites:
        assert tensors[f"{site.name}/V"].shape == (site.d_in, 12)
        assert tensors[f"{site.name}/U"].shape == (12, site.d_out)
        scale = tensors[f"{site.name}/weight_scale"]
        # The matrix over its scale has entries of variance 1 / d_in, or what is left of it by the mean.
        assert float((weights[site.name] / scale).square().mean()) == pytest.approx(1 / site.d_in)
        unit = inputs[site.name] / tensors[f"{site.name}/importance.scale"]
        assert float(unit.square().mean()) == pytest.approx(1, rel=1e-5)
        z = IMPORTANCES[importance].logits(tensors, inputs)[site.name]
        assert z.shape == (48, tiny.LENGTH, 12)
        assert torch.isfinite(z).all()
        assert torch.equal(tensors[f"{site.name}/importance.b"], torch.full((12,), 0.5))


def test_pieces_from_inputs_start_faithful_to_the_inputs_and_random_ones_do_not(found):
    """Not to all of the matrix: a neuron that hardly fires may be in no input that was drawn."""
    sites, weights, inputs = found
    for start in ("inputs", "random"):
        tensors = initial_tensors(sites, weights, inputs, replace(tiny.CONFIG, start=start))
        for site in sites:
            x, scale = inputs[site.name], tensors[f"{site.name}/weight_scale"]
            found_output = x @ tensors[f"{site.name}/V"] @ tensors[f"{site.name}/U"] * scale
            error = relative_error(found_output, x @ weights[site.name].T).mean()
            assert error < 0.02 if start == "inputs" else error > 0.5


def test_inputs_of_few_directions_get_one_piece_each_and_the_others_start_at_zero_size():
    generator = torch.Generator().manual_seed(0)
    axes = torch.linalg.qr(torch.randn(6, 6, generator=generator)).Q
    x = axes[torch.arange(60) % 4] * torch.linspace(0.5, 2, 60)[:, None]
    weight = torch.randn(5, 6, generator=generator)
    V, U = pieces_from_inputs(x, weight, 9, generator)
    assert V.shape == (6, 9)
    assert U.norm(dim=1).count_nonzero() == 4
    assert torch.allclose((V[:, :4].T @ axes[:4].T).abs().max(0).values, torch.ones(4), atol=1e-5)
    torch.testing.assert_close(x @ V @ U, x @ weight.T)
    torch.testing.assert_close(V[:, 4:].norm(dim=0), torch.ones(5), atol=1.0, rtol=0.0)


def test_directions_that_recur_are_taken_and_mixtures_of_them_are_not():
    generator = torch.Generator().manual_seed(0)
    axes = torch.linalg.qr(torch.randn(9, 9, generator=generator)).Q[:5]
    alone = axes[torch.arange(60) % 5] * (torch.arange(60) % 7 - 3.5)[:, None]
    together = torch.randn(140, 5, generator=generator) @ axes
    x = torch.cat([alone, together])[torch.randperm(200, generator=generator)]
    weight = torch.randn(4, 9, generator=generator)
    V, U = pieces_from_independent_inputs(x, weight, 8, generator)
    assert (V.shape, U.shape) == ((9, 8), (8, 4))
    torch.testing.assert_close((axes @ V[:, :5]).abs().max(1).values, torch.ones(5))
    assert torch.equal(U[5:], torch.zeros(3, 4))
    torch.testing.assert_close(x @ V @ U, x @ weight.T, atol=1e-5, rtol=1e-4)


def test_directions_are_as_many_as_are_independent_and_any_serve_where_none_recurs():
    for x in (normal(6, 3)[torch.arange(90) % 6], normal(300, 3)):
        V, U = pieces_from_independent_inputs(x, normal(4, 3, seed=1), 8, torch.Generator().manual_seed(0))
        assert U.norm(dim=1).count_nonzero() == 3
        torch.testing.assert_close(V @ U, normal(4, 3, seed=1).T, atol=1e-5, rtol=1e-4)


def test_independent_pieces_answer_to_their_own_direction_alone_and_hold_what_no_input_reaches():
    kinds, weight = normal(4, 9), normal(3, 9, seed=1)
    V, U = pieces_from_independent_inputs(kinds[torch.arange(40) % 4], weight, 6, torch.Generator().manual_seed(0))
    unit = kinds / kinds.norm(dim=1, keepdim=True)
    answers = (unit @ V[:, :4]).abs()
    torch.testing.assert_close(answers.sort().values, torch.eye(4)[[3] * 4], atol=1e-4, rtol=0.0)
    torch.testing.assert_close(V @ U, weight.T, atol=1e-4, rtol=1e-3)


def test_the_seed_decides_and_another_site_moves_nothing(found):
    sites, weights, inputs = found
    first = initial_tensors(sites, weights, inputs, tiny.CONFIG)
    again = initial_tensors(sites[1:], weights, inputs, tiny.CONFIG)
    other = initial_tensors(sites, weights, inputs, replace(tiny.CONFIG, seed=1))
    assert all(torch.equal(first[name], tensor) for name, tensor in again.items())
    for name in ("down/V", "down/U", "down/importance.A", "down/importance.B"):
        assert not torch.equal(first[name], other[name])


@pytest.mark.parametrize("what", ["weights", "inputs"])
@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf")])
def test_a_matrix_or_inputs_without_a_scale_are_refused_by_name(found, what, value):
    sites, weights, inputs = found
    broken = {"weights": dict(weights), "inputs": dict(inputs)}
    broken[what]["down"] = torch.full_like(broken[what]["down"], value)
    with pytest.raises(UnweaveError, match=f"^site 'down' has {what} that are all zero or not finite$"):
        initial_tensors(sites, broken["weights"], broken["inputs"], tiny.CONFIG)
