"""Settings of both ways of taking matrices apart. Light to import: no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Any

from unweave.base.errors import UnweaveError, nearest

RECONSTRUCTIONS = ("merged", "stochastic", "layerwise", "subset", "adversarial", "hidden_activations")
"""Fields of ``WholeModelConfig`` that weigh a term of ``reconstruction.TERMS``."""

ANNEALED = {"smooth-l0": (1.0, 0.05), "lp": (2.0, 0.4)}
"""Gamma or p of each penalty at the start and at the end, where the config says none."""


@dataclass(frozen=True)
class SiteLocalConfig:
    """How one matrix is taken apart from its own inputs and outputs (no backward pass through the model)."""

    sites: str = "*"
    """Sites by name, with * and ?, parted by commas."""
    capacity: float = 1.1
    """Subcomponents as a multiple of the matrix's rank, rounded up to a multiple of 32."""
    hidden: int = 384
    """Width of the importance function, an MLP from the site's input to one logit a subcomponent."""
    steps: int = 3000
    batch: int = 2048
    """Tokens a step."""
    learning_rate: float = 1e-3
    """AdamW, cosine to a tenth of it, after a linear warm-up over a hundredth of the steps."""
    sparsity: float = 3e-4
    """Weight of the smooth-L0 penalty, summed over subcomponents and averaged over tokens."""
    frequency: float = 0.7
    """Weight of the frequency penalty, as a multiple of ``sparsity``."""
    frequency_reference: int = 2048
    """Tokens that the frequency penalty counts over, so that it does not depend on the batch."""
    gamma_end: float = 0.02
    """Width of the smooth L0 at the end; it falls linearly from 1 over nine tenths of the steps."""
    faithfulness: float = 10.0
    """Weight of the squared norm of the delta relative to the matrix's."""
    adversarial_fraction: float = 0.5
    """Part of each batch masked by the adversary; the rest is masked at random."""
    adversaries: int = 16
    """Persistent mask vectors that the adversary keeps, each shared by the tokens dealt to it."""
    adversary_rate: float = 0.05
    """Adam step of the adversary, upwards."""
    gradient_clip: float = 1.0
    windows: int = 900
    """Windows of text captured for each label."""
    window_length: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        _check_finite(self)
        for name in ("hidden", "steps", "batch", "adversaries", "windows", "frequency_reference"):
            if getattr(self, name) < 1:
                raise UnweaveError(f"{name} is {getattr(self, name)}, and it must be at least 1")
        for name in ("capacity", "learning_rate", "gamma_end", "gradient_clip"):
            if not getattr(self, name) > 0:
                raise UnweaveError(f"{name} is {getattr(self, name)}, and it must be above 0")
        if self.window_length < 2:
            raise UnweaveError(f"window_length is {self.window_length}, and a window needs at least 2 tokens")
        if not 0 <= self.adversarial_fraction <= 1:
            raise UnweaveError(f"adversarial_fraction is {self.adversarial_fraction}, and it must be in [0, 1]")
        for name in ("sparsity", "frequency", "faithfulness", "adversary_rate"):
            if getattr(self, name) < 0:
                raise UnweaveError(f"{name} is {getattr(self, name)}, and it must not be negative")


