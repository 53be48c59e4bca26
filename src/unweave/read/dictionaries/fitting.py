"""Fitting a BatchTopK SAE to rows: steps, dead latents, the threshold for inference, checkpoints."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unweave.base.errors import UnweaveError
from unweave.base.progress import Progress, Silent
from unweave.base.seeds import torch_generator
from unweave.decompose.checkpoint import (
    CHECKPOINT_SECONDS,
    not_finite,
    optimiser_tensors,
    read_checkpoint,
    restore_optimiser,
    write_checkpoint,
)
from unweave.read.dictionaries.batch_topk import Weights, keep_largest, losses, products, start_weights
from unweave.read.dictionaries.training_config import SAEConfig

START_ROWS = 4096
"""Rows that the decoder's bias is the median of."""
THRESHOLD_BATCHES = 32
_LABEL = "adam"


@dataclass(frozen=True)
class Fitted:
    """Weights for the rows as they are, and what it took."""

    weights: Weights
    threshold: float
    """A latent is kept at inference where it is above this: the mean, over batches, of the smallest kept."""
    steps: int
    seconds: float


def fit_batch_topk(
    values: Float[Tensor, "n d"],
    chosen: Int[Tensor, " m"],
    config: SAEConfig,
    seed: int = 0,
    device: torch.device | None = None,
    progress: Progress | None = None,
    checkpoint: Path | None = None,
    data: Mapping[str, Any] | None = None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
) -> Fitted:
    """A BatchTopK SAE of the ``chosen`` rows of ``values``, in any floating type, trained in float32 on ``device``.

    Rows are scaled to a mean squared norm of 1 while they are trained on, and the scale is folded into the weights at
    the end. With ``checkpoint`` an interrupted fit goes on from there to the same weights, bit for bit on one machine;
    ``data`` says what the rows are. Raises ``UnweaveError`` for too few rows, a checkpoint of others and a loss that
    is not finite.
    """
    progress, device = progress or Silent(), device or torch.device("cpu")
    latents, batch = config.expansion * values.shape[1], min(config.batch, len(chosen))
    if len(chosen) < 2 or config.k > latents:
        raise UnweaveError(
            f"{len(chosen)} tokens for {latents} latents of which {config.k} are kept: give more tokens, or a lower k"
        )
    scale = _root_mean_square(values, chosen)
    rows = _Rows(values, chosen, scale, seed, batch, device)
    steps = config.epochs * rows.batches
    fit = _Fit(rows, latents, config, steps)
    settings = {**(data or {}), "config": asdict(config), "seed": seed, "rows": len(chosen), "width": values.shape[1]}
    stored = read_checkpoint(checkpoint, settings) if checkpoint is not None else None
    done, before = (0, 0.0) if stored is None else (stored.step, stored.seconds)
    if stored is not None:
        fit.restore(stored.tensors)
    started = saved = time.monotonic()
    for step in range(done, steps):
        error = fit.step(step)
        if error is None:
            raise not_finite(step, rows.batch(step), fit.rate, checkpoint)
        now = time.monotonic()
        progress.update(step + 1, steps, f"error {error:.3f}, {len(fit.dead())} dead")
        if checkpoint is not None and (now - saved > checkpoint_seconds or step + 1 == steps):
            write_checkpoint(checkpoint, settings, step + 1, fit.tensors(), before + now - started)
            saved = time.monotonic()
    seconds = before + time.monotonic() - started
    return Fitted(fit.weights().in_units(scale), fit.threshold() * scale, steps, seconds)


class _Rows:
    """Batches of scaled rows, dealt anew in each epoch; the last rows of an epoch that fill no batch are left out."""

    def __init__(self, values: Tensor, chosen: Tensor, scale: float, seed: int, size: int, device: torch.device):
        self.values, self.chosen, self.scale, self.seed, self.size, self.device = (
            values, chosen, scale, seed, size, device,
        )  # fmt: skip
        self.batches = len(chosen) // size
        self.dealt: tuple[int, Tensor] = (-1, chosen)

    def batch(self, step: int) -> Float[Tensor, "b d"]:
        epoch, number = divmod(step, self.batches)
        if self.dealt[0] != epoch:
            order = torch.randperm(len(self.chosen), generator=torch_generator(self.seed, "sae epoch", epoch))
            self.dealt = (epoch, self.chosen[order])
        picked = self.dealt[1][number * self.size : (number + 1) * self.size]
        return self.values[picked].to(self.device).float() / self.scale


