"""What an audit finds, and what it comes to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from unweave.record.claims import CheckedClaim, claim_of

Kind = Literal[
    "seal", "run", "table", "figure", "claim", "report", "number", "seeds", "plan", "data", "code", "evidence",
    "unfinished",
]  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be: of what ``kind``, ``where`` in the run, and ``what``.

    A ``grave`` one makes the run invalid; the others are for a reader to judge.
    """

    kind: Kind
    where: str
    what: str
    grave: bool = True

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


@dataclass(frozen=True)
class Ledger:
    """What the lab keeps outside the run folders, given to the auditor, who takes nothing from the folders for granted.

    ``seals`` are digests as first seen, ``invalid`` the runs found invalid before, with the reasons, and ``submitted``
    the study and config that the run was queued with.
    """

    seals: Mapping[str, str] = field(default_factory=dict)
    invalid: Mapping[str, str] = field(default_factory=dict)
    submitted: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The ledger as plain JSON."""
        return {"seals": dict(self.seals), "invalid": dict(self.invalid), "submitted": dict(self.submitted)}


@dataclass(frozen=True)
class Audit:
    """The audit of one run: every claim with its verdict, every finding, and whether the run is valid."""

    run: str
    claims: tuple[CheckedClaim, ...] = ()
    findings: tuple[Finding, ...] = ()

    @property
    def verdict(self) -> Literal["valid", "invalid", "not finished"]:
        """``invalid`` where anything grave was found; else ``not finished`` for a run that may still change."""
        if self.reasons:
            return "invalid"
        return "not finished" if any(finding.kind == "unfinished" for finding in self.findings) else "valid"

    @property
    def reasons(self) -> tuple[str, ...]:
        """The grave findings in words."""
        return tuple(str(finding) for finding in self.findings if finding.grave)

    def to_json(self) -> dict[str, Any]:
        """The audit as plain JSON."""
        claims = [{"claim": one.claim.to_json(), "verdict": one.verdict, "reason": one.reason} for one in self.claims]
        findings = [asdict(finding) for finding in self.findings]
        return {"run": self.run, "verdict": self.verdict, "claims": claims, "findings": findings}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Audit:
        """The audit back from ``to_json``."""
        claims = (CheckedClaim(claim_of(one["claim"]), one["verdict"], one["reason"]) for one in value["claims"])
        return cls(value["run"], tuple(claims), tuple(Finding(**finding) for finding in value["findings"]))
