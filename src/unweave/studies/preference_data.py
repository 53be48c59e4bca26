"""What every study of a person's preference data is told: the data, the target, and how both are read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from unweave.base.errors import UnweaveError

READABLE = "mean-difference"
"""Leads by default: what a row adds can be read in the row itself."""


@dataclass(frozen=True, kw_only=True)
class PreferenceData:
    """Preference pairs, and the target whose change is foreseen."""

    data: str
    """Pairs of prompt, chosen and rejected: a .jsonl, .json or .parquet file, or a folder of them."""
    split: str | None = None
    """Which split, where the data has several."""
    target: str = "pupil"
    """The model to be trained, before training: a name, a Hugging Face folder or id, or a GGUF file. The default is a
    bundled toy for trying this out: what data of your own will teach depends on the model, so give yours."""
    layer: int | None = None
    """The block whose output is read; the middle one by default."""
    features: str = "train"
    """``train`` an SAE on the data's replies, ``none``, or a folder: an SAE of SAELens or sparsify, or a decomposition
    of the target."""
    latents: int = 8
    """Latents of the SAE that is trained, in widths of the stream."""
    kept: int = 32
    """Latents that it keeps on a token."""
    sae_epochs: int = 12
    """How often it sees each token."""
    behaviours_from: str | None = None
    """A Python file that registers behaviours of your own; it runs with all rights of this process."""
    by: str = READABLE
    """The predictor that ranks columns and whose shares rows are ranked by."""
    questions: int = 112
    """Prompts of the data that the target answers before any training: the unit of every change is how its own replies
    vary."""
    samples: int = 8
    """Replies to each of them."""
    most: int = 48
    """Tokens of a reply."""
    gradient: bool | None = None
    """Whether to take gradients, a backward pass a pair; by default up to 2,000 pairs."""
    calibration: str | None = None
    """A calibration.json, or the ``prove-predictions`` run that holds one, of this target; by default the bundled one
    of this target, if there is one, for the default training."""
    seed: int = 0
    device: str | None = None
    """cpu, cuda or mps; the best there is by default."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"

    def __post_init__(self) -> None:
        for name in ("latents", "kept", "sae_epochs", "questions", "samples", "most"):
            if getattr(self, name) < 1:
                raise UnweaveError(f"{name} is {getattr(self, name)}, and it must be at least 1")
        if self.samples * self.questions < 2 or self.questions < 2:
            raise UnweaveError(f"questions is {self.questions}: give at least 2, and 100 for numbers to rely on")
        if self.seed < 0:
            raise UnweaveError(f"seed is {self.seed}, and it must be at least 0")
        if not self.data.strip():
            raise UnweaveError("data is empty: give the path of preference pairs")

    @property
    def path(self) -> Path:
        return Path(self.data).expanduser()
