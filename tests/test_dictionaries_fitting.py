from __future__ import annotations

import pytest
import torch

from unweave.base.errors import UnweaveError
from unweave.read.dictionaries import fitting
from unweave.read.dictionaries.fitting import fit_batch_topk
from unweave.read.dictionaries.training_config import SAEConfig
from unweave.read.dictionaries.training_quality import (
    principal_components_explained,
    random_directions_explained,
    reconstruction,
)

CPU = torch.device("cpu")
WIDTH, PLANTED, ACTIVE = 24, 40, 3
ROWS, HELD_OUT = 6000, 1000
CONFIG = SAEConfig(expansion=2, k=ACTIVE, epochs=40, batch=256, learning_rate=5e-3, dead_after=2000)
CENTRE = 4.0
LARGER = 250.0


def planted(seed=0):
    """Rows of three of forty directions each, around a centre, in units far from 1; and the directions."""
    generator = torch.Generator().manual_seed(seed)
    directions = torch.randn(PLANTED, WIDTH, generator=generator)
    directions /= directions.norm(dim=1, keepdim=True)
    chosen = torch.rand(ROWS + HELD_OUT, PLANTED, generator=generator).topk(ACTIVE, dim=1).indices
    sizes = 1 + torch.rand(chosen.shape, generator=generator)
    latents = torch.zeros(ROWS + HELD_OUT, PLANTED).scatter(1, chosen, sizes)
    centre = CENTRE * torch.randn(WIDTH, generator=generator) / WIDTH**0.5
    return LARGER * (latents @ directions + centre), directions, latents


def gaussian(like, seed=5):
    """Rows of the same mean and covariance in which no direction stands out."""
    centred = like - like.mean(0)
    root = torch.linalg.cholesky(centred.T @ centred / len(like))
    return torch.randn(like.shape, generator=torch.Generator().manual_seed(seed)) @ root.T + like.mean(0)


def best_cosines(found, directions):
    return (directions @ found.T).max(1).values


@pytest.fixture(scope="module")
def made():
    rows, directions, latents = planted()
    return rows, directions, latents, fit_batch_topk(rows, torch.arange(ROWS), CONFIG)


@pytest.fixture(scope="module")
def made_of_gaussian(made):
    return fit_batch_topk(gaussian(made[0]), torch.arange(ROWS), CONFIG)


def test_planted_directions_are_found(made, made_of_gaussian):
    _, directions, _, fitted = made
    assert best_cosines(fitted.weights.decoder, directions).mean() > 0.95
    assert best_cosines(made_of_gaussian.weights.decoder, directions).mean() < 0.8


def test_planted_sizes_come_back_in_units_of_the_rows(made):
    rows, directions, latents, fitted = made
    best = (directions @ fitted.weights.decoder.T).max(1)
    held_out = rows[ROWS:]
    products = (held_out - fitted.weights.bias) @ fitted.weights.encoder.T + fitted.weights.encoder_bias
    read = (products * (products > fitted.threshold))[:, best.indices[best.values > 0.9]]
    truth = LARGER * latents[ROWS:][:, best.values > 0.9]
    assert torch.corrcoef(torch.stack([read.flatten(), truth.flatten()]))[0, 1] > 0.95
    assert abs(float((read[truth > 0] / truth[truth > 0]).median()) - 1) < 0.1


def test_it_explains_more_than_components_and_random_directions(made, made_of_gaussian):
    rows, _, _, fitted = made
    chosen, held_out = torch.arange(ROWS), torch.arange(ROWS, ROWS + HELD_OUT)
    found = reconstruction(fitted.weights, fitted.threshold, rows, held_out, CPU)
    components = principal_components_explained(rows, chosen, held_out, ACTIVE, CPU)
    start = fitting.start_weights(rows[:1000], 2 * WIDTH, 0)
    at_random = random_directions_explained(start, rows, held_out, ACTIVE, CPU)
    assert found.explained > 0.9 > components > 0.1
    assert 0 < at_random < 0.6
    assert abs(found.l0 - ACTIVE) < 0.5
    of_gaussian = reconstruction(
        made_of_gaussian.weights, made_of_gaussian.threshold, gaussian(rows), held_out, CPU
    ).explained  # fmt: skip
    assert of_gaussian < found.explained - 0.2


def test_components_are_those_of_an_svd(made):
    rows = made[0][:500]
    chosen = torch.arange(500)
    sizes = torch.linalg.svdvals((rows - rows.mean(0)).double()).square()
    found = principal_components_explained(rows, chosen, chosen, 5, CPU)
    assert found == pytest.approx(float(sizes[:5].sum() / sizes.sum()), abs=1e-5)