class _Fit:
    """Weights, their optimiser, and since how many tokens each latent has not fired."""

    def __init__(self, rows: _Rows, latents: int, config: SAEConfig, steps: int) -> None:
        self.rows, self.config, self.steps = rows, config, steps
        first = torch.cat([rows.batch(step) for step in range(min(-(-START_ROWS // rows.size), rows.batches))])
        self.parameters = {
            name: torch.nn.Parameter(tensor)
            for name, tensor in start_weights(first, latents, rows.seed).named().items()
        }
        self.rate = config.learning_rate or 2e-4 / (latents / 2**14) ** 0.5
        fused = rows.device.type in ("cpu", "cuda")
        self.optimiser = torch.optim.Adam(self.parameters.values(), lr=self.rate, fused=fused)
        self.silent = torch.zeros(latents, dtype=torch.long, device=rows.device)
        self.least = 0.0

    def weights(self) -> Weights:
        return Weights(**{name: parameter.detach() for name, parameter in self.parameters.items()})

    def dead(self) -> Int[Tensor, " e"]:
        return (self.silent > self.config.dead_after).nonzero().squeeze(1)

    def step(self, step: int) -> float | None:
        """One step; the error as a share of the mean squared norm, or None where the loss is not finite."""
        rows, decoder = self.rows.batch(step), self.parameters["decoder"]
        found = losses(Weights(**self.parameters), rows, self.config.k, self.dead(), 0.8 * self.least)
        loss = found.error + self.config.auxiliary * found.auxiliary
        if not bool(torch.isfinite(loss)):
            return None
        self.optimiser.zero_grad()
        loss.backward()
        with torch.no_grad():
            # Along the direction itself a step would be undone by the normalisation, and Adam's moments would keep it.
            gradient = decoder.grad
            assert gradient is not None  # noqa: S101
            gradient -= (gradient * decoder).sum(1, keepdim=True) * decoder
            for group in self.optimiser.param_groups:
                group["lr"] = self.rate * _schedule(step, self.steps)
            self.optimiser.step()
            decoder /= decoder.norm(dim=1, keepdim=True)
        self.silent += len(rows)
        self.silent[found.kept.latents] = 0
        self.least = found.kept.least
        return float(found.error.detach())

    def threshold(self) -> float:
        """The mean of the smallest kept value over batches, with the weights as they are."""
        count = min(THRESHOLD_BATCHES, self.rows.batches)
        weights, least = self.weights(), []
        for step in range(count):
            least.append(keep_largest(products(weights, self.rows.batch(step)), self.config.k, 0.8 * self.least).least)
        return sum(least) / count

    def tensors(self) -> dict[str, Tensor]:
        state = optimiser_tensors(_LABEL, self.optimiser, self.parameters)
        return {**self.weights().named(), **state, "silent": self.silent, "least": torch.tensor(self.least)}

    def restore(self, stored: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(stored[name])
        restore_optimiser(_LABEL, self.optimiser, self.parameters, stored)
        self.silent.copy_(stored["silent"])
        self.least = float(stored["least"])


def _schedule(step: int, steps: int) -> float:
    """The learning rate's factor: up over the first twentieth, down to 0 over the last fifth."""
    return min(1.0, (step + 1) / max(steps / 20, 1), (steps - step) / max(steps / 5, 1))


def _root_mean_square(values: Tensor, chosen: Tensor, block: int = 1 << 14) -> float:
    """The root of the mean squared norm of the chosen rows."""
    squares = sum(float(values[part].float().square().sum(dtype=torch.float64)) for part in chosen.split(block))
    found = (squares / len(chosen)) ** 0.5
    if not 0 < found < float("inf"):
        raise UnweaveError(f"the rows' root mean squared norm is {found}: they are all 0, or not finite")
    return found
