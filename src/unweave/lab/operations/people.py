"""Operations on the people of a lab: accounts, roles, tokens, and the record of who did what."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unweave.base.errors import nearest
from unweave.lab.operations.people_models import (
    DeedEntry,
    DeedsAnswer,
    DeedsRequest,
    PeopleAnswer,
    PersonEntry,
    PersonRequest,
    SetRoleRequest,
    TokenAnswer,
)
from unweave.lab.operations.registry import Missing, operation
from unweave.lab.operations.run_models import Nothing

if TYPE_CHECKING:
    from unweave.lab.lab import Lab
    from unweave.lab.people import Person


@operation("people", "who has an account in this lab", Nothing, PeopleAnswer, "read")
def people(lab: Lab, person: Person, request: Nothing) -> PeopleAnswer:
    return PeopleAnswer(people=[_entry(one) for one in lab.people.list()], here=_entry(person))


@operation("deeds", "who did what, the newest first", DeedsRequest, DeedsAnswer, "read")
def deeds(lab: Lab, person: Person, request: DeedsRequest) -> DeedsAnswer:
    found = lab.people.deeds(request.limit, request.after, request.person, request.subject)
    listed = [
        DeedEntry(
            number=one.number, at=one.at, person=one.person, role=one.role, deed=one.deed, subject=one.subject,
            detail=one.detail,
        )
        for one in found
    ]  # fmt: skip
    more = len(listed) == request.limit and listed[-1].number > 1
    return DeedsAnswer(deeds=listed, next=listed[-1].number if more else None)


@operation("add-person", "makes an account, and shows its token this once", SetRoleRequest, TokenAnswer, "own")
def add_person(lab: Lab, person: Person, request: SetRoleRequest) -> TokenAnswer:
    return TokenAnswer(name=request.name, role=request.role, token=lab.people.add(request.name, request.role))


@operation("set-role", "gives an account another role, from its next request on", SetRoleRequest, PersonEntry, "own")
def set_role(lab: Lab, person: Person, request: SetRoleRequest) -> PersonEntry:
    _known(lab, request.name)
    return _entry(lab.people.set_role(request.name, request.role))


@operation("remove-person", "removes an account, and ends its sessions", PersonRequest, PersonEntry, "own")
def remove_person(lab: Lab, person: Person, request: PersonRequest) -> PersonEntry:
    found = _known(lab, request.name)
    lab.people.remove(request.name)
    return _entry(found)


@operation("rotate-token", "gives an account another token, and ends its sessions", PersonRequest, TokenAnswer, "own")
def rotate_token(lab: Lab, person: Person, request: PersonRequest) -> TokenAnswer:
    found = _known(lab, request.name)
    return TokenAnswer(name=found.name, role=found.role, token=lab.people.rotate_token(request.name))


def _known(lab: Lab, name: str) -> Person:
    found = {one.name: one for one in lab.people.list()}
    if name not in found:
        raise Missing(f"there is no account {name!r}; {nearest(name, found)}")
    return found[name]


def _entry(person: Person) -> PersonEntry:
    return PersonEntry(name=person.name, role=person.role)
