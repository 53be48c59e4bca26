"""Takes sites of a model apart together: the training loop of the whole-model method."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from unweave.base.errors import UnweaveError
from unweave.base.progress import Progress, Silent
from unweave.decompose import draws
from unweave.decompose.adversary import attack, start_sources
from unweave.decompose.batches import Batches
from unweave.decompose.checkpoint import optimiser_tensors, read_checkpoint, restore_optimiser, write_checkpoint
from unweave.decompose.config import WholeModelConfig
from unweave.decompose.decomposition import Decomposition
from unweave.decompose.masked import MaskedTarget, check_rows
from unweave.decompose.objective import Batch, Objective
from unweave.decompose.pruning import kept_subcomponents, shortened
from unweave.decompose.start import initial_tensors
from unweave.models.sites import Site
from unweave.models.target import Target

LOG_EVERY = 50
CHECKPOINT_SECONDS = 60.0
START_BATCHES = 8
"""Batches whose inputs the subcomponents may start from."""
USAGE_MEMORY = 0.99
"""Part of the running mean of firing rates that a step keeps: what did not fire in a few hundred steps is near 0."""


def train_whole_model(
    target: Target,
    sites: Sequence[Site],
    batches: Batches,
    config: WholeModelConfig,
    *,
    base: Target | None = None,
    known: Decomposition | None = None,
    checkpoint: Path | None = None,
    origin: str = "",
    progress: Progress | None = None,
    log: Callable[[dict[str, float]], None] | None = None,
) -> dict[str, Tensor]:
    """Trains subcomponents and importance function of all sites; returns their tensors by name.

    Names are ``SITE/V`` (d_in, C), ``SITE/U`` (C, d_out) and those of the importance function. The loss is the weighted
    reconstructions of ``config``, the importance and frequency penalties, and faithfulness. With ``base`` the sites'
    difference from that checkpoint is taken apart; with ``known`` its subcomponents are trained on.

    ``checkpoint`` is a file written every minute and continued from; all random numbers are keyed by seed, step and
    sample, so a resumed run gives the weights of an uninterrupted one. ``origin`` says which target and data these
    are. Raises ``UnweaveError`` when the loss stops being finite, naming the last checkpoint.
    """
    progress = progress or Silent()
    with MaskedTarget(target, sites, base).attached() as model:
        training = Training(model, batches, config, origin, progress)
        start = training.resume(checkpoint) if checkpoint else 0
        if start == 0:
            training.begin(known)
        clock = saved = time.monotonic()
        for step in range(start, config.steps):
            training.prune_if_due(step)
            values = training.step(step)
            if not all(map(math.isfinite, values.values())):
                raise UnweaveError(_not_finite(step, config, checkpoint))
            if step % LOG_EVERY == LOG_EVERY - 1 or step == config.steps - 1:
                note = f"error {values['reconstruction']:.4f} L0 {values['l0']:.1f} of {values['alive']:.0f}"
                progress.update(step + 1, config.steps, note)
                if log:
                    log({"step": step + 1, "seconds": time.monotonic() - clock, **values})
            if checkpoint and time.monotonic() - saved > CHECKPOINT_SECONDS:
                training.save(checkpoint, step + 1)
                saved = time.monotonic()
        return training.result()


def _not_finite(step: int, config: WholeModelConfig, checkpoint: Path | None) -> str:
    kept = f"; the last good state is {checkpoint}" if checkpoint and checkpoint.exists() else ""
    return (
        f"the loss stopped being finite at step {step + 1}: lower learning_rate (now {config.learning_rate:g}) and "
        f"start again with another --out{kept}"
    )


class Training:
    """What a run holds: trained tensors with their fixed scales, the adversary's sources, and both optimisers."""

    def __init__(
        self,
        model: MaskedTarget,
        batches: Batches,
        config: WholeModelConfig,
        origin: str = "",
        progress: Progress | None = None,
    ) -> None:
        self.model, self.batches, self.config, self.progress = model, batches, config, progress or Silent()
        self.objective = Objective(model, config)
        self.device = model.target.device
        self.settings = {"sites": [site.name for site in model.sites], "origin": origin, "config": asdict(config)}

    def begin(self, known: Decomposition | None = None) -> None:
        """Initial tensors, then (where nothing is known yet) the steps on faithfulness alone."""
        config = self.config
        rows, inputs = self._first_inputs()
        state = initial_tensors(self.model.sites, self.model.weights, inputs, config, known)
        counts = {site.name: state[f"{site.name}/V"].shape[1] for site in self.model.sites}
        sources: dict[str, Tensor] = {}
        if config.attacks and config.adversary == "persistent":
            sources = start_sources(config.sources, rows, config.pool, counts, config.seed, "sources")
        self._hold(state, sources, {name: torch.ones(count) for name, count in counts.items()})
        if known is None:
            self._make_faithful()

    def _first_inputs(self) -> tuple[tuple[int, ...], dict[str, Tensor]]:
        """A batch's rows, and the sites' inputs in the first few batches, side by side."""
        found: list[dict[str, Tensor]] = []
        rows: tuple[int, ...] = ()
        with torch.no_grad():
            for step in range(START_BATCHES):
                batch = self.batches(step).to(self.device)
                _, inputs = self.model.clean(batch)
                rows = check_rows(inputs, self.model.sites, batch)
                found.append(inputs)
        return rows, {name: torch.cat([inputs[name] for inputs in found]) for name in found[0]}

    def _hold(self, state: Mapping[str, Tensor], sources: Mapping[str, Tensor], usage: Mapping[str, Tensor]) -> None:
        # Contiguous and in the order of names, as a checkpoint gives them back: other strides and sums of norms in
        # another order would round otherwise, and a resumed run would not be the uninterrupted one.
        def held(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
            return {
                name: tensor.detach().to(self.device).clone(memory_format=torch.contiguous_format)
                for name, tensor in sorted(tensors.items())
            }

        self.state, self.sources, self.usage = held(state), held(sources), held(usage)
        self.trained = {name: tensor for name, tensor in self.state.items() if not name.endswith("scale")}
        for tensor in (*self.trained.values(), *self.sources.values()):
            tensor.requires_grad_()
        importance = {name for name in self.trained if "importance." in name}
        # Subcomponents and importance function are clipped apart: the penalties' gradients would drown the others,
        # and late collapses of published runs came from an importance function that was not clipped at all.
        self.clipped = [
            [tensor for name, tensor in self.trained.items() if (name in importance) == own] for own in (False, True)
        ]
        self.down = torch.optim.AdamW(self.trained.values(), lr=0.0, weight_decay=0.0, fused=True)
        self.up = None
        if self.sources:
            rate = self.config.adversary_rate
            self.up = torch.optim.Adam(self.sources.values(), lr=rate, betas=(0.5, 0.99), maximize=True, fused=True)

    def _make_faithful(self) -> None:
        config = self.config
        if not config.faithfulness_steps:
            return
        pieces = [self.state[f"{site.name}/{side}"] for site in self.model.sites for side in "VU"]
        optimiser = torch.optim.AdamW(pieces, lr=config.faithfulness_rate, weight_decay=0.0, fused=True)
        for _ in range(config.faithfulness_steps):
            optimiser.zero_grad()
            self.objective.faithfulness(self.objective.pieces(self.state)).backward()
            optimiser.step()
        optimiser.zero_grad()

    def step(self, step: int) -> dict[str, float]:
        """One step of training; returns what was measured."""
        config = self.config
        values = self.batches(step).to(self.device)
        with torch.no_grad():
            clean, inputs = self.model.clean(values)
        key = draws.key(config.seed, "draws", step).to(self.device)
        batch = Batch(values, clean, inputs, torch.arange(len(values), device=self.device), key)
        attacking = config.attacks and step >= config.adversary_start * config.steps
        schedule = {name: torch.tensor(v, device=self.device) for name, v in self._schedule(step, attacking).items()}
        sources = self._sources(step, batch, attacking)
        loss, parts, usage = self.objective.loss(self.state, sources, batch, schedule, attacking)
        loss.backward()
        self._descend(step)
        if attacking:
            self._ascend()
        with torch.no_grad():
            for name, rates in usage.items():
                self.usage[name].lerp_(rates, 1 - USAGE_MEMORY)
        alive = (torch.cat(list(self.usage.values())) > config.prune_below).sum()
        measured = {name: float(value) for name, value in parts.items()}
        return {"loss": float(loss.detach()), **measured, "anneal": float(schedule["anneal"]), "alive": float(alive)}

    def _schedule(self, step: int, attacking: bool) -> dict[str, float]:
        config = self.config
        done = min(1.0, step / (config.annealed_over * config.steps))
        risen = min(1.0, step / (config.sparsity_rise * config.steps)) if config.sparsity_rise else 1.0
        return {
            "anneal": config.anneal_from + (config.anneal_to - config.anneal_from) * done,
            "adversarial": config.adversarial_fraction if attacking else 0.0,
            "sparsity": config.sparsity * risen,
        }

    def _sources(self, step: int, batch: Batch, attacking: bool) -> dict[str, Tensor]:
        """The adversary's sources for this step, after its ascent steps."""
        config = self.config
        if config.attacks and config.adversary == "fresh":
            start = self._fresh(step, batch)
            if not attacking:
                return start
            names = list(start)
            return attack(
                lambda leaves: self.objective.climb(self.state, dict(zip(names, leaves, strict=True)), batch),
                start,
                config.ascent_steps,
                config.adversary_rate,
            )
        for _ in range(config.ascent_steps if attacking else 0):
            gradients = torch.autograd.grad(
                self.objective.climb(self.state, self.sources, batch), list(self.sources.values())
            )
            for source, gradient in zip(self.sources.values(), gradients, strict=True):
                source.grad = gradient
            self._ascend()
        return self.sources

    def _fresh(self, step: int, batch: Batch) -> dict[str, Tensor]:
        config = self.config
        counts = {name: len(mean) for name, mean in self.usage.items()}
        rows = tuple(next(iter(batch.inputs.values())).shape[:-1])
        found = start_sources(config.sources, rows, config.pool, counts, config.seed, f"fresh {step}")
        return {name: source.to(self.device) for name, source in found.items()}

    def _descend(self, step: int) -> None:
        config = self.config
        warm = min(1.0, (step + 1) / max(1, config.steps // 100))
        cosine = 0.5 * (1 + math.cos(math.pi * step / config.steps))
        decayed = config.final_rate + (1 - config.final_rate) * cosine
        self.down.param_groups[0]["lr"] = config.learning_rate * warm * decayed
        for parameters in self.clipped:
            torch.nn.utils.clip_grad_norm_(parameters, config.gradient_clip)
        self.down.step()
        self.down.zero_grad(set_to_none=True)

    def _ascend(self) -> None:
        if self.up is None:
            return
        self.up.step()
        self.up.zero_grad(set_to_none=True)
        with torch.no_grad():
            for source in self.sources.values():
                source.clamp_(0, 1)

    def prune_if_due(self, step: int) -> None:
        """Drops subcomponents whose running firing rate is below the threshold, at the parts of the run named."""
        config = self.config
        if step not in [max(1, round(part * config.steps)) for part in config.prune_at]:
            return
        keep = {name: kept_subcomponents(usage, config.prune_below) for name, usage in self.usage.items()}
        dropped = sum(len(usage) - len(keep[name]) for name, usage in self.usage.items())
        if dropped:
            self._restore(shortened(self._tensors(), keep, self.objective.kind.per_subcomponent))
            self.progress.say(f"step {step}: dropped {dropped} subcomponents that were not used")

    def _tensors(self) -> dict[str, Tensor]:
        sources = {f"sources:{name}": tensor for name, tensor in self.sources.items()}
        found = dict(self.state) | sources | {f"usage:{name}": tensor for name, tensor in self.usage.items()}
        found |= optimiser_tensors("descent", self.down, self.trained)
        return found | (optimiser_tensors("ascent", self.up, sources) if self.up is not None else {})

    def _restore(self, tensors: Mapping[str, Tensor]) -> None:
        def under(prefix: str) -> dict[str, Tensor]:
            return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}

        state = {name: tensor for name, tensor in tensors.items() if ":" not in name}
        self._hold(state, under("sources:"), under("usage:"))
        restore_optimiser("descent", self.down, self.trained, tensors)
        if self.up is not None:
            sources = {f"sources:{name}": tensor for name, tensor in self.sources.items()}
            restore_optimiser("ascent", self.up, sources, tensors)

    def save(self, path: Path, step: int) -> None:
        tensors = self._tensors()
        # A step can end in weights that only the next loss shows to be lost: what was good stays.
        if all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values()):
            write_checkpoint(path, self.settings, step, tensors)

    def resume(self, path: Path) -> int:
        found = read_checkpoint(path, self.settings)
        if found is None:
            return 0
        self._restore(found[1])
        return found[0]

    def result(self) -> dict[str, Tensor]:
        """The trained tensors and input scales on the CPU; the weights' scale is worked into U."""
        found = {name: tensor.detach().cpu() for name, tensor in self.state.items()}
        for site in self.model.sites:
            found[f"{site.name}/U"] = found[f"{site.name}/U"] * found.pop(f"{site.name}/weight_scale")
        return found
