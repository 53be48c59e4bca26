"""Methods that descend the objective: LoRA through peft, and several factors at once."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unweave.base.errors import UnweaveError
from unweave.base.progress import Progress, Silent
from unweave.base.seeds import derive, numpy_generator
from unweave.decompose.decomposition import Subcomponent
from unweave.edit.edits import AdapterEdit, FactorEdit
from unweave.edit.objective import Objective, loss_text
from unweave.models.sites import Site
from unweave.models.target import Target

ROWS_PER_STEP = 4


@dataclass(frozen=True)
class Descent:
    """Adam on the objective: what is tuned on another label. ``stop`` is where its floor lies, in units of ln V."""

    learning_rate: float
    steps: int
    stop: float = 1.0


@dataclass(frozen=True)
class Trained:
    """An edit and the objective's value along the way."""

    edit: AdapterEdit | FactorEdit
    losses: tuple[float, ...]


def train_lora(
    target: Target,
    objective: Objective,
    sites: Sequence[Site],
    rank: int,
    descent: Descent,
    *,
    name: str,
    seed: int = 0,
    progress: Progress | None = None,
) -> Trained:
    """LoRA on ``sites`` (peft's layers and initialisation), descending the objective; the target is left as it was.

    At most four windows of the removed label enter each step, drawn anew, so that a large budget costs more tokens
    and not more time a step.
    """
    with _lora_injected(target, sites, rank, name, seed) as lora:
        losses = _descend(target, objective, lora.parameters, descent, seed, name, progress)
        matrices = lora.matrices()
    return Trained(AdapterEdit(matrices, target.identity.digest, name), tuple(losses))


