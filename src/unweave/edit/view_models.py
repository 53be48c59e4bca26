"""What the edit room's live views are asked and what they answer, as typed values."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from unweave.read.view_models import Answer, FeatureName, Request, Text

Factor = Annotated[float, Field(ge=-1000.0, le=1000.0, allow_inf_nan=False)]
Factors = Annotated[
    dict[FeatureName, Factor],
    Field(min_length=1, max_length=64, description="1 leaves a subcomponent as it is, 0 removes it"),
]
EditName = Annotated[str, Field(min_length=1, max_length=120)]


class FactorRequest(Request):
    factors: Factors
    text: Text
    top: int = Field(10, ge=1, le=100, description="next tokens, by the larger of before and after")
    by_label: bool = Field(True, description="measure cross-entropy on held-out windows of each corpus label")
    with_edits: bool = Field(
        False, description="the active edits under both; after, a factor of theirs gives way to one here"
    )


class NextToken(Answer):
    token: int
    text: str
    before: float = Field(description="probability")
    after: float


class LabelChange(Answer):
    label: str
    windows: int
    tokens: int = Field(description="tokens predicted")
    before: float = Field(description="cross-entropy in nats")
    after: float
    change: float


class FactorAnswer(Answer):
    tokens: list[str]
    truncated: bool = Field(description="the text was longer than a window, and only its end was read")
    next: list[NextToken]
    divergence: float = Field(description="Kullback-Leibler divergence of the next token, after from before, in nats")
    by_label: list[LabelChange]
    seconds: float
    edits: list[str] = Field(description="names of the active edits under both sides")


class EditsRequest(Request):
    """Nothing to choose."""


class EditEntry(Answer):
    name: str
    factors: dict[str, float]
    active: bool
    made: str = Field(description="UTC, ISO 8601")


class EditsAnswer(Answer):
    edits: list[EditEntry] = Field(description="oldest first; active ones are the stack")


class MakeEditRequest(Request):
    name: EditName
    factors: Factors


class UndoEditRequest(Request):
    name: EditName | None = Field(None, description="by default the active edit that was applied last")


class RedoEditRequest(Request):
    name: EditName | None = Field(None, description="by default the edit that was undone last")


class DropEditRequest(Request):
    name: EditName = Field(description="an undone edit, forgotten for good")