@dataclass(frozen=True)
class WholeModelConfig:
    """How sites of a model are taken apart together: masks everywhere at once, compared at the model's output."""

    sites: str = "*"
    """Sites by name, with * and ?, parted by commas."""
    capacity: float = 0.75
    """Subcomponents of a site as a multiple of the larger side of its matrix, rounded up to a multiple of 16; at least
    the smaller side, because fewer cannot add up to the matrix."""
    subcomponents: int | None = None
    """The same number of subcomponents at every site instead."""

    start: str = "random"
    """Where subcomponents start: random directions; inputs (v along an input of the site, u what the site makes of it),
    which sparse features need and dense ones do not; or independent, for each a direction that inputs share."""

    importance: str = "site-mlp"
    """Importance function: site-mlp, component-mlp, shared-mlp or transformer."""
    hidden: int = 192
    """Its width; for component-mlp the width of each subcomponent's own MLP."""
    depth: int = 2
    """Blocks of the transformer."""
    heads: int = 4
    """Attention heads of the transformer."""

    merged: float = 1.0
    """Weight of the merged reconstruction: part of the samples adversarial, the others a stochastic subset of sites."""
    stochastic: float = 0.0
    """Weight of the reconstruction with all sites masked at random."""
    layerwise: float = 0.0
    """Weight of the reconstruction with one site masked at random at a time."""
    subset: float = 0.0
    """Weight of the reconstruction with a random subset of sites masked at random in each row."""
    adversarial: float = 0.0
    """Weight of a reconstruction of its own with all samples adversarial."""
    hidden_activations: float = 0.0
    """Weight of the error of the sites' own outputs under random masks."""
    divergence: str = "kl"
    """What compares outputs: kl between predictions, or mse."""

    adversary: str = "persistent"
    """persistent: sources kept from step to step, climbing by Adam; fresh: from random ones by sign steps each time."""
    sources: str = "pooled"
    """Reach of a source vector: shared by all rows, one a position, one a sample and position (batch), or pooled."""
    pool: int = 64
    """Vectors in the pool, each dealt to the samples anew at every step."""
    ascent_steps: int = 0
    """Ascent steps before the loss: a fresh adversary has only these; a persistent one climbs once after it anyway."""
    adversary_rate: float = 0.05
    """Step of the adversary: Adam's rate for a persistent one, the sign step's size for a fresh one."""
    adversary_start: float = 0.0
    """Part of the run before the adversary begins."""
    adversarial_fraction: float = 0.5
    """Part of the samples that the merged reconstruction attacks."""

    penalty: str = "smooth-l0"
    """Penalty of an importance: smooth-l0 (its width gamma falls) or lp (its exponent p falls)."""
    sparsity: float = 1e-4
    """Weight of the penalty, summed over subcomponents and sites and averaged over rows."""
    sparsity_rise: float = 0.0
    """Part of the run over which that weight rises from 0."""
    anneal_from: float | None = None
    """Gamma or p at the start; none: the penalty's own, 1 for smooth-l0 and 2 for lp."""
    anneal_to: float | None = None
    """Gamma or p at the end, to which it falls linearly; none: the penalty's own, 0.05 for smooth-l0 and 0.4 for lp."""
    annealed_over: float = 0.9
    """Part of the run over which it falls."""
    frequency: float = 0.5
    """Weight of the frequency penalty, as a multiple of ``sparsity``."""
    frequency_reference: int = 2048
    """Rows that the frequency penalty counts over, so that it does not depend on the batch."""
    faithfulness: float = 100.0
    """Weight of the delta's squared norm over its matrix's, averaged over sites."""
    faithfulness_steps: int = 200
    """Steps on faithfulness alone before the run; pieces that start from inputs need none."""
    faithfulness_rate: float = 1e-3
    """AdamW's rate in those steps."""

    steps: int = 5_000
    batch: int = 16
    """Samples a step: windows of text, or rows of features."""
    micro_batch: int | None = None
    """Samples that go through the model at once, where memory is short; the step is that of the whole batch."""
    groups: int = 1
    """Sites are trained in so many groups of about equal size, one after the other, each alone in memory with the
    model's other sites whole; every group takes ``steps``."""
    precision: str = "float32"
    """Of matrix products in the steps: float32, or bfloat16 where the hardware is faster so. Faithfulness, what is
    trained, masks, losses and both optimisers are float32 either way."""
    precompute: bool = False
    """Whether clean outputs and site inputs of all windows are computed before the steps and kept in memory: saves a
    forward a step where a small data set comes up many times."""
    window_length: int = 64
    windows: int = 4000
    """Windows of text drawn from for each label."""
    learning_rate: float = 1e-2
    """AdamW without weight decay, cosine to ``final_rate`` of it, after a linear warm-up over a hundredth."""
    final_rate: float = 0.1
    gradient_clip: float = 1.0
    """Largest gradient norm, of the subcomponents and of the importance function apart."""
    prune_at: tuple[float, ...] = (0.3, 0.6)
    """Parts of the run after which subcomponents that are not used are dropped; what they held goes to the delta."""
    prune_below: float = 1e-6
    """Part of the rows with an importance above 0.1, of late, under which a subcomponent counts as unused."""
    seed: int = 0

    def __post_init__(self) -> None:
        _check_finite(self)
        choices = {
            "importance": ("site-mlp", "component-mlp", "shared-mlp", "transformer"),
            "start": ("inputs", "independent", "random"),
            "divergence": ("kl", "mse"),
            "adversary": ("persistent", "fresh"),
            "sources": ("shared", "position", "batch", "pooled"),
            "penalty": ("smooth-l0", "lp"),
            "precision": ("float32", "bfloat16"),
        }
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise UnweaveError(f"{name} is {getattr(self, name)!r}; {nearest(getattr(self, name), known)}")
        least = dict.fromkeys(("hidden", "depth", "heads", "pool", "steps", "batch", "groups", "windows"), 1)
        least |= {"frequency_reference": 1, "window_length": 2, "ascent_steps": 0, "faithfulness_steps": 0}
        for name, smallest in least.items():
            if getattr(self, name) < smallest:
                raise UnweaveError(f"{name} is {getattr(self, name)}, and it must be at least {smallest}")
        positive = ("capacity", "learning_rate", "faithfulness_rate", "gradient_clip", "anneal_from", "anneal_to")
        for name in (*positive, "annealed_over"):
            if getattr(self, name) is not None and not getattr(self, name) > 0:
                raise UnweaveError(f"{name} is {getattr(self, name)}, and it must be above 0")
        if self.subcomponents is not None and self.subcomponents < 1:
            raise UnweaveError(f"subcomponents is {self.subcomponents}, and a site needs at least 1")
        if self.micro_batch is not None and self.micro_batch < 1:
            raise UnweaveError(
                f"micro_batch is {self.micro_batch}, and it must be at least 1 (or none: the whole batch)"
            )
        if self.groups > 1 and self.importance in ("shared-mlp", "transformer"):
            raise UnweaveError(
                f"importance is {self.importance!r}, which looks at all sites at once, and groups={self.groups} trains "
                "them apart: set importance to site-mlp or component-mlp, or groups to 1"
            )
        for name in (*RECONSTRUCTIONS, "sparsity", "frequency", "faithfulness", "adversary_rate", "prune_below"):
            if not getattr(self, name) >= 0:
                raise UnweaveError(f"{name} is {getattr(self, name)}, and it must not be negative")
        for name in ("adversarial_fraction", "adversary_start", "final_rate", "annealed_over", "sparsity_rise"):
            if not 0 <= getattr(self, name) <= 1:
                raise UnweaveError(f"{name} is {getattr(self, name)}, and it must be in [0, 1]")
        if any(not 0 < part < 1 for part in self.prune_at) or list(self.prune_at) != sorted(set(self.prune_at)):
            raise UnweaveError(f"prune_at is {self.prune_at}, and its parts must rise and be between 0 and 1")
        if not any(getattr(self, name) for name in RECONSTRUCTIONS):
            raise UnweaveError(f"no reconstruction has a weight: set one of {', '.join(RECONSTRUCTIONS)}")
        if self.attacks and self.adversary == "fresh" and not self.ascent_steps:
            raise UnweaveError("a fresh adversary with ascent_steps=0 is a random one: set ascent_steps to 1 or more")
        if self.attacks and self.adversary == "fresh" and self.sources == "pooled":
            raise UnweaveError("a fresh adversary keeps no pool: set sources to shared, position or batch")
        if self.ascent_steps and not self.attacks:
            raise UnweaveError(
                f"ascent_steps is {self.ascent_steps}, and no term attacks: set it to 0, or give adversarial a weight "
                "(or merged one and adversarial_fraction a part)"
            )
        if self.attacks and self.adversary_start * self.steps > self.steps - 1:
            raise UnweaveError(
                f"adversary_start is {self.adversary_start}, so none of the {self.steps} steps has an adversary: "
                "set it lower, or adversarial_fraction and adversarial to 0"
            )

    @property
    def attacks(self) -> bool:
        """Whether any term uses the adversary."""
        return bool(self.adversarial or (self.merged and self.adversarial_fraction))

    @property
    def annealing(self) -> tuple[float, float]:
        """Gamma or p at the start and at the end: what is set, else the penalty's own."""
        first, last = ANNEALED[self.penalty]
        return (
            first if self.anneal_from is None else self.anneal_from,
            last if self.anneal_to is None else self.anneal_to,
        )

    def resolved(self) -> WholeModelConfig:
        """The same settings with numbers where defaults hang on others: what cards, runs and checkpoints state."""
        first, last = self.annealing
        return replace(self, anneal_from=first, anneal_to=last)


def _check_finite(config: Any) -> None:
    for field in fields(config):
        value = getattr(config, field.name)
        if isinstance(value, float) and not math.isfinite(value):
            raise UnweaveError(f"{field.name} is {value}, and it must be a finite number: set it to one")
