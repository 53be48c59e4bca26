from __future__ import annotations

import pytest
import torch

from unweave.read.dictionaries.batch_topk import (
    Weights,
    decoded,
    geometric_median,
    keep_largest,
    losses,
    products,
    start_weights,
)

TOKENS, WIDTH, LATENTS, KEPT = 24, 6, 15, 3
NONE = torch.empty(0, dtype=torch.long)


def weights(seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return Weights(
        *(torch.randn(shape, generator=generator, dtype=dtype).requires_grad_()
          for shape in [(LATENTS, WIDTH), (LATENTS,), (LATENTS, WIDTH), (WIDTH,)])
    )  # fmt: skip


def rows(count=TOKENS, seed=1, dtype=torch.float64):
    return torch.randn(count, WIDTH, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def dense_losses(w, x, k, dead):
    """The same, written out with dense matrices."""
    found = (x - w.bias) @ w.encoder.T + w.encoder_bias
    least = found.flatten().topk(len(x) * k).values.min()
    latents = torch.relu(found) * (found >= least)
    missed = x - latents @ w.decoder - w.bias
    error = missed.square().sum(1).mean()
    missed, found = missed.detach(), found[:, dead]
    chosen = found.topk(min(WIDTH // 2, len(dead)), dim=1).indices
    kept = torch.zeros_like(found).scatter(1, chosen, torch.relu(found.gather(1, chosen)))
    left = missed - kept @ w.decoder[dead]
    return error, left.square().sum(1).mean() / (missed - missed.mean(0)).square().sum(1).mean()


@pytest.mark.parametrize("dead", [(2,), (0, 3, 4, 9, 14)])
def test_losses_and_gradients_are_those_of_dense_matrices(dead):
    w, x, dead = weights(), rows(), torch.tensor(dead)
    found, expected = losses(w, x, KEPT, dead), dense_losses(w, x, KEPT, dead)
    torch.testing.assert_close(torch.stack([found.error, found.auxiliary]), torch.stack(expected))
    for ours, theirs in ((found.error, expected[0]), (found.auxiliary, expected[1])):
        gradients = (torch.autograd.grad(each, list(w.named().values()), retain_graph=True) for each in (ours, theirs))
        for got, wanted in zip(*gradients, strict=True):
            torch.testing.assert_close(got, wanted)
            assert wanted.abs().max() > 0


def test_the_largest_of_the_whole_batch_are_kept_not_of_each_token():
    found = torch.tensor([[9.0, 8, 7, -1], [1, 2, 6, 0.5], [0.1, 0.2, 0.3, -5]])
    kept = keep_largest(found, 1)
    assert list(zip(kept.rows.tolist(), kept.latents.tolist(), kept.values.tolist(), strict=True)) == [
        (0, 0, 9.0), (0, 1, 8.0), (0, 2, 7.0),
    ]  # fmt: skip
    assert kept.least == 7


@pytest.mark.parametrize("above", [0.0, 0.3, 50.0])
def test_a_guess_of_the_bound_changes_nothing(above):
    found = rows(40, dtype=torch.float32)
    kept = keep_largest(found, 1, above)
    expected = found.flatten().topk(40).indices.sort().values
    assert torch.equal(kept.rows * WIDTH + kept.latents, expected)
    assert torch.equal(kept.values, found.flatten()[expected])


def test_what_is_not_positive_is_never_kept():
    found = torch.tensor([[-1.0, 2.0], [-3.0, -4.0]])
    kept = keep_largest(found, 2)
    assert (kept.rows.tolist(), kept.latents.tolist()) == ([0], [1])
    none = keep_largest(-found.abs(), 2)
    assert len(none.values) == 0
    assert none.least == 0
    w = weights()
    torch.testing.assert_close(decoded(w, none._replace(values=none.values.double()), 2), w.bias.expand(2, WIDTH))


def test_no_dead_latents_have_no_auxiliary_loss():
    assert losses(weights(), rows(), KEPT, NONE).auxiliary == 0


def test_other_units_give_the_same_sae():
    with torch.no_grad():
        w, x = weights(), rows()
        kept, larger = keep_largest(products(w, x), KEPT), keep_largest(products(w.in_units(7.0), 7 * x), KEPT)
        assert torch.equal(kept.latents, larger.latents)
        torch.testing.assert_close(7 * kept.values, larger.values)
        torch.testing.assert_close(7 * decoded(w, kept, TOKENS), decoded(w.in_units(7.0), larger, TOKENS))


def test_the_start_is_unit_directions_around_the_median():
    x = rows(200, dtype=torch.float32)
    x[:60] += 100
    w = start_weights(x, LATENTS, 3)
    torch.testing.assert_close(w.decoder.norm(dim=1), torch.ones(LATENTS))
    assert torch.equal(w.encoder, w.decoder)
    assert w.encoder.data_ptr() != w.decoder.data_ptr()
    assert w.bias.norm() < 3 < x.mean(0).norm()
    assert torch.equal(start_weights(x, LATENTS, 3).decoder, w.decoder)
    assert not torch.equal(start_weights(x, LATENTS, 4).decoder, w.decoder)


def test_the_geometric_median_has_the_least_distance():
    x = rows(50)
    found = geometric_median(x)
    least = (x - found).norm(dim=1).sum()
    for direction in torch.eye(WIDTH, dtype=x.dtype):
        for step in (-0.05, 0.05):
            assert (x - found - step * direction).norm(dim=1).sum() > least
