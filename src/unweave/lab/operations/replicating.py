"""Operations on papers: what each states, what runs of this lab found in its place, and replicating one."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from unweave.base.errors import nearest
from unweave.lab.operations.finding import open_thread
from unweave.lab.operations.paper_models import (
    CorrectionEntry,
    DeviationEntry,
    JudgeRequest,
    Paper,
    PaperList,
    PaperRow,
    ReplicateRequest,
    ReplicationStarted,
)
from unweave.lab.operations.registry import Missing, operation
from unweave.lab.operations.run_models import Nothing
from unweave.lab.replication.paper import read_paper

if TYPE_CHECKING:
    from collections.abc import Mapping

    from unweave.lab.lab import Lab
    from unweave.lab.people import Person
    from unweave.lab.replication.paper import Paper as ReadPaper
    from unweave.lab.replication.paper import Row
    from unweave.lab.threads.events import RowVerdict


@operation(
    "replications", "papers, and what became of each of their claims here", Nothing, PaperList, "read", agent=True
)
def replications(lab: Lab, person: Person, request: Nothing) -> PaperList:
    from unweave.lab.replication.replication import replications as found_here
    from unweave.studies.papers import papers

    shipped = {id: read_paper(id) for id in papers()}
    here = found_here(lab)
    known = {**{one.paper.id: one.paper for one in reversed(here)}, **shipped}
    listed = []
    for id, paper in known.items():
        threads = [one for one in here if one.paper.id == id]
        verdicts = threads[0].verdicts if threads else {}
        listed.append(paper_entry(paper, [one.thread for one in threads], verdicts, id in shipped))
    return PaperList(papers=listed)


@operation("replicate", "opens a thread for a paper, and submits its runs", ReplicateRequest, ReplicationStarted, "run")
def replicate(lab: Lab, person: Person, request: ReplicateRequest) -> ReplicationStarted:
    from unweave.lab.replication.starting import start_replication
    from unweave.studies.papers import papers

    # Over the network a paper is one that comes with unweave: never a file of this machine.
    if request.paper not in papers():
        raise Missing(f"there is no paper {request.paper!r}; {nearest(request.paper, papers())}")
    if request.thread is not None:
        open_thread(lab, request.thread)
    made = start_replication(lab, request.paper, by=person, thread=request.thread, settings=request.settings)
    return ReplicationStarted(thread=made.thread, jobs=list(made.jobs))


@operation("judge-replication", "gives every row of a thread's paper its verdict", JudgeRequest, PaperList, "run")
def judge(lab: Lab, person: Person, request: JudgeRequest) -> PaperList:
    from unweave.lab.replication.judging import judge_replication
    from unweave.lab.replication.starting import thread_paper
    from unweave.studies.papers import papers

    open_thread(lab, request.thread)
    verdicts = judge_replication(lab, request.thread, person)
    paper, _ = thread_paper(lab.threads.get(request.thread))
    return PaperList(papers=[paper_entry(paper, [request.thread], verdicts, paper.id in papers())])


def paper_entry(paper: ReadPaper, threads: list[str], verdicts: Mapping[str, RowVerdict], shipped: bool) -> Paper:
    """A paper as an answer has it."""
    corrections = [CorrectionEntry(**asdict(one)) for one in paper.corrections]
    return Paper(
        id=paper.id,
        title=paper.title,
        authors=paper.authors,
        published=paper.published,
        source=f"{paper.authors}, {paper.published}",
        sources=list(paper.sources),
        question=paper.question,
        known=paper.known,
        shipped=shipped,
        threads=threads,
        rows=[_row(row, verdicts.get(row.id)) for row in paper.rows],
        deviations=[DeviationEntry(**asdict(one)) for one in paper.deviations],
        corrections=corrections,
        correction=corrections[0] if corrections else None,
    )


def _row(row: Row, verdict: RowVerdict | None) -> PaperRow:
    number, tolerance = row.number, row.tolerance
    near = tolerance is not None and number is not None and tolerance.kind in ("absolute", "relative")
    by = None if tolerance is None or number is None or not near else tolerance.by
    if by is not None and tolerance is not None and tolerance.kind == "relative" and number is not None:
        by *= abs(number)
    return PaperRow(
        id=row.id,
        statement=row.statement,
        where=row.where,
        known=row.known,
        reported=number,
        unit=row.unit,
        tolerance=by,
        allowed=tolerance.words(number) if tolerance is not None and number is not None else "",
        reading=row.reading,
        unknowable=row.unknowable,
        study=row.study,
        settings=dict(row.settings),
        notes=row.notes,
        verdict=verdict.verdict if verdict else "open",
        reason=verdict.reason if verdict else "",
        run=verdict.run if verdict else "",
        ours=dict(verdict.ours) if verdict else {},
    )
