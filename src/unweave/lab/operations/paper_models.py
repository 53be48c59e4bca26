"""What is asked about papers and their replication, and what is answered."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from unweave.lab.operations.models import Answer, Id
from unweave.lab.operations.registry import Request


class ReplicateRequest(Request):
    paper: Id = Field(description="one of those that `replications` lists")
    thread: Id | None = Field(None, description="go on with this thread of the same paper")
    settings: dict[str, Any] = Field(
        default_factory=dict, description="in place of the paper's own, such as the target"
    )


class ReplicationStarted(Answer):
    thread: str
    jobs: list[str] = Field(description="what must end before the rows can be judged; none where all runs were there")


class JudgeRequest(Request):
    thread: Id


class PaperRow(Answer):
    """One statement of a paper, and what the auditor says of our number for it in the newest thread."""

    id: str
    statement: str
    where: str = Field(description="in the paper")
    known: str = Field(description="published, derived, qualitative or not recovered")
    reported: float | None
    unit: str
    tolerance: float | None = Field(description="how far off ours may be, in the row's unit")
    allowed: str = Field(description="the same in words")
    reading: str = Field(description="what we take words without a number to mean")
    unknowable: str = Field(description="why no verdict can be; empty where one can")
    study: str
    settings: dict[str, Any]
    notes: str
    verdict: str = Field(description="reproduced, not reproduced, not testable; open without one")
    reason: str
    run: str
    ours: dict[str, Any]


class DeviationEntry(Answer):
    what: str
    theirs: str
    ours: str


class CorrectionEntry(Answer):
    what: str
    where: str
    effect: str


class Paper(Answer):
    id: str
    title: str
    authors: str
    published: str
    source: str
    sources: list[str]
    question: str
    known: str = Field(description="how much of the paper could be read")
    shipped: bool = Field(description="whether it comes with unweave, and can be replicated by its id")
    threads: list[str] = Field(description="of this lab, the last changed first")
    rows: list[PaperRow]
    deviations: list[DeviationEntry]
    corrections: list[CorrectionEntry]
    correction: CorrectionEntry | None = Field(description="the first of them")


class PaperList(Answer):
    papers: list[Paper]
