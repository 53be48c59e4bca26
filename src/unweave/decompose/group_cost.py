"""What one group of sites costs on one device, from shapes alone: parameters, arithmetic and memory of a step.

A multiplication and addition are two FLOPs; a backward pass counts twice the forward where both inputs need gradients
and once where only one does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from unweave.decompose.config import RECONSTRUCTIONS, WholeModelConfig
from unweave.decompose.importance_cost import common_activations, common_parameters, site_activations, site_parameters
from unweave.decompose.processes import Processes
from unweave.decompose.start import CANDIDATES, START_BATCHES, kept_samples, subcomponent_count
from unweave.models.sites import Site
from unweave.models.target import Target

FLOAT = 4
PROCESS = 30_000_000
"""Bytes by which a process grows in its first steps whatever the sites: code that is loaded then, room for products."""


@dataclass(frozen=True)
class Cut:
    """How a device works through a step: its rows, in so many parts, beside so many devices."""

    rows: float
    parts: int
    devices: int
    part_rows: int
    samples: int
    """Of the whole step."""
    inner: int
    """Rows of a sample: its positions, or itself."""


def cut_step(config: WholeModelConfig, rows: int, samples: int, devices: int) -> Cut:
    """The largest share of a step's samples; raises ``UnweaveError`` when there are fewer of them than devices."""
    own = max(len(Processes(rank, devices).share(samples)) for rank in range(devices))
    part = min(config.micro_batch or own, own)
    part_rows = round(rows * part / samples)
    return Cut(rows * own / samples, math.ceil(own / part), devices, part_rows, samples, rows // samples)


class GroupCost:
    """One group of sites on one device."""

    def __init__(
        self, target: Target, config: WholeModelConfig, sites: Sequence[Site], cut: Cut, base: bool = False
    ) -> None:
        self.target, self.config, self.sites, self.cut, self.base = target, config, sites, cut, base
        self.counts = [subcomponent_count(config, site.d_in, site.d_out) for site in sites]
        self.pieces = sum(count * (site.d_in + site.d_out) for site, count in zip(sites, self.counts, strict=True))
        self.wide = sum(site.d_in for site in sites)
        own = sum(site_parameters(config, site.d_in, count) for site, count in zip(sites, self.counts, strict=True))
        self.importance = common_parameters(config, self.wide) + own
        self.terms = [name for name in RECONSTRUCTIONS if getattr(config, name)]
        self.forwards = sum(len(sites) if name == "layerwise" else 1 for name in self.terms)
        # Gradients go back as far as the first masked site; what stands before it is run forwards only.
        every = list(target.all_sites().values())
        names = [site.name for site in every]
        output = target.output_embedding()
        unembedding = int(output.weight.numel()) if output is not None else 0  # type: ignore[union-attr]
        sizes = [site.d_in * site.d_out for site in every]
        self.matrices = sum(sizes) + unembedding
        self.behind = {
            site.name: (sum(sizes[names.index(site.name) :]) + unembedding) / self.matrices for site in sites
        }
        first = min(names.index(site.name) for site in sites)
        own = set(self.behind)
        self.downstream = [site for site in every[first:] if site.name not in own]

    @property
    def flops(self) -> float:
        config, cut = self.config, self.cut
        clean = 2 * cut.rows * self.matrices
        reach = max(self.behind.values())
        # Through frozen matrices only the gradient of the input is taken: forward and once more.
        masked = sum(
            sum(1 + behind for behind in self.behind.values()) if name == "layerwise" else 1 + reach
            for name in self.terms
        )
        flops = (1 + masked) * clean + (len(self.terms) * self.pieces + self.importance) * 3 * 2 * cut.rows
        # Parts are run clean again for each pass over the step: one an ascent, one for the rates of the frequency term.
        again = clean if cut.parts > 1 else 0
        if config.attacks:
            ascent = (1 + reach) * clean + 2 * 2 * cut.rows * self.pieces + 2 * cut.rows * self.importance
            flops += config.ascent_steps * (ascent + again)
        if config.frequency and cut.parts > 1:
            flops += again + 2 * cut.rows * self.importance
        deltas = [3 * 2 * site.d_in * site.d_out * count for site, count in zip(self.sites, self.counts, strict=True)]
        return flops + max(sum(Processes(rank, cut.devices).own(deltas)) for rank in range(cut.devices))

    @property
    def trained(self) -> int:
        """Numbers that have a gradient and two moments: pieces, importance function and kept sources."""
        return self.pieces + self.importance + self._sources(sum(self.counts) + len(self.sites))

    @property
    def bytes_fixed(self) -> int:
        return sum(p.numel() * p.element_size() for p in self.target.module.parameters()) + self.fixed()

    def fixed(self, device: torch.device | None = None) -> int:
        """What a run adds to the target whatever the batch: on a device, or on all where none is named."""
        here = self._here(device)
        matrices = [site.d_in * site.d_out for site, _ in here]
        copies = sum(matrices) if self._copies else 0
        # U at the scale of its matrix, of all sites, and the gradient of one.
        scaled = [site.d_out * count for site, count in here]
        trained = common_parameters(self.config, self.wide) if self._is_first(device) else 0
        for site, count in here:
            trained += count * (site.d_in + site.d_out) + site_parameters(self.config, site.d_in, count)
            trained += self._sources(count + 1)
        largest = 3 * max(matrices, default=0) + max(scaled, default=0)
        process = PROCESS if self._is_first(device) else 0
        return process + FLOAT * (copies + 4 * trained + largest + sum(scaled))

    @property
    def bytes_step(self) -> int:
        return self.step()

    def step(self, device: torch.device | None = None) -> int:
        """What the rows of a part take: on a device, or on all where none is named."""
        # For every subcomponent and row 16 numbers, as benchmarks/cost.py measures a merged step without a compiler:
        # what logit, penalty, mask and activation keep, and their gradients. For every site its input, its output and
        # what the module itself keeps, and so for the whole sites that gradients pass through; logits of clean and
        # masked forward.
        here = self._here(device)
        wide = sum(site.d_in + 2 * site.d_out for site, _ in here)
        passed = sum(site.d_in + 2 * site.d_out for site in self.downstream if self._is_on(device, site))
        # A module of features has no vocabulary, and its outputs are about as wide as its sites.
        module = self.target.module
        of_words = self.target.output_embedding() is not None or hasattr(getattr(module, "config", None), "vocab_size")
        logits = (4 * self.forwards + 2) * self.target.vocabulary if of_words and self._is_first(device) else 0
        pieces = 16 * sum(count for _, count in here) * len(self.terms)
        kept = pieces + wide * (1 + self.forwards) + passed * self.forwards + logits
        return FLOAT * self.cut.part_rows * (kept + self._importance_step(device))

    def _importance_step(self, device: torch.device | None) -> int:
        """Numbers that the importance function makes of a row: sites follow each other, forwards and backwards."""
        own = [site_activations(self.config, site.d_in, count) for site, count in self._here(device)]
        if self._is_first(device):
            own.append(common_activations(self.config, self.wide))
        return sum(each.kept for each in own) + max((each.passing for each in own), default=0)

    def start(self) -> int:
        """What the CPU holds beside the target while pieces that start from inputs are placed; 0 for random ones."""
        if self.config.start == "random":
            return 0
        rows = START_BATCHES * min(self.cut.samples, kept_samples(self.cut.inner)) * self.cut.inner
        widest = rows * max(site.d_in for site in self.sites)
        matrices = [site.d_in * site.d_out for site in self.sites]
        # The rows of all sites come in parts, which leave gaps in a process where they stood, and are put side by side.
        held = 2 * rows * self.wide
        # The directions of one site's rows, beside what they are made from; or how much they are alike, twice.
        placing = 2 * widest
        if self.config.start == "independent":
            placing = max(placing, widest + 2 * min(CANDIDATES, rows) * rows)
        copies = sum(matrices) if self._copies else 0
        return FLOAT * (copies + self.pieces + self.importance + held + placing + 3 * max(matrices))

    @property
    def _copies(self) -> bool:
        """Whether sites are held once more in float32: what has another type there, or is a difference."""
        return self.base or self.target.dtype.itemsize != FLOAT

    def _sources(self, columns: int) -> int:
        """Numbers of the adversary's sources that are kept from step to step."""
        if not self.config.attacks or self.config.adversary == "fresh":
            return 0
        cut = self.cut
        reach = {"shared": 1, "position": cut.inner, "batch": cut.samples * cut.inner, "pooled": self.config.pool}
        return reach[self.config.sources] * columns

    def _here(self, device: torch.device | None) -> list[tuple[Site, int]]:
        """The sites on a device and how many subcomponents they have: all of them where none is named."""
        return [each for each in zip(self.sites, self.counts, strict=True) if self._is_on(device, each[0])]

    def _is_on(self, device: torch.device | None, site: Site) -> bool:
        return device is None or self.target.stored_in(site)[0] == device

    def _is_first(self, device: torch.device | None) -> bool:
        """Whether what belongs to no site is there: the target's first device, to which outputs come back."""
        return device is None or self.target.device == device

    @property
    def bytes_exchanged(self) -> int:
        return 2 * (self.cut.devices - 1) * FLOAT * self.trained // self.cut.devices
