"""What is asked about the people of a lab and what they did, and about its health; and what is answered."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from unweave.lab.operations.models import MOST, Answer
from unweave.lab.operations.registry import Request

RoleName = Literal["reader", "runner", "reviewer", "owner"]
PersonName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,99}$")]


class DeedsRequest(Request):
    after: Annotated[int, Field(ge=1, le=MOST)] | None = Field(
        None, description="the last page's `next`: older deeds follow"
    )
    limit: Annotated[int, Field(ge=1, le=1_000)] = 100
    person: PersonName | None = None
    subject: Annotated[str, Field(max_length=200)] | None = Field(None, description="a run, thread, job or account")


class DeedEntry(Answer):
    number: int
    at: str
    person: str
    role: str
    deed: str
    subject: str
    detail: dict[str, Any]


class DeedsAnswer(Answer):
    deeds: list[DeedEntry] = Field(description="the newest first")
    next: int | None


class DoctorFinding(Answer):
    where: str
    what: str
    repaired: bool
    remedy: str


class DoctorAnswer(Answer):
    findings: list[DoctorFinding]


class PersonEntry(Answer):
    name: str
    role: str


class PeopleAnswer(Answer):
    people: list[PersonEntry] = Field(description="accounts; a lab without any belongs to whoever can open its folder")
    here: PersonEntry = Field(description="who asks")


class PersonRequest(Request):
    name: PersonName


class SetRoleRequest(Request):
    name: PersonName
    role: RoleName


class TokenAnswer(Answer):
    """A new token. It is shown this once: the lab keeps its hash."""

    name: str
    role: str
    token: str
