"""What is asked about runs and studies, and what is answered."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from unweave.lab.operations.models import Amounts, Answer, Id, RunProgress, Value, Whole
from unweave.lab.operations.registry import Request

RunStatus = Literal["waiting", "running", "paused", "finished", "failed", "cancelled", "interrupted", "damaged"]
Name = Annotated[str, Field(min_length=1, max_length=200)]
Limit = Annotated[int, Field(ge=1, le=1_000)]


class Nothing(Request):
    """Nothing to choose."""


class LabAnswer(Answer):
    name: str = Field(description="the folder's name")
    version: str
    person: str = Field(description="who asks")
    role: str
    scopes: list[str] = Field(description="what this role may: read, run, review, own")
    runs: int
    invalid: int = Field(description="runs that were changed after they had finished")
    by_status: dict[str, int]
    threads: int
    studies: int
    scheduler: bool = Field(description="whether something starts the jobs that wait")


class StudyEntry(Answer):
    name: str
    question: str
    planned: bool = Field(description="whether a planner can ask it")
    source: str | None = Field(None, description="the file or the package it comes from, where it is not built in")


class StudyList(Answer):
    studies: list[StudyEntry]


class StudyRequest(Request):
    name: Name


class StudyField(Answer):
    name: str
    type: str
    default: Any
    required: bool
    meaning: str


class OutcomeEntry(Answer):
    """A number that runs of a study answer with."""

    name: str
    table: str
    column: str
    better: str
    bar: float | None
    unit: str


class StudyAnswer(Answer):
    name: str
    question: str
    source: str | None
    fields: list[StudyField]
    topics: list[str]
    words: dict[str, dict[str, Any]] = Field(description="by field: a question's word and the value it stands for")
    effect: OutcomeEntry | None
    harms: list[OutcomeEntry]
    needs: Amounts | None = Field(description="of a run with the defaults")
    needs_from: str = Field(description="where that comes from")


class RunsRequest(Request):
    limit: Limit = 100
    after: str | None = Field(None, max_length=1_000, description="the last page's `next`")
    study: Name | None = None
    status: RunStatus | None = None
    thread: Id | None = None
    text: Annotated[str, Field(max_length=200)] | None = Field(
        None, description="words, each of which is part of an id, study, note, tag or config"
    )
    sort: Literal["created", "finished", "seconds", "study", "status", "thread", "id"] = "created"
    descending: bool = True


class RunRow(Answer):
    id: str
    study: str
    status: RunStatus
    created: str
    finished: str | None
    seconds: float | None
    thread: str | None
    job: str | None
    person: str | None
    note: str | None
    headline: str | None = Field(description="its first claim")
    valid: bool = Field(description="false when what the finished run wrote was changed afterwards")
    reason: str | None = Field(description="why it is not valid")
    progress: RunProgress | None = Field(description="of a run at work")


class RunsAnswer(Answer):
    rows: list[RunRow]
    total: int
    next: str | None = Field(description="give it as `after` for the next page; null at the end")


class RunRequest(Request):
    run: Id


class TableEntry(Answer):
    name: str
    caption: str
    rows: int
    columns: list[str]


class RunAnswer(RunRow):
    question: str | None = Field(description="what the study answers, where the study is known here")
    config: dict[str, Any]
    plan: dict[str, Any] | None
    seeds: list[int]
    parents: list[str]
    tags: list[str]
    environment: dict[str, Any]
    identities: list[dict[str, Any]] = Field(description="targets, data and held-out sets, each with kind and sha256")
    source: str | None = Field(description="the file of a study that is not built in")
    resumed: list[dict[str, Any]]
    tables: list[TableEntry]
    figures: list[str]
    claims: int
    metrics: bool
    report: bool
    needs: Amounts | None
    usage: dict[str, float]
    job_state: str | None = Field(description="where it came through the queue")


class MetricsRequest(Request):
    run: Id
    names: list[Name] = Field(default_factory=list, max_length=100, description="only these; all where there are none")
    points: Annotated[int, Field(ge=10, le=5_000)] = 500


class Series(Answer):
    """One metric, its rows gathered into buckets: each has the last row's value, and the lowest and highest in it."""

    name: str
    rows: int = Field(description="rows that have this metric")
    at: list[float] = Field(description="the last row's step in each bucket, or its number where rows have no step")
    seconds: list[float | None] = Field(description="the last row's time, from the first row on")
    value: list[float | None]
    low: list[float | None]
    high: list[float | None]


class MetricsAnswer(Answer):
    run: str
    rows: int
    names: list[str] = Field(description="all metrics that the run has logged")
    steps: bool = Field(description="whether `at` counts steps, not rows")
    series: list[Series]


class LogRequest(Request):
    run: Id
    after_byte: Whole = 0
    limit: Annotated[int, Field(ge=1, le=1_000_000)] = 64_000


class LogAnswer(Answer):
    run: str
    text: str
    start: int
    next: int = Field(description="give it as `after_byte` for what comes later")
    size: int
    ended: bool = Field(description="nothing more will be written")


class TableRequest(Request):
    run: Id
    table: Id
    offset: Whole = 0
    limit: Limit = 200


class ColumnEntry(Answer):
    name: str
    kind: str = Field(description="text, boolean, integer, number or empty")
    unit: str | None
    digits: int | None


class TableAnswer(Answer):
    run: str
    table: str
    caption: str
    columns: list[ColumnEntry]
    rows: list[list[Value]]
    offset: int
    total: int
    sha256: str


class FigureRequest(Request):
    run: Id
    figure: Id


class FigureAnswer(Answer):
    run: str
    figure: str
    svg: str
    narrow: str = Field(description="the same for a narrow screen")
    title: str
    table: str = Field(description="the table that it is drawn from")
    sha256: str = Field(description="of that table")


class EvidenceEntry(Answer):
    """Where a claim's number stands."""

    kind: str = Field(description="cell, rows (that an aggregate is made of), or metric")
    run: str
    table: str | None = Field(description="null for a metric")
    sha256: str = Field(description="of the table's bytes, or of the logged lines")
    row: dict[str, Any] = Field(description="values by column that select the row or rows")
    rows: list[int] = Field(description="numbers of the selected rows in the table, from 0")
    column: str = Field(description="a metric's name where there is no table")
    how: str | None = Field(None, description="how several rows, or a metric's values, become one number")
    value: Value


class ClaimEntry(Answer):
    number: int = Field(description="from 0, in the order in which the run made them")
    sentence: str
    kind: str = Field(description="cell, aggregate or metric")
    value: Value
    digits: int
    verdict: str = Field(description="held, failed or not checkable: recomputed now from the run's files")
    reason: str
    evidence: list[EvidenceEntry]


class ClaimsAnswer(Answer):
    run: str
    claims: list[ClaimEntry]


class CheckedEntry(Answer):
    number: int
    sentence: str
    verdict: str
    reason: str


class FindingEntry(Answer):
    where: str
    what: str


class AuditAnswer(Answer):
    run: str
    verdict: Literal["valid", "invalid", "not finished"]
    claims: list[CheckedEntry]
    findings: list[FindingEntry]
