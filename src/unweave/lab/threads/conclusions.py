"""Whether what a conclusion rests on holds: each reference is recomputed when it is made, and when it is shown."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from unweave.base.errors import UnweaveError
from unweave.lab.audit.text import check_text, cited_claims, cited_tables, render_text
from unweave.lab.threads.events import Conclusion, Reference, content_hash
from unweave.record.claims import CheckedClaim, check_claim
from unweave.record.run import Run

if TYPE_CHECKING:
    from unweave.lab.lab import Lab


@dataclass(frozen=True)
class Ground:
    """A reference of a conclusion as it stands now: the claim's sentence, its verdict, and why."""

    reference: Reference
    sentence: str
    verdict: str
    reason: str

    @property
    def holds(self) -> bool:
        """Whether the claim is the one that was referred to, and holds."""
        return self.verdict == "held"


def checked_conclusion(lab: Lab, conclusion: Conclusion) -> Conclusion:
    """The conclusion with the hash of each claim that it rests on.

    Refuses a claim that is not there, that does not hold, or that is of a run which has not finished or is not valid;
    and a text that states a number which is neither one of those claims nor a setting or seed of theirs.
    """
    checked, claims, settings = [], {}, []
    for reference in conclusion.claims:
        row = lab.runs.get(reference.run)
        if row.status != "finished" or not row.valid:
            why = f"is not valid ({row.reason})" if row.status == "finished" else f"is {row.status}"
            raise UnweaveError(f"run {reference.run!r} {why}: conclude only from runs that finished and are valid")
        found = _claim(lab.root, reference)
        if found.verdict != "held":
            raise UnweaveError(
                f"claim {reference.claim} of run {reference.run!r} is {found.verdict} ({found.reason}): "
                "conclude only from claims that hold"
            )
        claims[f"{reference.run}#{reference.claim}"] = found.claim
        settings += [lab.runs.open(reference.run).config, dict(found.claim.row)]
        checked.append(replace(reference, sha256=content_hash(found.claim.to_json())))
    stray = check_text(conclusion.text, claims, settings, "the conclusion")
    if stray:
        raise UnweaveError(f"{stray[0]}: refer to the claim that holds the number, or leave it out")
    return replace(conclusion, claims=tuple(checked))


def grounds(root: Path, conclusion: Conclusion) -> list[Ground]:
    """What the conclusion rests on, recomputed now."""
    found = []
    for reference in conclusion.claims:
        try:
            checked = _claim(root, reference)
        except UnweaveError as error:
            found.append(Ground(reference, "", "not checkable", str(error)))
            continue
        verdict, reason = checked.verdict, checked.reason
        if content_hash(checked.claim.to_json()) != reference.sha256:
            verdict, reason = "failed", "the claim is not the one that was concluded from"
        found.append(Ground(reference, checked.claim.sentence, verdict, reason))
    return found


def conclusion_text(root: Path, conclusion: Conclusion) -> str:
    """The conclusion's text with its references to claims filled in, as far as those claims are there."""
    try:
        return render_text(conclusion.text, cited_claims(conclusion.text, root), cited_tables(conclusion.text, root))
    except UnweaveError:
        return conclusion.text


def _claim(root: Path, reference: Reference) -> CheckedClaim:
    run = Run.open(root / reference.run)
    claims = run.claims()
    if reference.claim >= len(claims):
        raise UnweaveError(
            f"run {reference.run!r} has {len(claims)} claims, and number {reference.claim} was referred to, from 0"
        )
    return check_claim(run, claims[reference.claim])