def test_decoder_rows_have_length_one_and_only_chosen_rows_are_seen(made):
    rows, _, _, fitted = made
    torch.testing.assert_close(fitted.weights.decoder.norm(dim=1), torch.ones(2 * WIDTH))
    short = SAEConfig(expansion=2, k=3, epochs=1, batch=256)
    spoiled = rows.clone()
    spoiled[ROWS:] = float("nan")
    again = [fit_batch_topk(each, torch.arange(ROWS), short).weights.decoder for each in (rows, spoiled)]
    assert torch.equal(*again)


def test_dead_latents_come_back_with_the_auxiliary_loss(made, monkeypatch):
    """Latents whose bias lets none fire at the start fire at the end, and do not without that loss."""
    rows, start = made[0], fitting.start_weights

    def half_dead(*arguments):
        weights = start(*arguments)
        weights.encoder_bias[::2] = -0.25
        return weights

    monkeypatch.setattr(fitting, "start_weights", half_dead)
    alive = []
    for auxiliary in (1 / 4, 0.0):
        config = SAEConfig(
            expansion=2, k=3, epochs=10, batch=256, learning_rate=5e-3, dead_after=500, auxiliary=auxiliary
        )
        fitted = fit_batch_topk(rows, torch.arange(ROWS), config)
        fired = reconstruction(fitted.weights, fitted.threshold, rows, torch.arange(ROWS), CPU).fired
        alive.append(int(fired[::2].sum()))
    assert alive[0] > alive[1] + WIDTH // 4


def test_half_precision_rows_and_their_scale_do_not_matter(made):
    rows = made[0]
    short = SAEConfig(expansion=2, k=3, epochs=2, batch=256)
    whole, small = (fit_batch_topk(each, torch.arange(ROWS), short) for each in (rows, rows / 1024))
    torch.testing.assert_close(whole.weights.decoder, small.weights.decoder, atol=1e-4, rtol=1e-3)
    assert whole.threshold == pytest.approx(1024 * small.threshold, rel=1e-3)
    half = fit_batch_topk((rows / 1024).half(), torch.arange(ROWS), short)
    assert (half.weights.decoder * small.weights.decoder).sum(1).mean() > 0.99


class Stop(Exception): ...


class Stopping:
    """A progress that stops the work after some steps."""

    def __init__(self, after):
        self.after, self.seen = after, []

    def update(self, done, total, note=""):
        self.seen.append(done)
        if done == self.after:
            raise Stop

    def say(self, line): ...


def test_an_interrupted_fit_goes_on_to_the_same_weights(made, tmp_path):
    rows = made[0]
    config = SAEConfig(expansion=6, k=1, epochs=1, batch=64, dead_after=100, auxiliary=1.0)
    path = tmp_path / "sae.safetensors"
    plain = fit_batch_topk(rows, torch.arange(ROWS), config)
    with pytest.raises(Stop):
        fit_batch_topk(rows, torch.arange(ROWS), config, progress=Stopping(15), checkpoint=path, checkpoint_seconds=0)
    progress = Stopping(None)
    resumed = fit_batch_topk(rows, torch.arange(ROWS), config, progress=progress, checkpoint=path)
    assert progress.seen[0] == 15
    assert progress.seen[-1] == plain.steps == resumed.steps
    for name, tensor in plain.weights.named().items():
        assert torch.equal(tensor, resumed.weights.named()[name]), name
    assert plain.threshold == resumed.threshold
    with pytest.raises(UnweaveError, match="other settings"):
        fit_batch_topk(rows, torch.arange(ROWS), config, seed=1, checkpoint=path)


def test_what_cannot_be_fitted_is_refused(made):
    rows = made[0]
    with pytest.raises(UnweaveError, match="give more tokens"):
        fit_batch_topk(rows, torch.arange(1), CONFIG)
    with pytest.raises(UnweaveError, match="are all 0"):
        fit_batch_topk(torch.zeros(10, 4), torch.arange(10), CONFIG)
    with pytest.raises(UnweaveError, match="lower learning_rate"):
        fit_batch_topk(rows, torch.arange(ROWS), SAEConfig(expansion=2, k=3, epochs=1, learning_rate=1e38))
    for name, value in {"k": 0, "held_out": 1.0, "norm_limit": 1.0, "auxiliary": -1.0, "learning_rate": 0.0}.items():
        with pytest.raises(UnweaveError, match=name):
            SAEConfig(**{name: value})
