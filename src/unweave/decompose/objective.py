"""What training minimises, and what its adversary climbs, as functions of tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
    """A step's data, or a part of it: samples, clean output, every site's clean input, and what draws are keyed by."""

    values: Tensor
    clean: Tensor
    inputs: Tensors
    samples: Int[Tensor, " n"]
    """Numbers of the samples within the step."""
    key: Int[Tensor, ""]
    total: int | None = None
    """Samples of the whole step, where these are a part of them."""

    @property
    def share(self) -> float:
        """The part of the step's samples that these are."""
        return 1.0 if self.total is None else len(self.samples) / self.total


Gather = Callable[[list[Tensor]], list[Tensor]]
"""From the rates of a part of the step's rows, site by site, to those of all."""


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
        self,
        state: Tensors,
        sources: Tensors,
        batch: Batch,
        schedule: Mapping[str, Tensor],
        attacking: bool,
        gather: Gather | None = None,
    ) -> tuple[Float[Tensor, ""], dict[str, Tensor], dict[str, Tensor]]:
        """Reconstructions and penalties of the rows, the parts by name, and how often each site's subcomponents fire.

        All are means over rows, so that parts of a step, weighted by their shares, add up to the step's; the frequency
        penalty is not linear in its rates, and takes those of all rows from ``gather``. Faithfulness looks at no rows.
        """
        config = self.config
        z = self._logits(state, batch)
        step = self._step(state, z, sources, batch, schedule["adversarial"])
        parts: dict[str, Tensor] = {}
        total = torch.zeros((), device=batch.clean.device)
        for name in RECONSTRUCTIONS:
            weight = getattr(config, name)
            if weight and (attacking or name != "adversarial"):
                parts[name] = reconstruction.TERMS[name](step)
                total = total + weight * parts[name]
        parts["reconstruction"] = total
        parts["penalty"] = self.penalty(z, schedule["anneal"], gather).to(total.device)
        total = total + schedule["sparsity"].to(total.device) * parts["penalty"]
        with torch.no_grad():
            used = {name: _used(logits) for name, logits in z.items()}
        # The halves of the merged term, where there are no terms of those names.
        active = torch.stack([active.to(total.device) for active, _ in used.values()]).sum()
        parts = step.notes | parts | {"l0": active}
        usage = {name: rates for name, (_, rates) in used.items()}
        return total, {name: value.detach() for name, value in parts.items()}, usage

    def climb(self, state: Tensors, sources: Tensors, batch: Batch) -> Float[Tensor, ""]:
        """The error with all sites under the adversary's masks, everything but its sources held."""
        held = {name: tensor.detach() for name, tensor in state.items()}
        z = self._logits(held, batch)
        return reconstruction.adversarial(self._step(held, z, sources, batch, batch.clean.new_ones(())))

    def penalty(self, z: Tensors, anneal: Tensor, gather: Gather | None = None) -> Float[Tensor, ""]:
        """The importance penalty and its frequency term, summed over sites and subcomponents, a row."""
        config, reference = self.config, self.config.frequency_reference
        found = [_penalised(logits, anneal.to(logits.device), config.penalty) for logits in z.values()]
        total = anneal.new_zeros(())
        for sums, _ in found:
            total = total + sums.to(total.device)
        if not config.frequency:
            return total
        own = [rates for _, rates in found]
        if gather is None:
            frequencies = [numerics.frequency_penalty(rates, reference) for rates in own]
        else:
            whole = gather([rates.detach() for rates in own])
            frequencies = [numerics.frequency_tangent(*pair, reference) for pair in zip(own, whole, strict=True)]
        for frequency in frequencies:
            total = total + config.frequency * frequency.to(total.device)
        return total

    def rates(self, state: Tensors, batch: Batch, anneal: Tensor) -> list[Float[Tensor, " c"]]:
        """The penalty's mean over the rows for every subcomponent, site by site."""
        z = self._logits(state, batch)
        return [_penalised(logits, anneal.to(logits.device), self.config.penalty)[1] for logits in z.values()]

    def _logits(self, state: Tensors, batch: Batch) -> dict[str, Tensor]:
        with self.model.products():
            return {name: z.float() for name, z in self.kind.logits(state, batch.inputs).items()}

    def faithfulness(self, pieces: Mapping[str, Pieces]) -> Float[Tensor, ""]:
        """The deltas' squared norm over that of their matrices, averaged over sites."""
        errors = [numerics.faithfulness(self.model.weights[name], V, U) for name, (V, U) in pieces.items()]
        return torch.stack([error.to(errors[0].device) for error in errors]).mean()

    def site_faithfulness(self, state: Tensors, site: str) -> Float[Tensor, ""]:
        """One site's share of ``faithfulness``."""
        V, U = self.site_pieces(state, site)
        return numerics.faithfulness(self.model.weights[site], V, U) / len(self.model.sites)

    def pieces(self, state: Tensors) -> dict[str, Pieces]:
        """Every site's V, and U at the scale of its matrix."""
        return {site.name: self.site_pieces(state, site.name) for site in self.model.sites}

    def site_pieces(self, state: Tensors, site: str) -> Pieces:
        """One site's V, and U at the scale of its matrix."""
        return Pieces(state[f"{site}/V"], state[f"{site}/U"] * state[f"{site}/weight_scale"])

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
            total=batch.total,
        )
