"""Operations on the lab as a whole: what it is and who asks, and whether its store is in order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import unweave
from unweave.lab.operations.people_models import DoctorAnswer, DoctorFinding
from unweave.lab.operations.registry import operation
from unweave.lab.operations.run_models import LabAnswer, Nothing
from unweave.lab.people import SCOPES

if TYPE_CHECKING:
    from unweave.lab.lab import Lab
    from unweave.lab.people import Person


@operation("lab", "what this lab is, who asks, and what they may", Nothing, LabAnswer, "read", agent=True)
def lab(lab: Lab, person: Person, request: Nothing) -> LabAnswer:
    from unweave.lab.operations.queueing import is_scheduled
    from unweave.studies.registry import all_studies

    lab.freshness.ensure()
    counts = lab.runs.counts()
    return LabAnswer(
        name=lab.root.resolve().name,
        version=unweave.__version__,
        person=person.name,
        role=person.role,
        scopes=list(SCOPES[person.role]),
        runs=counts.total,
        invalid=counts.invalid,
        by_status=counts.by_status,
        threads=len(lab.threads.list()),
        studies=len(all_studies()),
        scheduler=is_scheduled(lab),
    )


@operation("doctor", "what is wrong in the lab's store, and what to do", Nothing, DoctorAnswer, "read")
def doctor(lab: Lab, person: Person, request: Nothing) -> DoctorAnswer:
    from unweave.lab.store.doctor import examine

    found = [
        DoctorFinding(where=one.where, what=one.what, repaired=one.repaired, remedy=one.remedy) for one in examine(lab)
    ]
    return DoctorAnswer(findings=found)
