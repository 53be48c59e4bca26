"""Claims: sentences with a number, bound by hash to the table cell that the number was read from."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from unweave.base.errors import UnweaveError, nearest
from unweave.base.files import read_json
from unweave.record.table import Table, Value, number_text, plain

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from unweave.record.run import Run


@dataclass(frozen=True)
class Claim:
    """``sentence`` states the value of one cell: ``column`` of the one ``row`` of ``table`` with that ``sha256``."""

    sentence: str
    table: str
    sha256: str
    row: Mapping[str, Value]
    column: str
    value: Value
    digits: int

    def to_json(self) -> dict[str, Any]:
        """The claim as plain JSON."""
        return asdict(self)

    def same_place(self, other: Claim) -> bool:
        """True when both read the same cell in words that differ at most in the number."""
        here, there = (_wording(claim) for claim in (self, other))
        return (self.table, self.column, dict(self.row), here) == (other.table, other.column, dict(other.row), there)


@dataclass(frozen=True)
class CheckedClaim:
    """A claim with the verdict ``held``, ``failed`` or ``not checkable``, and why."""

    claim: Claim
    verdict: str
    reason: str


def make_claim(
    table: Table, sentence: str, row: Mapping[str, Any], column: str, value: Value = None, digits: int = 3
) -> Claim:
    """A claim on one cell of ``table``; see ``Run.claim``."""
    cell = claimed_cell(table, row, column)
    if cell is None:
        raise UnweaveError(f"the cell of {table.name!r} for {dict(row)} in {column!r} is missing: nothing to claim")
    wanted = plain(value)
    if wanted is not None and stated(wanted, digits) != stated(cell, digits):
        raise UnweaveError(f"claimed {wanted!r}, but {table.name!r} holds {cell!r} for {dict(row)} in {column!r}")
    sentence = re.sub(r"\{value(:\+)?\}", lambda match: stated(cell, digits, signed=bool(match[1])), sentence)
    selector = {name: plain(choice) for name, choice in row.items()}
    claim = Claim(sentence, table.name, table.sha256, selector, column, cell, digits)
    if not states_value(claim):
        raise UnweaveError(f"the sentence {sentence!r} does not state its value {stated(cell, digits)}: use {{value}}")
    return claim


def read_claims(path: Path) -> list[Claim]:
    """The claims in a file, or ``UnweaveError`` that names the file when it holds anything else."""
    try:
        claims = [Claim(**entry) for entry in read_json(path)]
    except TypeError as error:
        raise UnweaveError(f"{path} holds an entry that is not a claim ({error})") from error
    if not all(isinstance(claim.row, dict) and isinstance(claim.digits, int) for claim in claims):
        raise UnweaveError(f"{path} holds an entry that is not a claim: make the claims again")
    return claims


def claimed_cell(table: Table, row: Mapping[str, Any], column: str) -> Value:
    """The value in ``column`` of the one row that ``row`` selects, or ``UnweaveError`` for none or several."""
    index = table.index(column)
    matches = table.find(row)
    if len(matches) != 1:
        first = next(iter(row), None)
        known = nearest(str(row[first]), dict.fromkeys(map(str, table.column(first)))) if first else "give a row"
        raise UnweaveError(f"{len(matches)} rows of {table.name!r} match {dict(row)}, and a claim needs one; {known}")
    return table.rows[matches[0]][index]


def stated(value: Value, digits: int, signed: bool = False) -> str:
    """``value`` as a claim's sentence states it."""
    if isinstance(value, float):
        return number_text(value, digits, signed)
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:+d}" if signed else str(value)
    return str(value)


def states_value(claim: Claim) -> bool:
    """True when the sentence contains the value at its digits as a word of its own, with or without its sign's plus."""
    return _stated_as(claim) is not None


def check_claims(run: Run) -> list[CheckedClaim]:
    """Recomputes every claim of a run from the saved bytes of its table."""
    return [_check(run, claim) for claim in run.claims()]


def _check(run: Run, claim: Claim) -> CheckedClaim:
    try:
        table = run.load_table(claim.table)
    except UnweaveError as error:
        return CheckedClaim(claim, "not checkable", str(error))
    try:
        cell = claimed_cell(table, claim.row, claim.column)
    except UnweaveError as error:
        return CheckedClaim(claim, "failed", str(error))
    if table.sha256 != claim.sha256:
        return CheckedClaim(claim, "failed", f"table {table.name!r} was saved again after the claim was made")
    if cell != claim.value or type(cell) is not type(claim.value):
        return CheckedClaim(claim, "failed", f"the table holds {cell!r}, the claim {claim.value!r}")
    if not states_value(claim):
        return CheckedClaim(claim, "failed", f"the sentence does not state {stated(cell, claim.digits)}")
    return CheckedClaim(claim, "held", f"{claim.column} = {stated(cell, claim.digits)} in table {table.name!r}")


def _stated_as(claim: Claim) -> re.Match[str] | None:
    plus = stated(claim.value, claim.digits, signed=True)
    for text in dict.fromkeys((plus, stated(claim.value, claim.digits))):
        sign = "" if text[:1] in "+-" else r"(?<![-−])"
        pattern = rf"(?<![\w.]){sign}{re.escape(text).replace(re.escape('-'), '[-−]')}(?![\w]|\.\d)"
        match = re.search(pattern, claim.sentence)
        if match:
            return match
    return None


def _wording(claim: Claim) -> str:
    match = _stated_as(claim)
    return claim.sentence[: match.start()] + "\0" + claim.sentence[match.end() :] if match else claim.sentence
