"""Claims: sentences with a number, bound by hash to what the number was read or reckoned from."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from unweave.base.errors import UnweaveError, nearest
from unweave.base.files import read_json
from unweave.record.aggregate import Aggregate, listed
from unweave.record.choosing import chosen_by_result, extreme_unsaid, metric_by_result, misleads
from unweave.record.metric import PREFIX, metric_digest, metric_lengths, metric_rows, read_metric, rows_read
from unweave.record.notebook import Listed
from unweave.record.seeds import all_seeds, of_no_seed, row_seeds, seeds_left_out, some_seeds_of_many
from unweave.record.table import Table, Value, number_text, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from unweave.record.run import Run


@dataclass(frozen=True)
class Claim:
    """``sentence`` states the value of one cell: ``column`` of the one ``row`` of ``table`` with that ``sha256``.

    With ``over`` the cell must also come out of the raw rows that it sums up; a claim on the aggregate itself has
    ``over``'s table, column and ``where`` as its own. A claim on a metric has ``metrics:last`` (or another way of
    reading it) as its table, the metric as its column and the selected steps as its row.
    """

    sentence: str
    table: str
    sha256: str
    row: Mapping[str, Any]
    column: str
    value: Value
    digits: int
    over: Aggregate | None = None
    lengths: Mapping[str, int] = field(default_factory=dict)
    """For a metric: how many bytes of each metrics file the hash is of."""

    @property
    def metric(self) -> str | None:
        """How the metric is read (``last``), or None for a claim on a table."""
        return self.table.removeprefix(PREFIX) if self.table.startswith(PREFIX) else None

    @property
    def aggregated(self) -> bool:
        """True when the value is the aggregate itself and no cell of another table."""
        return self.over is not None and self.over.table == self.table

    def to_json(self) -> dict[str, Any]:
        """The claim as plain JSON."""
        entry = asdict(self)
        for name in ("over", "lengths"):
            if not entry[name]:
                del entry[name]
        return entry

    def same_place(self, other: Claim) -> bool:
        """True when both read the same cell in words that differ at most in the number."""
        here, there = (
            (one.table, one.column, dict(one.row), one.over and replace(one.over, sha256=""), _wording(one))
            for one in (self, other)
        )
        return here == there


@dataclass(frozen=True)
class CheckedClaim:
    """A claim with the verdict ``held``, ``failed`` or ``not checkable``, and why."""

    claim: Claim
    verdict: str
    reason: str


def make_claim(
    table: Table,
    sentence: str,
    row: Mapping[str, Any],
    column: str,
    value: Value = None,
    digits: int = 3,
    over: Aggregate | None = None,
    raw: Table | None = None,
    *,
    config: Mapping[str, Any],
) -> Claim:
    """A claim on one cell of ``table``, that of ``raw``'s rows where ``over`` says so; see ``Run.claim``."""
    cell = claimed_cell(table, row, column)
    if cell is None:
        raise UnweaveError(f"the cell of {table.name!r} for {dict(row)} in {column!r} is missing: nothing to claim")
    if over is not None and raw is not None:
        if raw.name == table.name:
            raise UnweaveError(f"table {raw.name!r} cannot prove its own cell: claim the aggregate without a row")
        if not over.agrees(raw, cell):
            raise UnweaveError(
                f"{table.name!r} holds {cell!r} for {dict(row)} in {column!r}, but {over.how} of {over.column!r} in "
                f"{raw.name!r} is {over.recompute(raw)!r}"
            )
        _refused(sentence, _aggregate_amiss(raw, over, sentence, config))
        over = replace(over, sha256=raw.sha256)
    else:
        _refused(sentence, chosen_by_result(table, row, column, config))
    selector = {name: plain(choice) for name, choice in row.items()}
    return _stating(Claim(sentence, table.name, table.sha256, selector, column, cell, digits, over), value)


def make_aggregate_claim(
    raw: Table,
    sentence: str,
    over: Aggregate,
    value: Value = None,
    digits: int = 3,
    *,
    config: Mapping[str, Any],
) -> Claim:
    """A claim on an aggregate of the rows of ``raw`` that no table holds; see ``Run.claim``."""
    _refused(sentence, _aggregate_amiss(raw, over, sentence, config))
    again, bound = over.recompute(raw), replace(over, sha256=raw.sha256)
    claim = Claim(sentence, raw.name, raw.sha256, bound.where, over.column, again, digits, bound)
    return _stating(claim, value)


