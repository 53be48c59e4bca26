"""What a piece of work needs of a machine, and whether it fits what is left."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields

from unweave.base.errors import UnweaveError


@dataclass(frozen=True)
class Needs:
    """A resource vector. 0 is none of it; for a limit (``seconds``, ``tokens``, ``dollars``) infinity is no limit."""

    threads: float = 1.0
    """CPU threads; a worker sets torch's and OpenMP's count to this many."""
    memory_gb: float = 1.0
    gpu_gb: float = 0.0
    disk_gb: float = 0.1
    tokens: float = 0.0
    """Tokens asked of a language model, in and out."""
    dollars: float = 0.0
    seconds: float = math.inf
    """Wall time after which the work is stopped."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or math.isnan(value) or value < 0:
                raise UnweaveError(f"{field.name} is {value!r}: give a number that is not negative")

    def __add__(self, other: Needs) -> Needs:
        return Needs(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(self)))

    def lacking(self, free: Needs, names: Iterable[str] = ("threads", "memory_gb", "gpu_gb", "disk_gb")) -> list[str]:
        """The names among ``names`` of which ``free`` has too little for this."""
        # Sums of tenths miss by their rounding.
        return [name for name in names if getattr(self, name) > getattr(free, name) + 1e-9]

    def to_json(self) -> dict[str, float | None]:
        """The vector as JSON; no limit is null."""
        values = {field.name: float(getattr(self, field.name)) for field in fields(self)}
        return {name: value if math.isfinite(value) else None for name, value in values.items()}

    @classmethod
    def from_json(cls, value: dict[str, float | None]) -> Needs:
        """The vector back from ``to_json``."""
        known = {field.name for field in fields(cls)}
        strange = sorted(set(value) - known)
        if strange:
            raise UnweaveError(f"{strange[0]!r} is not a resource: {', '.join(sorted(known))}")
        return cls(**{name: math.inf if amount is None else amount for name, amount in value.items()})
