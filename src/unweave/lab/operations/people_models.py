"""What is asked about the people of a lab and what they did, and about its health; and what is answered."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from unweave.lab.operations.models import Answer
from unweave.lab.operations.registry import Request

RoleName = Literal["reader", "runner", "reviewer", "owner"]
PersonName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,99}$")]


class DeedsRequest(Request):
    after: Annotated[int, Field(ge=0)] = Field(0, description="the number of the last one seen; they come newest last")
    limit: Annotated[int, Field(ge=1, le=1_000)] = 100


class DeedEntry(Answer):
    number: int
    at: str
    person: str
    role: str
    deed: str
    subject: str
    detail: dict[str, Any]


class DeedsAnswer(Answer):
    deeds: list[DeedEntry]
    total: int


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
    added: str


class PeopleAnswer(Answer):
    people: list[PersonEntry]


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