def make_metric_claim(
    folder: Path,
    sentence: str,
    metric: str,
    how: str = "last",
    row: Mapping[str, Any] | None = None,
    digits: int = 3,
    *,
    config: Mapping[str, Any],
) -> Claim:
    """A claim on a metric in the files of a run's folder; see ``Run.claim_metric``."""
    lengths = metric_lengths(folder)
    selector = {name: plain(choice) for name, choice in (row or {}).items()}
    logged = metric_rows(folder, lengths)
    value, values = read_metric(logged, metric, how, selector), len(rows_read(logged, metric, how, selector))
    _refused(sentence, metric_by_result(selector, metric, config) or extreme_unsaid(how, sentence, values))
    table, digest = f"{PREFIX}{how}", metric_digest(folder, lengths)
    return _stating(Claim(sentence, table, digest, selector, metric, value, digits, lengths=lengths), None)


def read_claims(path: Path) -> list[Claim]:
    """The claims in a file, or ``UnweaveError`` that names the file when it holds anything else."""
    try:
        claims = [claim_of(entry) for entry in read_json(path)]
    except (TypeError, UnweaveError) as error:
        raise UnweaveError(f"{path} holds an entry that is not a claim ({error})") from error
    if not all(_well_formed(claim) for claim in claims):
        raise UnweaveError(f"{path} holds an entry that is not a claim: make the claims again")
    return claims


def claim_of(entry: Mapping[str, Any]) -> Claim:
    """The claim back from ``to_json``."""
    over = entry.get("over") if isinstance(entry, dict) else None
    return Claim(**entry) if over is None else Claim(**{**entry, "over": Aggregate(**over)})


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
    """Recomputes every claim of a run from the saved bytes of its tables and metrics."""
    seeds = cache(lambda: all_seeds(run))
    return Listed(check_claim(run, claim, seeds) for claim in run.claims())


def check_claim(run: Run, claim: Claim, seeds: Callable[[], list[str]] | None = None) -> CheckedClaim:
    """Recomputes one claim from the saved bytes of ``run``.

    ``seeds`` gives ``all_seeds(run)``, for who checks many claims of one run and will have them read once.
    """
    known = seeds or (lambda: all_seeds(run))
    try:
        if claim.metric:
            verdict, reason = _check_metric(run, claim, known)
        else:
            verdict, reason = _check_cell(run, claim, known)
    except UnweaveError as error:
        return CheckedClaim(claim, "not checkable", str(error))
    shown = stated(claim.value, claim.digits)
    if verdict == "held" and not states_value(claim):
        return CheckedClaim(claim, "failed", f"the sentence does not state {shown}")
    if verdict == "held" and misleads(claim.value, shown):
        return CheckedClaim(claim, "failed", f"{shown} is no rounding of {claim.value!r} to go by: give more digits")
    return CheckedClaim(claim, verdict, reason)


def _check_cell(run: Run, claim: Claim, known: Callable[[], list[str]]) -> tuple[str, str]:
    table = run.load_table(claim.table)
    shown = stated(claim.value, claim.digits)
    if not claim.aggregated:
        try:
            cell = claimed_cell(table, claim.row, claim.column)
        except UnweaveError as error:
            return "failed", str(error)
        if table.sha256 == claim.sha256 and (cell != claim.value or type(cell) is not type(claim.value)):
            return "failed", f"the table holds {cell!r}, the claim {claim.value!r}"
    if table.sha256 != claim.sha256:
        return "failed", f"table {table.name!r} was saved again after the claim was made"
    if claim.over is not None:
        return _check_over(run, claim, claim.over)
    seeds = row_seeds(table, table.find(claim.row))
    told = chosen_by_result(table, claim.row, claim.column, run.config) or some_seeds_of_many(
        known, seeds, claim.sentence
    )
    if amiss := _amiss(run, told, seeds, claim.value):
        return amiss
    return "held", f"{claim.column} = {shown} in table {table.name!r}"