def train_lora_stream(
    target: Target,
    removed: Int[Tensor, "n t"],
    retained: Int[Tensor, "m t"],
    ceiling: float,
    sites: Sequence[Site],
    rank: int,
    descent: Descent,
    *,
    name: str,
    seed: int = 0,
    progress: Progress | None = None,
) -> Trained:
    """LoRA in one pass over a large text: the base model's predictions are computed batch by batch, adapter off.

    Every position but the first is in the loss; four windows of the removed label a step, and the retained text spread
    evenly over the steps. The descent's steps are not used: the text decides.
    """
    layer = min((site.layer for site in sites if site.layer is not None), default=None)
    steps = max(1, len(removed) // ROWS_PER_STEP)
    losses: list[float] = []
    positions = range(1, removed.shape[1])
    with _lora_injected(target, sites, rank, name, seed) as lora:
        optimiser = torch.optim.Adam(lora.parameters, lr=descent.learning_rate)
        for step in range(steps):
            first = ROWS_PER_STEP * step
            kept = retained[step * len(retained) // steps : (step + 1) * len(retained) // steps]
            with lora.off():
                objective = Objective(
                    loss_text(target, removed[first : first + ROWS_PER_STEP], positions, layer),
                    loss_text(target, kept if len(kept) else retained[:1], positions, layer),
                    descent.stop * ceiling,
                )
            losses.append(_step(target, objective, None, optimiser, descent.learning_rate, step, steps, name))
            (progress or Silent()).update(step + 1, steps, f"{name}, objective {losses[-1]:.3f}")
        matrices = lora.matrices()
    return Trained(AdapterEdit(matrices, target.identity.digest, name), tuple(losses))


def train_factors(
    target: Target,
    objective: Objective,
    pieces: Sequence[Subcomponent],
    descent: Descent,
    *,
    name: str,
    seed: int = 0,
    progress: Progress | None = None,
) -> Trained:
    """One factor on each of several subcomponents, all descending the objective from 1."""
    device = target.device
    strengths = torch.zeros(len(pieces), device=device, requires_grad=True)
    with _strengths_applied(target, pieces, strengths):
        losses = _descend(target, objective, [strengths], descent, seed, name, progress)
    factors = [(piece, 1.0 + float(value)) for piece, value in zip(pieces, strengths.detach(), strict=True)]
    return Trained(FactorEdit.on_pieces(factors, target.identity.digest, name), tuple(losses))


def _descend(
    target: Target,
    objective: Objective,
    parameters: Sequence[Tensor],
    descent: Descent,
    seed: int,
    name: str,
    progress: Progress | None,
) -> list[float]:
    progress = progress or Silent()
    objective = replace(objective, ceiling=descent.stop * objective.ceiling)
    optimiser = torch.optim.Adam(list(parameters), lr=descent.learning_rate)
    losses: list[float] = []
    windows = len(objective.removed)
    for step in range(descent.steps):
        generator = numpy_generator(seed, name, "rows", step)
        rows = np.sort(generator.choice(windows, min(ROWS_PER_STEP, windows), replace=False)).tolist()
        losses.append(_step(target, objective, rows, optimiser, descent.learning_rate, step, descent.steps, name))
        progress.update(step + 1, descent.steps, f"{name}, objective {losses[-1]:.3f}")
    return losses


def _step(
    target: Target,
    objective: Objective,
    rows: Sequence[int] | None,
    optimiser: torch.optim.Optimizer,
    learning_rate: float,
    step: int,
    steps: int,
    name: str,
) -> float:
    # Ten steps of warm-up and a linear fall to 0 at the end, the same for every method.
    optimiser.param_groups[0]["lr"] = learning_rate * min((step + 1) / 10, 1.0) * (1 - step / steps)
    with torch.enable_grad():
        loss = objective.loss(target, rows)
    if not torch.isfinite(loss):
        raise UnweaveError(f"{name}: the objective is {loss.item()} at step {step + 1}; lower the learning rate")
    loss.backward()
    optimiser.step()
    optimiser.zero_grad()
    return float(loss.detach())


class _Lora:
    """Adapters that peft put into a target's module, and what to read from them."""

    def __init__(self, by_site: Mapping[Site, Any]) -> None:
        self.by_site = by_site
        self.layers = {site.module: layer for site, layer in by_site.items()}
        self.parameters = [
            parameter
            for layer in self.layers.values()
            for parameter in (layer.lora_A["unweave"].weight, layer.lora_B["unweave"].weight)
        ]

    def keep_to_blocks(self) -> None:
        """Leaves rows of a fused matrix that belong to none of the sites as they are: what writes there stays 0."""
        for module, layer in self.layers.items():
            sites = [site for site in self.by_site if site.module == module]
            if any(site.block is None for site in sites):
                continue
            writes = layer.lora_B["unweave"].weight
            kept = torch.zeros_like(writes)
            for site in sites:
                site.block.write(kept, torch.ones(site.d_out, writes.shape[1]).to(kept))  # type: ignore[union-attr]
            writes.register_hook(lambda gradient, kept=kept: gradient * kept)

    def matrices(self) -> dict[str, tuple[Tensor, Tensor]]:
        found = {}
        for site, layer in self.by_site.items():
            writes = layer.lora_B["unweave"].weight.detach().float().cpu()
            writes = writes if site.block is None else site.block.take(writes, 0)
            found[site.name] = (layer.lora_A["unweave"].weight.detach().float().cpu().clone(), writes.clone())
        return found

    @contextmanager
    def off(self) -> Iterator[None]:
        for layer in self.layers.values():
            layer.enable_adapters(False)
        try:
            yield
        finally:
            for layer in self.layers.values():
                layer.enable_adapters(True)


@contextmanager
def _lora_injected(target: Target, sites: Sequence[Site], rank: int, name: str, seed: int) -> Iterator[_Lora]:
    import peft

    config = peft.LoraConfig(
        r=rank,
        lora_alpha=rank,
        lora_dropout=0.0,
        target_modules=peft_target_modules(target.module, list(dict.fromkeys(site.module for site in sites))),
        fan_in_fan_out=sites[0].kind == "conv1d",
        bias="none",
    )
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        torch.manual_seed(derive(seed, "lora", name))
        # peft warns about the layout flag of each layer kind, which is set by the site's kind above.
        warnings.simplefilter("ignore", UserWarning)
        adapted = peft.inject_adapter_in_model(config, target.module, adapter_name="unweave")
    try:
        lora = _Lora({site: adapted.get_submodule(site.module) for site in sites})
        for parameter in lora.parameters:
            # In half precision Adam's steps are lost to rounding, or overflow; peft's layer casts the input by itself.
            parameter.data = parameter.data.float()
            parameter.requires_grad_(True)
        lora.keep_to_blocks()
        yield lora
    finally:
        take_adapters_out(target.module, [site.module for site in sites])


def peft_target_modules(module: nn.Module, sites: list[str]) -> list[str] | str:
    """Full names, which servers expect; a pattern only where peft's match by suffix would hit another module."""
    others = (name for name, _ in module.named_modules() if name not in sites)
    if any(name.endswith(f".{site}") for name in others for site in sites):
        return "|".join(re.escape(site) for site in sites)
    return sites


@contextmanager
def _strengths_applied(
    target: Target, pieces: Sequence[Subcomponent], strengths: Float[Tensor, " k"]
) -> Iterator[None]:
    by_site: Mapping[str, list[int]] = {}
    for index, piece in enumerate(pieces):
        by_site.setdefault(piece.site, []).append(index)  # type: ignore[attr-defined]

    def adder(site: Site, indices: list[int]) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor]:
        V = torch.stack([pieces[index].v for index in indices], dim=1).to(target.device)
        U = torch.stack([pieces[index].u for index in indices]).to(target.device)

        def add(_: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
            added = ((args[0].float() @ V) * strengths[indices]) @ U
            return site.replaced(output, site.part(output) + added.to(output.dtype))

        return add

    handles = [
        target.module.get_submodule(site.module).register_forward_hook(adder(site, by_site[site.name]))
        for site in map(target.site, by_site)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def take_adapters_out(module: nn.Module, sites: Sequence[str]) -> None:
    """Puts the original layers back in place of peft's, without touching a weight."""
    for name in sites:
        parent_name, _, child_name = name.rpartition(".")
        parent = module.get_submodule(parent_name)
        layer = getattr(parent, child_name)
        if hasattr(layer, "base_layer"):
            setattr(parent, child_name, layer.base_layer)
    if hasattr(module, "peft_config"):
        del module.peft_config
    for parameter in module.parameters():
        parameter.requires_grad_(False)
