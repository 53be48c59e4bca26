"""Takes one matrix apart from its own inputs: the training loop, its checkpoints, its compiled step."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unweave.base.device import compiler_works
from unweave.base.errors import UnweaveError, first_line
from unweave.base.progress import Progress, Silent
from unweave.base.seeds import numpy_generator, torch_generator
from unweave.decompose import numerics
from unweave.decompose.checkpoint import (
    CHECKPOINT_SECONDS,
    not_finite,
    optimiser_tensors,
    read_checkpoint,
    restore_optimiser,
    write_checkpoint,
)
from unweave.decompose.clock import Clock
from unweave.decompose.config import SiteLocalConfig
from unweave.decompose.decomposition import SiteSubcomponents
from unweave.decompose.importance import Importance, importance_logits, init_importance

TRAINED = ("V", "U", "A", "a", "B", "b")
LOG_EVERY, LOGGED_STEPS = 50, 200
"""A run measures about 200 of its steps, a longer one every 50th."""


@dataclass
class Inputs:
    """A site's inputs by window: anything indexable that gives (windows, length, d_in) in any float dtype.

    Position 0 is kept apart: its sink activations are of another size and kind than every other token's, so it has a
    share of each batch of its own and its error is reported on its own.
    """

    values: np.ndarray
    scale: float
    rows: np.ndarray | None = None
    """Windows to draw from, a window as often as it stands here; every window once when None."""

    def sample(self, generator: np.random.Generator, count: int) -> Float[Tensor, "count d_in"]:
        """Random tokens, the first ``count // length`` of them from position 0 and the rest from later ones."""
        windows, length = self.values.shape[:2]
        first = max(1, count // length)
        rows = generator.integers(0, windows if self.rows is None else len(self.rows), count)
        if self.rows is not None:
            rows = self.rows[rows]
        columns = generator.integers(1, length, count)
        columns[:first] = 0
        picked = torch.from_numpy(np.ascontiguousarray(self.values[rows, columns]))
        return picked.float() * self.scale


def subcomponent_count(config: SiteLocalConfig, d_in: int, d_out: int) -> int:
    """Capacity times the rank, rounded up to a multiple of 32."""
    return max(32, math.ceil(config.capacity * min(d_in, d_out) / 32) * 32)


def train_site(
    site: str,
    weight: Float[Tensor, "d_out d_in"],
    inputs: Inputs,
    config: SiteLocalConfig,
    *,
    checkpoint: Path | None = None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    origin: str = "",
    clock: Clock | None = None,
    progress: Progress | None = None,
    device: torch.device | None = None,
    log: Callable[[dict[str, float]], None] | None = None,
) -> SiteSubcomponents:
    """Trains subcomponents and importance function of one site.

    Loss: per-token relative error of the site's output under merged masks (a part of the batch adversarial, the rest
    stochastic; VPD's merged reconstruction), plus smooth-L0 and frequency penalties and faithfulness. The matrix and
    inputs are brought to unit scale first, so the defaults carry over to matrices of any size.

    ``checkpoint`` is a file written every ``checkpoint_seconds`` and after the last step, and continued from when it
    exists; its random numbers are keyed by seed and step, so a resumed run sees the same batches. ``origin`` says which
    target and text the inputs are from: a checkpoint of another origin, site or config is refused. ``clock`` is what
    the seconds in the checkpoint and the log are read from, and is set forward when a training goes on. Raises
    ``UnweaveError`` when the loss stops being finite or the disk is full, naming the last good checkpoint.
    """
    progress, clock = progress or Silent(), clock or Clock()
    device = device or torch.device("cpu")
    W = weight.detach().float().cpu()
    d_out, d_in = W.shape
    input_scale = _root_mean_square(inputs)
    weight_scale = float(W.norm() / math.sqrt(d_out))  # makes entries of W / weight_scale of variance 1 / d_in
    if not (weight_scale > 0 and input_scale > 0 and math.isfinite(weight_scale * input_scale)):
        raise UnweaveError(f"site {site!r} has a weight or inputs that are all zero or not finite")
    W = (W / weight_scale).to(device)
    count = subcomponent_count(config, d_in, d_out)
    state = _initial_state(config, d_in, d_out, count, device)
    optimiser = _Adam(state, config)
    settings = {"site": site, "origin": origin, "config": asdict(config)}
    start = _resume(checkpoint, settings, state, optimiser, clock) if checkpoint else 0
    step_loss = _compiled_loss(config, progress)
    every = min(LOG_EVERY, max(1, config.steps // LOGGED_STEPS))
    saved = time.monotonic()
    for step in range(start, config.steps):
        x = inputs.sample(numpy_generator(config.seed, site, "batch", step), config.batch).to(device) / input_scale
        draw = torch_generator(config.seed, site, "masks", step)
        random_source = torch.rand(config.batch, count + 1, generator=draw).to(device)
        dealt = torch.randint(config.adversaries, (config.batch,), generator=draw).to(device)
        gamma = 1 + (config.gamma_end - 1) * min(1.0, step / (0.9 * config.steps))
        loss, parts = step_loss(W, x, random_source, dealt, torch.tensor(gamma, device=device), state)
        loss.backward()
        optimiser.step(step)
        last = step == config.steps - 1
        if last or step % every == every - 1:
            values = dict(zip(_PARTS, parts.tolist(), strict=True))
            if not math.isfinite(values["error"]) or (last and not _is_finite(state)):
                raise not_finite(step, x, config.learning_rate, checkpoint, site)
            note = f"error {values['error']:.3f} L0 {values['l0']:.1f} faith {values['faithfulness']:.1e}"
            progress.update(step + 1, config.steps, note)
            if log:
                log({"step": step + 1, "gamma": gamma, "seconds": clock.seconds, **values})
        if checkpoint and (last or time.monotonic() - saved >= checkpoint_seconds):
            _save(checkpoint, settings, state, optimiser, step + 1, clock.seconds)
            saved = time.monotonic()
    tensors = {name: tensor.detach().cpu() for name, tensor in state.items()}
    importance = Importance(torch.tensor(input_scale), tensors["A"], tensors["a"], tensors["B"], tensors["b"])
    return SiteSubcomponents(site, tensors["V"], tensors["U"] * weight_scale, importance)


_PARTS = ("error", "adversarial_error", "first_token_error", "l0", "faithfulness")


def _initial_state(
    config: SiteLocalConfig, d_in: int, d_out: int, count: int, device: torch.device
) -> dict[str, Tensor]:
    generator = torch_generator(config.seed, "initial")
    state = {
        "V": torch.randn(d_in, count, generator=generator) / math.sqrt(d_in),
        "U": torch.randn(count, d_out, generator=generator) / math.sqrt(count),
        **init_importance(d_in, config.hidden, count, generator),
        "sources": torch.rand(config.adversaries, count + 1, generator=generator),
    }
    return {name: tensor.to(device).requires_grad_() for name, tensor in state.items()}


def _loss(
    W: Float[Tensor, "d_out d_in"],
    x: Float[Tensor, "n d_in"],
    random_source: Float[Tensor, "n c_plus_1"],
    dealt: Tensor,
    gamma: Tensor,
    state: dict[str, Tensor],
    config: SiteLocalConfig,
) -> tuple[Tensor, Tensor]:
    n = x.shape[0]
    adversarial = (torch.arange(n, device=x.device) % 100 < round(100 * config.adversarial_fraction))[:, None]
    source = torch.where(adversarial, state["sources"][dealt], random_source)
    z = importance_logits(x, state["A"], state["a"], state["B"], state["b"])
    mask = numerics.fill_masks(numerics.lower_leaky(z), source[:, :-1])
    wx = x @ W.T
    output = numerics.masked_output(x, wx, state["V"], state["U"], mask, source[:, -1:])
    errors = numerics.relative_error(output, wx)
    psi = numerics.smooth_l0(numerics.upper_leaky(z), gamma)
    faith = numerics.faithfulness(W, state["V"], state["U"])
    sparsity = psi.sum(-1).mean() + config.frequency * numerics.frequency_penalty(
        psi.mean(0), config.frequency_reference
    )
    loss = errors.mean() + config.sparsity * sparsity + config.faithfulness * faith
    with torch.no_grad():
        attacked = adversarial[:, 0].float()
        parts = torch.stack(
            [
                errors.mean(),
                (errors * attacked).sum() / attacked.sum().clamp_min(1),
                errors[: max(1, n // config.window_length)].mean(),
                (z > 0.1).float().sum(-1).mean(),
                faith,
            ]
        )
    return loss, parts


def _compiled_loss(config: SiteLocalConfig, progress: Progress) -> Callable[..., tuple[Tensor, Tensor]]:
    def eager(*arguments: object) -> tuple[Tensor, Tensor]:
        return _loss(*arguments, config)  # type: ignore[arg-type]

    if not compiler_works():
        progress.say("no working C++ compiler for torch.compile: training eagerly, about 2 to 3 times slower")
        return eager
    compiled, works = torch.compile(eager, dynamic=False), True

    def step(*arguments: object) -> tuple[Tensor, Tensor]:
        nonlocal works
        if not works:
            return eager(*arguments)
        try:
            return compiled(*arguments)
        except Exception as error:  # whatever the device's compiler lacks
            failed = first_line(error)
        found = eager(*arguments)  # a fault of the step itself is raised here, as what it is
        works = False
        progress.say(f"torch.compile failed ({failed}): training eagerly, about 2 to 3 times slower")
        return found

    return step


class _Adam:
    """AdamW for what is trained (downhill) and Adam for the adversary's sources (uphill, kept in [0, 1])."""

    def __init__(self, state: dict[str, Tensor], config: SiteLocalConfig) -> None:
        self.state, self.config = state, config
        trained = [state[name] for name in TRAINED]
        self.down = torch.optim.AdamW(trained, lr=config.learning_rate, weight_decay=0.0, fused=True)
        self.up = torch.optim.Adam(
            [state["sources"]], lr=config.adversary_rate, betas=(0.5, 0.99), maximize=True, fused=True
        )

    def step(self, step: int) -> None:
        config, state = self.config, self.state
        warm = min(1.0, (step + 1) / max(1, config.steps // 100))
        decayed = 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * step / config.steps))
        self.down.param_groups[0]["lr"] = config.learning_rate * warm * decayed
        # Subcomponents and importance function are clipped apart: the penalties' gradients would drown the others.
        torch.nn.utils.clip_grad_norm_([state["V"], state["U"]], config.gradient_clip)
        torch.nn.utils.clip_grad_norm_([state[name] for name in ("A", "a", "B", "b")], config.gradient_clip)
        self.down.step()
        self.up.step()
        with torch.no_grad():
            state["sources"].clamp_(0, 1)
        self.down.zero_grad(set_to_none=True)
        self.up.zero_grad(set_to_none=True)

    def tensors(self) -> dict[str, Tensor]:
        sources = {"sources": self.state["sources"]}
        return optimiser_tensors("down", self.down, self._trained()) | optimiser_tensors("up", self.up, sources)

    def load(self, kept: dict[str, Tensor]) -> None:
        restore_optimiser("down", self.down, self._trained(), kept)
        restore_optimiser("up", self.up, {"sources": self.state["sources"]}, kept)

    def _trained(self) -> dict[str, Tensor]:
        return {name: self.state[name] for name in TRAINED}


def _is_finite(state: dict[str, Tensor]) -> bool:
    return all(bool(torch.isfinite(tensor).all()) for tensor in state.values())


def _save(
    path: Path, settings: dict[str, Any], state: dict[str, Tensor], optimiser: _Adam, step: int, seconds: float
) -> None:
    tensors = {f"state/{name}": tensor for name, tensor in state.items()}
    write_checkpoint(path, settings, step, tensors | optimiser.tensors(), seconds)


def _resume(path: Path, settings: dict[str, Any], state: dict[str, Tensor], optimiser: _Adam, clock: Clock) -> int:
    found = read_checkpoint(path, settings)
    if found is None:
        return 0
    with torch.no_grad():
        for name, tensor in state.items():
            tensor.copy_(found.tensors[f"state/{name}"])
    optimiser.load(found.tensors)
    clock.before = found.seconds
    return found.step


def _root_mean_square(inputs: Inputs) -> float:
    sample = inputs.sample(np.random.default_rng(0), min(4096, inputs.values.shape[0] * inputs.values.shape[1]))
    first = max(1, len(sample) // inputs.values.shape[1])
    return float(sample[first:].square().mean().sqrt())
