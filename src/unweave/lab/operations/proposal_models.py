"""What is asked about code that an agent proposed, and what is answered."""

from __future__ import annotations

from pydantic import Field

from unweave.lab.operations.models import Answer, Sha256
from unweave.lab.operations.registry import Request


class ProposalEntry(Answer):
    """Code that was proposed, and who let it run in the sandbox."""

    name: str
    sha256: str
    proposed_by: str
    why: str
    allowed_by: str | None
    allowed: str | None


class ProposalList(Answer):
    proposals: list[ProposalEntry]


class ProposalRequest(Request):
    sha256: Sha256


class ProposedCode(ProposalEntry):
    source: str = Field(description="control and direction characters are written out")
