"""What operations have in common: ids, amounts, a run's progress, and answers that say nothing more."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

ID = r"^[a-z0-9][a-z0-9._-]{0,99}$"
Id = Annotated[str, Field(pattern=ID, description="an id: lower-case letters, digits, '.', '_' and '-', never a path")]
MOST = 2**63 - 1
"""The largest whole number that the index can hold."""
Whole = Annotated[int, Field(ge=0, le=MOST)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Line = Annotated[str, Field(min_length=1, max_length=1_000)]
Text = Annotated[str, Field(min_length=1, max_length=100_000)]
Value = str | int | float | bool | None
Settings = Annotated[dict[str, Any], Field(description="values by the name of the study's field")]


class Answer(BaseModel):
    """What an operation says. A number that is not known is null, never NaN."""

    model_config = ConfigDict(frozen=True)


class Amounts(Answer):
    """A resource vector; null is no limit."""

    threads: float | None = 1.0
    memory_gb: float | None = 1.0
    gpu_gb: float | None = 0.0
    disk_gb: float | None = 0.1
    tokens: float | None = 0.0
    dollars: float | None = 0.0
    seconds: float | None = None


class RunProgress(Answer):
    """How far a run is; ``total`` is null where nobody knows."""

    done: float
    total: float | None
    note: str = ""
    at: str | None = Field(None, description="when it said so")
