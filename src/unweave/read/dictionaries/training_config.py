"""Settings of an SAE's training. Light to import: no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from unweave.base.errors import UnweaveError


@dataclass(frozen=True)
class SAEConfig:
    """How a BatchTopK SAE is trained on the residual stream of one layer."""

    expansion: int = 8
    """Latents as a multiple of the width of the stream."""
    k: int = 32
    """Latents kept, per token, on the average of a batch."""
    epochs: int = 12
    """How often each token is seen."""
    batch: int = 1024
    """Tokens a step."""
    learning_rate: float | None = None
    """Adam; none is 2e-4 / sqrt(latents / 2^14), which is Gao et al.'s rule. Warm-up over a twentieth of the steps,
    linear to 0 over the last fifth."""
    auxiliary: float = 1 / 32
    """Weight of the loss that dead latents have for what the others leave."""
    dead_after: int = 50_000
    """Tokens without firing after which a latent counts as dead."""
    norm_limit: float = 6.0
    """Tokens whose norm is above this multiple of the mean norm are left out (attention sinks)."""
    held_out: float = 0.1
    """Share of the windows that is not trained on."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, float) and not math.isfinite(value):
                raise UnweaveError(f"{field.name} is {value}: a finite number is needed")
        for name in ("expansion", "k", "epochs", "batch", "dead_after"):
            if getattr(self, name) < 1:
                raise UnweaveError(f"{name} is {getattr(self, name)}, and it must be at least 1")
        if self.learning_rate is not None and not self.learning_rate > 0:
            raise UnweaveError(f"learning_rate is {self.learning_rate}, and it must be above 0")
        if self.auxiliary < 0:
            raise UnweaveError(f"auxiliary is {self.auxiliary}, and it must not be negative")
        if not self.norm_limit > 1:
            raise UnweaveError(f"norm_limit is {self.norm_limit}, and it must be above 1: 6 leaves out the sinks only")
        if not 0 < self.held_out < 1:
            raise UnweaveError(f"held_out is {self.held_out}, and it must be between 0 and 1")
