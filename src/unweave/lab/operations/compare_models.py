"""What is asked about comparisons of runs, and what is answered."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from unweave.lab.operations.models import Answer, Id
from unweave.lab.operations.registry import Request
from unweave.lab.operations.run_models import Name


class CompareRequest(Request):
    runs: list[Id] = Field(min_length=1, max_length=200)
    measure: Annotated[str, Field(max_length=1_000)] | None = Field(
        None,
        description="TABLE.COLUMN[FIELD=VALUE], or a logged metric's name; what the study answers with where left out",
    )
    better: Literal["higher", "lower"] | None = Field(None, description="as the study says where it is left out")
    by: list[Name] = Field(
        default_factory=list, max_length=20, description="fields of the config; all in which the runs differ if none"
    )
    baseline: list[Name] = Field(
        default_factory=list, max_length=20, description="FIELD=VALUE of the arm that the others are compared with"
    )


class ArmEntry(Answer):
    """Runs that are alike but for their seeds, and how they stand to the baseline."""

    name: str
    settings: dict[str, Any]
    runs: list[str]
    seeds: list[int]
    values: list[float]
    mean: float
    low: float | None = Field(description="of Student's 95 % interval of the mean")
    high: float | None
    median: float
    verdict: str = Field(description="baseline, better, worse, that no difference was seen, or why there is none")
    pairs: int = Field(description="seeds that this arm and the baseline both have")
    difference: float | None
    difference_low: float | None
    difference_high: float | None
    floor: float | None = Field(description="the difference that arms equal to the baseline stay within")
    detectable: float | None = Field(description="the true difference that would be seen four times in five")
    p: float | None
    adjusted: float | None = Field(description="p by Holm's method over all arms")
    test: str
    note: str


class LeftOut(Answer):
    run: str
    reason: str


class CompareAnswer(Answer):
    study: str
    measure: str
    better: str
    by: list[str]
    arms: list[ArmEntry] = Field(description="the baseline first")
    left_out: list[LeftOut]
    said: list[str] = Field(description="verdicts and notes in words")
    digits: int = Field(description="decimals that the uncertainty allows")
