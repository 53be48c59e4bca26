"""Takes sites of a model apart together: the training loop of the whole-model method."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unweave.base.progress import Progress, Silent
from unweave.base.seeds import derive
from unweave.decompose import draws
from unweave.decompose.adversary import attack, check_reach, start_sources
from unweave.decompose.batches import Batches, fingerprint_batches
from unweave.decompose.checkpoint import (
    CHECKPOINT_SECONDS,
    not_finite,
    optimiser_tensors,
    read_checkpoint,
    restore_optimiser,
    write_checkpoint,
)
from unweave.decompose.clock import Clock
from unweave.decompose.config import WholeModelConfig
from unweave.decompose.decomposition import Decomposition
from unweave.decompose.masked import MaskedTarget, check_rows
from unweave.decompose.objective import Batch, Objective
from unweave.decompose.parts import Parts
from unweave.decompose.precomputed import Precomputed
from unweave.decompose.processes import ALONE, Processes, join_processes
from unweave.decompose.pruning import kept_subcomponents, shortened
from unweave.decompose.reconstruction import check_attacked
from unweave.decompose.start import START_BATCHES, initial_tensors, kept_samples
from unweave.models.sites import Site
from unweave.models.target import Target

LOG_EVERY, LOGGED_STEPS = 50, 200
"""A run logs about 200 of its steps, a longer one every 50th."""
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
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    origin: str = "",
    clock: Clock | None = None,
    progress: Progress | None = None,
    log: Callable[[dict[str, float]], None] | None = None,
) -> dict[str, Tensor]:
    """Trains subcomponents and importance function of all sites; returns their tensors by name.

    Names are ``SITE/V`` (d_in, C), ``SITE/U`` (C, d_out) and those of the importance function. The loss is the weighted
    reconstructions of ``config``, the importance and frequency penalties, and faithfulness. With ``base`` the sites'
    difference from that checkpoint is taken apart; with ``known`` its subcomponents are trained on.

    ``checkpoint`` is a file written every ``checkpoint_seconds`` and after the last step, and continued from; all
    random numbers are keyed by seed, step and sample, so a resumed run gives the weights of an uninterrupted one.
    ``origin`` says which target and data these are. ``clock`` is what the seconds in the checkpoint and the log are
    read from, and is set forward when a run goes on. Raises ``UnweaveError`` when the loss stops being finite or the
    disk is full, naming the last good checkpoint.

    Processes of one group (``torchrun`` starts them) share a step's samples: each calls this with the same arguments
    and gets the same tensors, and the first alone writes the checkpoint, reports progress and logs.
    """
    processes = join_processes()
    if not processes.first:
        progress, log = None, None
    progress, clock = progress or Silent(), clock or Clock()
    with MaskedTarget(target, sites, base, config.precision).attached() as model:
        training = Training(model, batches, config, origin, progress, processes)
        if processes.count > 1:
            shown = derive(0, json.dumps(training.settings), fingerprint_batches(batches, 1))
            processes.agree("the digest of settings, target and data", f"{shown:x}")
            processes.share(len(batches(0)))
        start = training.resume(checkpoint, clock) if checkpoint else 0
        if start == 0:
            training.begin(known)
        every = min(LOG_EVERY, max(1, config.steps // LOGGED_STEPS))
        saved = time.monotonic()
        for step in range(start, config.steps):
            training.prune_if_due(step)
            values = training.step(step)
            last = step == config.steps - 1
            if not all(map(math.isfinite, values.values())) or (last and not training.is_finite()):
                raise not_finite(step, batches(step), config.learning_rate, checkpoint)
            note = f"error {values['reconstruction']:.4f} L0 {values['l0']:.1f} of {values['alive']:.0f}"
            progress.update(step + 1, config.steps, note)
            if log and (last or step % every == every - 1):
                log({"step": step + 1, "seconds": clock.seconds, **values})
            if checkpoint and (last or time.monotonic() - saved >= checkpoint_seconds):
                training.save(checkpoint, step + 1, clock.seconds)
                saved = time.monotonic()
        return training.result()


def run_settings(sites: Sequence[Site], origin: str, config: WholeModelConfig) -> dict[str, Any]:
    """What a checkpoint must agree with to be gone on from.

    How a step is cut changes nothing in it, and when clean outputs are computed neither: a run can go on with smaller
    parts, in more or fewer processes, and with other ``precompute``.
    """
    stated = asdict(config.resolved())
    binding = {name: value for name, value in stated.items() if name not in ("micro_batch", "precompute")}
    return {"sites": [site.name for site in sites], "origin": origin, "config": binding}


class Training:
    """What a run holds: trained tensors with their fixed scales, the adversary's sources, and both optimisers."""

    def __init__(
        self,
        model: MaskedTarget,
        batches: Batches,
        config: WholeModelConfig,
        origin: str = "",
        progress: Progress | None = None,
        processes: Processes = ALONE,
    ) -> None:
        self.model, self.batches, self.config, self.progress = model, batches, config, progress or Silent()
        self.objective = Objective(model, config)
        self.device, self.processes = model.target.device, processes
        self.settings = run_settings(model.sites, origin, config)

    @cached_property
    def precomputed(self) -> Precomputed:
        """Made at the first step that asks for it: a training that is finished has no use for it."""
        return Precomputed(self.model, self.batches, self.config.batch)

    def begin(self, known: Decomposition | None = None) -> None:
        """Initial tensors, then (where nothing is known yet) the steps on faithfulness alone."""
        self._hold(*self._first_tensors(known))
        if known is None:
            self._make_faithful()
        self.processes.copy_first([*self.state.values(), *self.sources.values(), *self.usage.values()])

    def _first_tensors(
        self, known: Decomposition | None
    ) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
        """What is trained, the adversary's sources and the usage. The inputs that it comes from are given up here."""
        config = self.config
        rows, inputs = self._first_inputs()
        if config.merged:
            check_attacked(rows[0], config.adversarial_fraction)
        state = initial_tensors(self.model.sites, self.model.weights, inputs, config, known)
        counts = {site.name: state[f"{site.name}/V"].shape[1] for site in self.model.sites}
        sources: dict[str, Tensor] = {}
        if config.attacks and config.adversary == "persistent":
            sources = start_sources(config.sources, rows, config.pool, counts, config.seed, "sources")
        return state, sources, {name: torch.ones(count) for name, count in counts.items()}

    def _first_inputs(self) -> tuple[tuple[int, ...], dict[str, Tensor]]:
        """A batch's rows, and the sites' inputs in the first few batches, side by side in the CPU's memory.

        Where pieces start at random there is one number a sample instead, the root mean square of its inputs.
        """
        found: list[dict[str, Tensor]] = []
        rows: tuple[int, ...] = ()
        for step in range(START_BATCHES):
            batch, kept = self.batches(step), 0
            for part in batch.split(self.config.micro_batch or len(batch)):
                _, inputs = self.model.clean_rows(part)
                rows = (len(batch), *check_rows(inputs, self.model.sites, part)[1:])
                most = kept_samples(math.prod(rows[1:]))
                # Random pieces need the inputs' size alone, which is the root of the mean square of these.
                if self.config.start == "random":
                    inputs = {name: x.flatten(1).square().mean(1).sqrt() for name, x in inputs.items()}
                # Copied, because a view would hold the inputs of the whole batch.
                found.append({name: x[: most - kept].to("cpu", copy=True) for name, x in inputs.items()})
                kept += len(part)
                if kept >= most:
                    break
        return rows, {name: torch.cat([inputs.pop(name) for inputs in found]) for name in list(found[0])}

    def _hold(self, state: Mapping[str, Tensor], sources: Mapping[str, Tensor], usage: Mapping[str, Tensor]) -> None:
        # Contiguous and in the order of names, as a checkpoint gives them back: other strides and sums of norms in
        # another order would round otherwise, and a resumed run would not be the uninterrupted one.
        def held(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
            return {
                name: tensor.detach().to(self._home(name)).clone(memory_format=torch.contiguous_format)
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

    def _home(self, name: str) -> torch.device:
        """The device of a tensor by its name, a site's or ``SITE/NAME``: the site's own, else the target's first."""
        site = name.rpartition("/")[0] or name
        return self.model.device(site) if site in self.model.weights else self.device

    def _make_faithful(self) -> None:
        config = self.config
        # One site at a time, as they have nothing to do with each other here: one delta is in memory.
        for site in self.model.sites if config.faithfulness_steps else ():
            pieces = [self.state[f"{site.name}/{side}"] for side in "VU"]
            optimiser = torch.optim.AdamW(pieces, lr=config.faithfulness_rate, weight_decay=0.0, fused=True)
            for _ in range(config.faithfulness_steps):
                optimiser.zero_grad()
                self.objective.site_faithfulness(self.state, site.name).backward()
                optimiser.step()
            optimiser.zero_grad()

    def step(self, step: int) -> dict[str, float]:
        """One step of training; returns what was measured."""
        config = self.config
        key = draws.key(config.seed, "draws", step).to(self.device)
        parts = Parts(
            self.model,
            self.batches(step),
            key,
            self.processes,
            config.micro_batch,
            lambda rows: check_reach(config.sources, self.sources, rows, step),
            partial(self.precomputed, step) if config.precompute else None,
        )
        attacking = config.attacks and step >= config.adversary_start * config.steps
        schedule = {name: torch.tensor(v, device=self.device) for name, v in self._schedule(step, attacking).items()}
        sources = self._sources(step, parts, attacking)
        gather = None
        if config.frequency:
            gather = parts.gather(lambda batch: self.objective.rates(self.state, batch, schedule["anneal"]))
        names: list[str] = []

        def descend(batch: Batch) -> list[Tensor]:
            loss, measured, usage = self.objective.loss(self.state, sources, batch, schedule, attacking, gather)
            (loss * batch.share).backward()
            names[:] = ["loss", *measured]
            return [*(usage[name] for name in self.usage), loss, *measured.values()]

        found = parts.mean(descend)
        measured = dict(zip(names, found[len(self.usage) :], strict=True))
        measured["faithfulness"] = self._pull_faithful()
        measured["loss"] += config.faithfulness * measured["faithfulness"]
        self._descend(step)
        if attacking:
            self._ascend()
        with torch.no_grad():
            for usage, rates in zip(self.usage.values(), found, strict=False):
                usage.lerp_(rates, 1 - USAGE_MEMORY)
        used = [(usage > config.prune_below).sum().to(self.device) for usage in self.usage.values()]
        values = {name: float(value) for name, value in measured.items()}
        return {**values, "anneal": float(schedule["anneal"]), "alive": float(torch.stack(used).sum())}

    def _pull_faithful(self) -> Tensor:
        """Faithfulness, its gradient added to the others; each process looks at its own part of the sites."""
        total = torch.zeros((), device=self.device)
        for site in self.processes.own(self.model.sites):
            error = self.objective.site_faithfulness(self.state, site.name)
            (self.config.faithfulness * error).backward()
            total += error.detach().to(self.device)
        for tensor in self.trained.values():
            if tensor.grad is None:
                tensor.grad = torch.zeros_like(tensor)
        gradients = [
            tensor.grad for tensor in (*self.trained.values(), *self.sources.values()) if tensor.grad is not None
        ]
        self.processes.add_up([total, *gradients])
        return total

    def _schedule(self, step: int, attacking: bool) -> dict[str, float]:
        config = self.config
        first, last = config.annealing
        done = min(1.0, step / (config.annealed_over * config.steps))
        risen = min(1.0, step / (config.sparsity_rise * config.steps)) if config.sparsity_rise else 1.0
        return {
            "anneal": first + (last - first) * done,
            "adversarial": config.adversarial_fraction if attacking else 0.0,
            "sparsity": config.sparsity * risen,
        }

    def _sources(self, step: int, parts: Parts, attacking: bool) -> dict[str, Tensor]:
        """The adversary's sources for this step, after its ascent steps."""
        config = self.config
        if config.attacks and config.adversary == "fresh":
            start = self._fresh(step, parts.rows())
            if not attacking:
                return start

            def slopes(leaves: Sequence[Tensor]) -> list[Tensor]:
                return self._slopes(parts, dict(zip(start, leaves, strict=True)))

            return attack(slopes, start, config.ascent_steps, config.adversary_rate)
        for _ in range(config.ascent_steps if attacking else 0):
            for source, slope in zip(self.sources.values(), self._slopes(parts, self.sources), strict=True):
                source.grad = slope
            self._ascend()
        return self.sources

    def _slopes(self, parts: Parts, sources: Mapping[str, Tensor]) -> list[Tensor]:
        """How the adversary's error on all samples climbs with its sources."""
        return parts.mean(
            lambda batch: torch.autograd.grad(self.objective.climb(self.state, sources, batch), list(sources.values()))
        )

    def _fresh(self, step: int, rows: tuple[int, ...]) -> dict[str, Tensor]:
        config = self.config
        counts = {name: len(mean) for name, mean in self.usage.items()}
        found = start_sources(config.sources, rows, config.pool, counts, config.seed, f"fresh {step}")
        return {name: source.to(self._home(name)) for name, source in found.items()}

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
        self.processes.copy_first(self.usage.values())
        ranks = {site.name: min(site.d_in, site.d_out) for site in self.model.sites}
        keep = {name: kept_subcomponents(usage, config.prune_below, ranks[name]) for name, usage in self.usage.items()}
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

    def save(self, path: Path, step: int, seconds: float) -> None:
        if self.processes.first:
            write_checkpoint(path, self.settings, step, self._tensors(), seconds)

    def is_finite(self) -> bool:
        return all(bool(torch.isfinite(tensor).all()) for tensor in self.state.values())

    def resume(self, path: Path, clock: Clock) -> int:
        found = read_checkpoint(path, self.settings)
        self.processes.agree(f"the number of steps in {path}", 0 if found is None else found.step)
        if found is None:
            return 0
        self._restore(found.tensors)
        clock.before = found.seconds
        return found.step

    def result(self) -> dict[str, Tensor]:
        """The trained tensors and input scales on the CPU; the weights' scale is worked into U."""
        found = {name: tensor.detach().cpu() for name, tensor in self.state.items()}
        for site in self.model.sites:
            found[f"{site.name}/U"] = found[f"{site.name}/U"] * found.pop(f"{site.name}/weight_scale")
        return found