def _check_over(run: Run, claim: Claim, over: Aggregate) -> tuple[str, str]:
    raw = run.load_table(over.table)
    if raw.sha256 != over.sha256:
        return "failed", f"table {raw.name!r} was saved again after the claim was made"
    try:
        again = over.recompute(raw)
        if not over.agrees(raw, claim.value):
            return "failed", f"{over.how} of {over.column!r} in {raw.name!r} is {again!r}, the claim {claim.value!r}"
        told = _aggregate_amiss(raw, over, claim.sentence, run.config) or (
            seeds_left_out(run, over, raw, claim.sentence)
        )
    except UnweaveError as error:
        return "failed", str(error)
    seeds = [] if told else over.seeds(raw)
    if amiss := _amiss(run, told, seeds, claim.value):
        return amiss
    of = f" over seeds {listed(seeds)}" if seeds else ""
    return "held", f"{over.how} of {over.column!r} in table {raw.name!r}{of} = {stated(claim.value, claim.digits)}"


def _amiss(run: Run, told: str | None, seeds: Iterable[Value], value: Value) -> tuple[str, str] | None:
    """The verdict on a number that was recomputed, where something is ``told`` against it or it is of no seed."""
    if told:
        return "failed", told
    unknown = of_no_seed(run, seeds, value)
    return ("not checkable", unknown) if unknown else None


def _aggregate_amiss(raw: Table, over: Aggregate, sentence: str, config: Mapping[str, Any]) -> str | None:
    return (
        chosen_by_result(raw, over.where, over.column, config)
        or chosen_by_result(raw, over.minus or {}, over.column, config)
        or extreme_unsaid(over.how, sentence, len(raw.find(over.where)))
    )


def _refused(sentence: str, amiss: str | None) -> None:
    """``UnweaveError`` for what would fail when it is checked, while its maker can still mend it."""
    if amiss:
        raise UnweaveError(f"the claim {sentence!r} {amiss}")


def _check_metric(run: Run, claim: Claim, known: Callable[[], list[str]]) -> tuple[str, str]:
    if metric_digest(run.path, claim.lengths) != claim.sha256:
        return "failed", "the metrics were changed after the claim was made"
    try:
        logged = metric_rows(run.path, claim.lengths)
        then = read_metric(logged, claim.column, str(claim.metric), claim.row)
        now = read_metric(metric_rows(run.path), claim.column, str(claim.metric), claim.row)
    except UnweaveError as error:
        return "failed", str(error)
    if then != claim.value:
        return "failed", f"the metrics hold {then!r}, the claim {claim.value!r}"
    if now != then:
        return "failed", f"the run went on after the claim: {claim.metric} {claim.column!r} is {now!r} at its end"
    used = rows_read(logged, claim.column, str(claim.metric), claim.row)
    seeds = [row.get("seed") for row in used]
    told = (
        metric_by_result(claim.row, claim.column, run.config)
        or extreme_unsaid(str(claim.metric), claim.sentence, len(used))
        or some_seeds_of_many(known, seeds, claim.sentence)
    )
    if amiss := _amiss(run, told, seeds, claim.value):
        return amiss
    return "held", f"{claim.metric} of metric {claim.column!r} = {stated(claim.value, claim.digits)}"


def _well_formed(claim: Claim) -> bool:
    texts = (claim.sentence, claim.table, claim.sha256, claim.column)
    return (
        all(isinstance(text, str) for text in texts)
        and isinstance(claim.row, dict)
        and isinstance(claim.digits, int)
        and 0 <= claim.digits <= 30
        and isinstance(claim.lengths, dict)
        and all(isinstance(length, int) and length >= 0 for length in claim.lengths.values())
    )


def _stating(claim: Claim, value: Value) -> Claim:
    """The claim with its number written into the sentence, or ``UnweaveError`` where the two do not agree."""
    wanted, digits, cell = plain(value), claim.digits, claim.value
    while misleads(cell, stated(cell, digits)):
        digits += 1
    if wanted is not None and stated(wanted, digits) != stated(cell, digits):
        raise UnweaveError(
            f"claimed {wanted!r}, but {claim.table!r} holds {cell!r} for {dict(claim.row)} in {claim.column!r}"
        )
    written = re.sub(r"\{value(:\+)?\}", lambda match: stated(cell, digits, signed=bool(match[1])), claim.sentence)
    claim = replace(claim, sentence=written, digits=digits)
    if not states_value(claim):
        raise UnweaveError(f"the sentence {written!r} does not state its value {stated(cell, digits)}: use {{value}}")
    return claim


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
