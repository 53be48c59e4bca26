"""What is asked about code that an agent proposed, and what is answered."""

from __future__ import annotations

from pydantic import Field

from unweave.lab.operations.models import Answer, Id, Settings, Sha256
from unweave.lab.operations.queue_models import Limits
from unweave.lab.operations.registry import Request
from unweave.lab.operations.run_models import Name
from unweave.lab.sandbox.approval import LARGEST


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


class ProposeCodeRequest(Request):
    """A Python file that registers a study, and why it is needed; nothing of it runs before a person allowed it."""

    name: str = Field(max_length=64)
    source: str = Field(max_length=LARGEST)
    why: str = Field("", max_length=500)


class RunCodeRequest(ProposalRequest):
    """A study of allowed code, and its settings."""

    study: Name
    settings: Settings = Field(default_factory=dict)
    thread: Id | None = None
    needs: Limits | None = None
