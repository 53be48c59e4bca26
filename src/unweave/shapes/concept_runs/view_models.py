"""What the live views of concepts and of steering are asked and what they answer, as typed values."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from unweave.read.view_models import Answer, Available, Request

Name = Annotated[str, Field(min_length=1, max_length=200)]
Point = tuple[float, float, float]
Cell = str | int | float | bool | None


class ConceptsOverviewRequest(Request):
    """Nothing to choose."""


class ConceptEntry(Answer):
    name: str
    values: int
    layers: list[int] = Field(description="depths that it was drawn at")
    layer: int = Field(description="the one that its families were compared at, where it was drawn there")


class TaskEntry(Answer):
    name: str
    layers: list[int]
    pairs: list[str]


class ConceptsOverviewAnswer(Answer):
    id: str
    title: str
    run: str
    study: str
    target: str
    concepts: list[ConceptEntry] = Field(description="whose shapes were found")
    tasks: list[TaskEntry] = Field(description="that were steered")
    moving: Available = Field(description="a concept moved along its curve, by the loaded model")


class TableColumn(Answer):
    name: str
    kind: str
    unit: str | None
    digits: int | None


class TableRows(Answer):
    """Rows of a saved table."""

    name: str
    caption: str
    columns: list[TableColumn]
    rows: list[list[Cell]]


class ConceptValue(Answer):
    value: str
    label: str
    place: Point
    colour: str | None = Field(description="#rrggbb, of a concept of colours")
    theta: float | None = Field(description="where it lies on the curve that is steered along")


class DrawnCurve(Answer):
    family: str
    closed: bool
    chosen: bool = Field(description="the family of least held-out error")
    parts: list[list[Point]] = Field(description="a tree's edges; one for any other curve")
    theta: list[float] = Field(description="of each point of a curve that is steered along")


class ConceptsConceptRequest(Request):
    concept: Name
    layer: int | None = Field(default=None, ge=0, description="a depth that it was drawn at")


class ConceptsConceptAnswer(Answer):
    concept: str
    layer: int
    axes: tuple[str, str, str]
    values: list[ConceptValue]
    curves: list[DrawnCurve]
    summary: TableRows | None = Field(description="scores over the splits of templates, adjusted over concepts")
    scores: TableRows | None
    families: TableRows | None


class ConceptsSteeringRequest(Request):
    task: Name
    layer: int | None = Field(default=None, ge=0)
    pair: Annotated[str, Field(max_length=200)] | None = None


class AnswerPoint(Answer):
    t: float = Field(description="how far along the way, 0 to 1")
    probability: float
    low: float = Field(description="a standard deviation over base prompts below, at least 0")
    high: float


class AnswerLine(Answer):
    answer: str
    points: list[AnswerPoint]


class SteeredWay(Answer):
    way: str
    path: list[Point]
    answers: list[AnswerLine] = Field(description="values in their order, then everything that is no value")


class ConceptsSteeringAnswer(Answer):
    task: str
    layer: int
    pair: str
    axes: tuple[str, str, str]
    values: list[ConceptValue]
    curves: list[DrawnCurve]
    ways: list[SteeredWay]
    by_way: TableRows | None = Field(description="energy and the like of every way, at this depth")
    tests: TableRows | None = Field(description="every way against the manifold")
    energy: TableRows | None = Field(description="of this pair, by way and seed")
    isometry: TableRows | None


class ConceptsMoveRequest(Request):
    task: Name
    layer: int = Field(ge=0)
    theta: float | None = Field(default=None, allow_inf_nan=False, description="a place on the curve")
    value: Name | None = Field(default=None, description="a value, instead of a place")


class MovedAnswer(Answer):
    answer: str
    probability: float
    deviation: float = Field(description="over base prompts")


class ConceptsMoveAnswer(Answer):
    theta: float = Field(description="a place on the curve as the run drew it")
    period: float = Field(description="the way round; 0 for a curve with ends")
    answers: list[MovedAnswer]
