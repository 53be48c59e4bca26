"""Reconstruction terms: how far the model's output moves when subcomponents that are not needed are masked.

Each term is registered by name in ``TERMS`` and gives one number; ``WholeModelConfig`` weighs them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unweave.base.errors import UnweaveError
from unweave.decompose import adversary, draws, numerics
from unweave.decompose.compiled import fused
from unweave.decompose.masked import Mask, MaskedTarget, Pieces


@dataclass(frozen=True)
class Step:
    """Everything that a reconstruction term sees: one batch, its clean forward, and what is being trained.

    What belongs to a site is on the site's own device.
    """

    model: MaskedTarget
    batch: Tensor
    clean: Tensor
    """The target's output: logits, or whatever the divergence compares."""
    inputs: Mapping[str, Float[Tensor, "*rows d_in"]]
    pieces: Mapping[str, Pieces]
    logits: Mapping[str, Float[Tensor, "*rows c"]]
    """What the importance function gives; ``lower_leaky`` of it is the causal importance g."""
    sources: adversary.Sources
    scope: str
    divergence: Callable[[Tensor, Tensor], Tensor]
    samples: Int[Tensor, " n"]
    """Numbers of the samples within the whole step's batch: what their random numbers are keyed by."""
    key: Int[Tensor, ""]
    """This step's key; a purpose's own is drawn from it."""
    adversarial: Float[Tensor, ""]
    """The part of the samples that the merged term attacks at this step."""

    notes: dict[str, Tensor]
    """What a term measured on the way, for the log."""
    total: int | None = None
    """Samples of the whole step, where this is a part of them; a note is such that the parts' average is the step's."""

    @property
    def sites(self) -> list[str]:
        return list(self.pieces)

    @property
    def rows(self) -> tuple[int, ...]:
        """The shape of rows: samples, and positions where there are any."""
        return next(iter(self.logits.values())).shape[:-1]

    def error(self, masks: Mapping[str, Mask]) -> Float[Tensor, "*rows"]:
        """Divergence of the masked output from the clean one, row by row."""
        return self.divergence(self.model.masked(self.batch, self.pieces, masks), self.clean)

    def own_key(self, purpose: int) -> Int[Tensor, ""]:
        return draws.words(self.key, self.key.new_tensor(purpose))

    def mask_draws(self, number: int, device: torch.device) -> tuple[Int[Tensor, ""], Int[Tensor, " n"]]:
        """Key and samples of the masks of site ``number``, where they are drawn."""
        return self.own_key(_MASKS + number).to(device), self.samples.to(device)


_ROUTES, _DEAL, _MASKS = 0, 1, 2
"""Purposes of a step's draws; the masks of site number i are purpose ``_MASKS + i``."""


def stochastic_masks(step: Step) -> dict[str, Mask]:
    """``m = g + (1 - g) r`` with r, and the delta's mask, uniform in [0, 1] for every row and subcomponent (SPD)."""
    return {
        site: Mask(*_random_mask(z, *step.mask_draws(number, z.device)))
        for number, (site, z) in enumerate(step.logits.items())
    }


def adversarial_masks(step: Step) -> dict[str, Mask]:
    """``m = g + (1 - g) r`` with r from the adversary's sources; the delta's mask is its last entry."""
    dealt = adversary.deal_sources(step.scope, step.sources, step.own_key(_DEAL), step.samples)
    return {site: Mask(*_sourced_mask(z, dealt[site])) for site, z in step.logits.items()}


@fused
def _random_mask(z: Tensor, key: Tensor, samples: Tensor) -> tuple[Tensor, Tensor]:
    source = draws.uniform_rows(key, samples, z.shape[1:-1], z.shape[-1] + 1)
    return numerics.fill_masks(numerics.lower_leaky(z), source[..., :-1]), source[..., -1:]


@fused
def _sourced_mask(z: Tensor, source: Tensor) -> tuple[Tensor, Tensor]:
    # The delta's mask has its rows even where the source reaches over many of them.
    delta = source[..., -1:].expand(*z.shape[:-1], 1)
    return numerics.fill_masks(numerics.lower_leaky(z), source[..., :-1]), delta


@fused
def _merged_mask(
    z: Tensor, source: Tensor, key: Tensor, samples: Tensor, attacked: Tensor, route: Tensor
) -> tuple[Tensor, Tensor]:
    random = draws.uniform_rows(key, samples, z.shape[1:-1], z.shape[-1] + 1)
    drawn = torch.where(attacked, source[..., :-1], random[..., :-1])
    delta = torch.where(attacked, source[..., -1:], random[..., -1:])
    masked = attacked | route
    filled = numerics.fill_masks(numerics.lower_leaky(z), drawn)
    return torch.where(masked, filled, 1.0), torch.where(masked, delta, 1.0)


