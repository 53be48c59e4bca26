"""What training minimises, and what its adversary climbs, as functions of tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unweave.decompose import numerics, reconstruction
from unweave.decompose.compiled import fused
from unweave.decompose.config import RECONSTRUCTIONS, WholeModelConfig
from unweave.decompose.importance import find_importance
from unweave.decompose.masked import MaskedTarget, Pieces

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class Batch:
    """One step's data: the batch, the target's clean output, every site's clean input, and what draws are keyed by."""

    values: Tensor
    clean: Tensor
    inputs: Tensors
    samples: Int[Tensor, " n"]
    key: Int[Tensor, ""]


@fused
def _penalised(z: Tensor, anneal: Tensor, penalty: str) -> tuple[Tensor, Tensor]:
    """The penalty summed over subcomponents and averaged over rows, and its mean for every subcomponent."""
    psi = numerics.PENALTIES[penalty](numerics.upper_leaky(z), anneal).flatten(0, -2)
    rates = psi.mean(0)
    return rates.sum(), rates


@fused
def _used(z: Tensor) -> tuple[Tensor, Tensor]:
    """How many importances are above 0.1 in a row on average, and the part of the rows where each one is."""
    fires = (z > 0.1).float().flatten(0, -2)
    return fires.sum(-1).mean(), fires.mean(0)


class Objective:
    """The loss of a config on a masked target."""

    def __init__(self, model: MaskedTarget, config: WholeModelConfig) -> None:
        self.model, self.config = model, config
        self.kind = find_importance(config.importance)

    def loss(
        self, state: Tensors, sources: Tensors, batch: Batch, schedule: Mapping[str, Tensor], attacking: bool
    ) -> tuple[Float[Tensor, ""], dict[str, Tensor], dict[str, Tensor]]:
        """The total, its parts by name, and how often each site's subcomponents fire."""
        config = self.config
        z = self.kind.logits(state, batch.inputs)
        step = self._step(state, z, sources, batch, schedule["adversarial"])
        parts: dict[str, Tensor] = {}
        total = torch.zeros((), device=batch.clean.device)
        for name in RECONSTRUCTIONS:
            weight = getattr(config, name)
            if weight and (attacking or name != "adversarial"):
                parts[name] = reconstruction.TERMS[name](step)
                total = total + weight * parts[name]
        parts["reconstruction"] = total
        parts["penalty"] = self.penalty(z, schedule["anneal"])
        parts["faithfulness"] = self.faithfulness(step.pieces)
        total = total + schedule["sparsity"] * parts["penalty"] + config.faithfulness * parts["faithfulness"]
        with torch.no_grad():
            used = {name: _used(logits) for name, logits in z.items()}
        # The halves of the merged term, where there are no terms of those names.
        parts = step.notes | parts | {"l0": torch.stack([active for active, _ in used.values()]).sum()}
        usage = {name: rates for name, (_, rates) in used.items()}
        return total, {name: value.detach() for name, value in parts.items()}, usage

    def climb(self, state: Tensors, sources: Tensors, batch: Batch) -> Float[Tensor, ""]:
        """The error with all sites under the adversary's masks, everything but its sources held."""
        held = {name: tensor.detach() for name, tensor in state.items()}
        z = self.kind.logits(held, batch.inputs)
        return reconstruction.adversarial(self._step(held, z, sources, batch, batch.clean.new_ones(())))

    def penalty(self, z: Tensors, anneal: Tensor) -> Float[Tensor, ""]:
        """The importance penalty and its frequency term, summed over sites and subcomponents, a row."""
        config = self.config
        total = anneal.new_zeros(())
        for logits in z.values():
            sums, rates = _penalised(logits, anneal, config.penalty)
            total = total + sums
            if config.frequency:
                total = total + config.frequency * numerics.frequency_penalty(rates, config.frequency_reference)
        return total

    def faithfulness(self, pieces: Mapping[str, Pieces]) -> Float[Tensor, ""]:
        """The deltas' squared norm over that of their matrices, averaged over sites."""
        errors = [numerics.faithfulness(self.model.weights[name], V, U) for name, (V, U) in pieces.items()]
        return torch.stack(errors).mean()

    def pieces(self, state: Tensors) -> dict[str, Pieces]:
        """Every site's V, and U at the scale of its matrix."""
        return {
            site.name: Pieces(state[f"{site.name}/V"], state[f"{site.name}/U"] * state[f"{site.name}/weight_scale"])
            for site in self.model.sites
        }

    def _step(
        self, state: Tensors, z: Tensors, sources: Tensors, batch: Batch, adversarial: Tensor
    ) -> reconstruction.Step:
        return reconstruction.Step(
            model=self.model,
            batch=batch.values,
            clean=batch.clean,
            inputs=batch.inputs,
            pieces=self.pieces(state),
            logits=z,
            sources=sources,
            scope=self.config.sources,
            divergence=numerics.DIVERGENCES[self.config.divergence],
            samples=batch.samples,
            key=batch.key,
            adversarial=adversarial,
            notes={},
        )
