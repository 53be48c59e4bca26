"""Settings of a harvest. Light to import: no torch."""

from __future__ import annotations

from dataclasses import dataclass

from unweave.base.errors import UnweaveError
from unweave.corpora.text import PARTS


@dataclass(frozen=True)
class HarvestConfig:
    """What is read, and how much is kept of it."""

    parts: tuple[str, ...] = PARTS
    """Parts of the corpora to read."""
    labels: tuple[str, ...] | None = None
    """Labels to read; those of the first corpus by default."""
    length: int = 64
    """Tokens in a window."""
    windows: int | None = None
    """At most so many windows of each label, part and corpus; all by default."""
    batch: int = 16
    """Windows in one forward. What is counted is the same for every number but for rounding."""
    shown: int = 32
    """Example firings kept of each feature for labelling and for the page."""
    held: int = 16
    """Example firings kept of each feature for scoring its label, from windows that nothing else is taken from."""
    context: int = 20
    """Tokens of an example on either side of the one that the feature fires on."""
    pool: int = 256
    """Windows of each sort, shown and held out, of which every firing is kept."""
    draws: int = 4
    """Draws from the model's next-token distribution at each position."""
    table_gb: float = 2.0
    """Memory for the two tables of counts by feature and token, in GB. Tokens beyond it are counted as one."""
    partners: int = 32
    """Features that fire together with each one most often, kept of it."""
    seed: int = 0

    def __post_init__(self) -> None:
        for part in self.parts:
            if part not in PARTS:
                raise UnweaveError(f"parts has {part!r}, and a corpus has {', '.join(PARTS)}")
        if not self.parts:
            raise UnweaveError("parts is empty: name at least one part of the corpus to read")
        if self.length < 2:
            raise UnweaveError(f"length is {self.length}, and a window needs at least 2 tokens")
        for name in ("batch", "shown", "held", "pool", "draws", "partners"):
            if getattr(self, name) < 1:
                raise UnweaveError(f"{name} is {getattr(self, name)}, and it must be 1 or more")
        if self.context < 0:
            raise UnweaveError(f"context is {self.context}, and it must be 0 or more")
        if self.windows is not None and self.windows < 1:
            raise UnweaveError(f"windows is {self.windows}, and it must be 1 or more, or none for all")
        if not self.table_gb > 0:
            raise UnweaveError(f"table_gb is {self.table_gb}, and it must be above 0")