def subset_routes(step: Step) -> Bool[Tensor, "*rows sites"]:
    """Which sites are masked in which row: k uniform in 1..L, then a random subset of k sites (VPD's routing).

    Drawn without sorting: one site is taken uniformly and every other with one common probability q, itself uniform in
    [0, 1]. Integrating q out makes the number of others uniform in 0..L-1, and the subset uniform given its size.
    """
    count = len(step.sites)
    drawn = draws.uniform_rows(step.own_key(_ROUTES), step.samples, step.rows[1:], count + 2)
    first = (drawn[..., -1:] * count).long()
    others = drawn[..., :count] < drawn[..., -2:-1]
    return others | (torch.arange(count, device=drawn.device) == first)


def routed(masks: Mapping[str, Mask], routes: Bool[Tensor, "*rows sites"]) -> dict[str, Mask]:
    """Masks in the rows that are routed through, ones elsewhere: all ones, delta included, is the site itself."""
    found = {}
    for place, (site, mask) in enumerate(masks.items()):
        here = routes[..., place : place + 1].to(mask.pieces.device)
        found[site] = Mask(torch.where(here, mask.pieces, 1.0), torch.where(here, mask.delta, 1.0))
    return found


def stochastic(step: Step) -> Tensor:
    """All sites masked at random, in one forward (SPD's stochastic reconstruction)."""
    return step.error(stochastic_masks(step)).mean()


def layerwise(step: Step) -> Tensor:
    """One site masked at random and the others whole, a forward for each site, averaged (SPD's layerwise term)."""
    masks = stochastic_masks(step)
    return torch.stack([step.error({site: masks[site]}).mean() for site in step.sites]).mean()


def subset(step: Step) -> Tensor:
    """In each row a random subset of sites masked at random (VPD's stochastic subset reconstruction)."""
    return step.error(routed(stochastic_masks(step), subset_routes(step))).mean()


def adversarial(step: Step) -> Tensor:
    """All sites under the adversary's masks (VPD's adversarial reconstruction)."""
    return step.error(adversarial_masks(step)).mean()


def merged(step: Step) -> Tensor:
    """One forward for both: a part of the samples under the adversary's masks, the rest as in ``subset``."""
    if not step.sources:
        error = subset(step)
        step.notes["adversarial"], step.notes["stochastic"] = torch.zeros_like(error), error.detach()
        return error
    attacked = attacked_samples(step.samples, step.adversarial)
    every = attacked
    if step.total is not None:
        every = attacked_samples(torch.arange(step.total, device=attacked.device), step.adversarial)
    attacked = attacked.view(-1, *[1] * len(step.rows))
    routes = subset_routes(step)
    dealt = adversary.deal_sources(step.scope, step.sources, step.own_key(_DEAL), step.samples)
    masks = {
        site: Mask(
            *_merged_mask(
                z,
                dealt[site],
                *step.mask_draws(number, z.device),
                attacked.to(z.device),
                routes[..., number : number + 1].to(z.device),
            )
        )
        for number, (site, z) in enumerate(step.logits.items())
    }
    errors = step.error(masks)
    with torch.no_grad():
        # A model may give one output for all positions of a sample.
        weight = attacked.view(-1, *[1] * (errors.dim() - 1)).to(errors)
        share = every.to(errors).mean()
        step.notes["adversarial"] = (errors * weight).mean() / share.clamp_min(1 / len(every))
        step.notes["stochastic"] = (errors * (1 - weight)).mean() / (1 - share).clamp_min(1 / len(every))
    return errors.mean()


def attacked_samples(samples: Int[Tensor, " n"], part: Float[Tensor, ""]) -> Bool[Tensor, " n"]:
    """Which samples the merged term attacks: evenly spread, and of the first n as many as is nearest to ``n part``.

    Sample i is attacked when the number for i + 1 samples exceeds that for i; a half is rounded down. Reckoned in whole
    2^-20ths: in floating point ``100 * 0.29`` is below 29, and a device may round it in another way.
    """
    unit = 1 << 20
    share = (part * unit).round().long()

    def attacked_of(count: Tensor) -> Tensor:
        return torch.div(count * share + unit // 2 - unit // 1024, unit, rounding_mode="floor")

    return attacked_of(samples + 1) > attacked_of(samples)


def check_attacked(samples: int, part: float) -> None:
    """Raises ``UnweaveError`` for a part of a batch that is no sample at all: its adversary would never learn."""
    if part and not bool(attacked_samples(torch.arange(samples), torch.tensor(part)).any()):
        raise UnweaveError(
            f"adversarial_fraction is {part:g}, which is none of the {samples} samples of a batch: set it above "
            f"{0.5 / samples:g}, make batches larger, or set it to 0"
        )


def hidden_activations(step: Step) -> Tensor:
    """Relative squared error of every site's own output in a stochastically masked forward, averaged over sites."""
    step.model.masked(step.batch, step.pieces, stochastic_masks(step))
    errors = []
    for site, output in step.model.outputs().items():
        wanted = step.inputs[site] @ step.model.weights[site].T
        errors.append(numerics.relative_error(output, wanted).mean().to(step.clean.device))
    return torch.stack(errors).mean()


TERMS: dict[str, Callable[[Step], Tensor]] = {
    "merged": merged,
    "stochastic": stochastic,
    "layerwise": layerwise,
    "subset": subset,
    "adversarial": adversarial,
    "hidden_activations": hidden_activations,
}
"""Terms by the name of the config field that weighs them."""
