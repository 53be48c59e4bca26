"""Settings of a site-local decomposition. Light to import: no torch."""

from __future__ import annotations

from dataclasses import dataclass

from unweave.base.errors import UnweaveError


@dataclass(frozen=True)
class SiteLocalConfig:
    """How one matrix is taken apart from its own inputs and outputs (no backward pass through the model)."""

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
