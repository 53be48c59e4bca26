"""Operations on studies: which there are, and what each can be asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unweave.base.errors import UnweaveError
from unweave.lab.operations.models import Amounts
from unweave.lab.operations.registry import Missing, operation
from unweave.lab.operations.run_models import (
    Nothing,
    OutcomeEntry,
    StudyAnswer,
    StudyEntry,
    StudyField,
    StudyList,
    StudyRequest,
)

if TYPE_CHECKING:
    from unweave.lab.lab import Lab
    from unweave.lab.people import Person
    from unweave.studies.inquiry import Outcome
    from unweave.studies.registry import Study


@operation("studies", "which studies there are", Nothing, StudyList, "read", agent=True)
def studies(lab: Lab, person: Person, request: Nothing) -> StudyList:
    from unweave.studies.registry import all_studies

    listed = [
        StudyEntry(name=one.name, question=one.question, planned=one.inquiry is not None, source=_source(one))
        for one in all_studies().values()
    ]
    return StudyList(studies=listed)


@operation("study", "a study's fields, and how it may be asked", StudyRequest, StudyAnswer, "read", agent=True)
def study(lab: Lab, person: Person, request: StudyRequest) -> StudyAnswer:
    from unweave.studies.registry import all_studies, find_study

    try:
        found = find_study(request.name)
    except UnweaveError as error:
        if request.name in all_studies():
            raise
        raise Missing(str(error)) from error
    inquiry = found.inquiry
    fields = [
        StudyField(name=f.name, type=f.type, default=f.default, required=f.required, meaning=f.meaning)
        for f in found.fields()
    ]
    return StudyAnswer(
        name=found.name,
        question=found.question,
        source=_source(found),
        fields=fields,
        topics=list(inquiry.topics) if inquiry else [],
        words={knob.field: dict(knob.words) for knob in inquiry.knobs} if inquiry else {},
        effect=_outcome(inquiry.effect) if inquiry else None,
        harms=[_outcome(harm) for harm in inquiry.harms] if inquiry else [],
        **_usual_needs(lab, found),
    )


def _usual_needs(lab: Lab, found: Study) -> dict[str, Any]:
    try:
        needs, said = lab.queue.estimate(found.name, {})
    except UnweaveError as error:  # a field without a default has to be set before anything can be reckoned
        return {"needs": None, "needs_from": str(error)}
    return {"needs": Amounts(**needs.to_json()), "needs_from": said}


def _outcome(one: Outcome) -> OutcomeEntry:
    return OutcomeEntry(
        name=one.name, table=one.table, column=one.column, better=one.better, bar=one.bar, unit=one.unit
    )


def _source(found: Study) -> str | None:
    """The package that a study comes from, where it is not this one."""
    module = found.function.__module__
    return None if module.startswith("unweave.") else module
