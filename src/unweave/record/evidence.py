"""Evidence: a table of numbers that were read from other runs, each with where it stands and the hash of its bytes."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unweave.base.errors import UnweaveError, first_line
from unweave.record.cited_seeds import cited_amiss
from unweave.record.claims import claimed_cell
from unweave.record.metric import PREFIX, metric_digest, metric_lengths, metric_rows, read_metric
from unweave.record.pair import read_file
from unweave.record.run import Run
from unweave.record.seal import check_seal
from unweave.record.table import Table, Value, check_name, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

CITED = ("run", "table", "sha256", "row", "column", "value")


@dataclass(frozen=True)
class Evidence:
    """Cited cells as records: ``run``, ``table``, ``sha256``, ``row`` (canonical JSON), ``column``, ``value``.

    ``row`` is a selector, or the number of a row. A record without a table is of the last value of a logged metric.
    What else a record holds (``arm``, ``seed``) says what the number is for, and is what a claim selects it by.
    """

    records: tuple[dict[str, Value], ...] = ()

    @classmethod
    def from_runs(
        cls,
        runs: Iterable[Run | tuple[Run, Mapping[str, Any]]],
        table: str,
        column: str,
        row: Mapping[str, Any] | Callable[[Run], Mapping[str, Any]] | None = None,
        seed: str | None = "seed",
        **about: Any,
    ) -> Evidence:
        """Reads ``column`` of ``table`` in each run, once for every matching row.

        ``row`` selects rows, or makes the selector for a run. Where the table has the column ``seed``, each seed's row
        is cited by itself and the record says which it is. A run may come with what else its records hold. ``table``
        may be ``metrics:last`` or the like; then ``column`` is a metric.
        Raises ``UnweaveError`` where a run has no such row, and where several rows have nothing that tells them apart.
        """
        cited: list[dict[str, Value]] = []
        for entry in runs:
            run, own = entry if isinstance(entry, tuple) else (entry, {})
            chosen = dict(row(run) if callable(row) else row or {})
            for one in _rows_of(run, table, chosen, seed):
                found = {"seed": one[seed]} if seed in one and seed is not None else {}
                cited.append(cite(run, table, column, one, **{**found, **about, **own}))
        return cls(tuple(cited))

    def __add__(self, other: Evidence) -> Evidence:
        return Evidence((*self.records, *other.records))

    def table(self, name: str = "evidence", caption: str = "", units: Mapping[str, str] | None = None) -> Table:
        """The evidence as a table, to be saved in the run that claims from it."""
        if not self.records:
            raise UnweaveError(f"evidence {name!r} cites nothing: give it at least one run")
        more = dict.fromkeys(key for record in self.records for key in record if key not in CITED)
        return Table.from_records(name, self.records, (*more, *CITED), units, caption)


@dataclass(frozen=True)
class CheckedSource:
    """One row of evidence with the verdict ``held``, ``failed`` or ``not checkable``, and why."""

    table: str
    row: int
    run: str
    verdict: str
    reason: str


def cite(run: Run, table: str, column: str, row: Mapping[str, Any], /, **about: Any) -> dict[str, Value]:
    """A record of evidence: the cell of ``run`` that ``row`` and ``column`` select, with ``about`` it."""
    reserved = sorted(set(about) & set(CITED))
    if reserved:
        raise UnweaveError(f"evidence cannot hold {reserved[0]!r} about a number, which is where it stands: rename it")
    selector = {name: plain(choice) for name, choice in row.items()}
    value, sha256 = _cell(run, table, column, selector)
    if value is None:
        raise UnweaveError(f"run {run.id!r} has no value of {column!r} in {table!r} for {selector}: nothing to cite")
    where = json.dumps(selector, sort_keys=True, ensure_ascii=False)
    place = {"run": run.id, "table": table, "sha256": sha256, "row": where, "column": column, "value": value}
    return {**{key: plain(one) for key, one in about.items()}, **place}


def is_evidence(table: Table) -> bool:
    """Whether a table's rows cite other runs."""
    return set(CITED) <= set(table.columns)


def cited_runs(run: Run) -> list[str]:
    """The ids of the runs that a run's evidence cites."""
    return sorted({str(record["run"]) for table in evidence_tables(run) for record in table.records()})


def evidence_tables(run: Run) -> list[Table]:
    """The tables of a run that cite others; one that cannot be read is left out, for the audit of tables to tell."""
    found = []
    for name in run.tables():
        # The heading tells, and most tables are read no further.
        with suppress(UnweaveError, OSError):
            heading = read_file(run.path / "tables", name, "csv").partition(b"\n")[0]
            if all(f'"{column}"'.encode() in heading for column in CITED):
                table = run.load_table(name)
                found += [table] if is_evidence(table) else []
    return found


def check_evidence(
    run: Run,
    root: Path,
    seals: Mapping[str, str] | None = None,
    invalid: Mapping[str, str] | None = None,
) -> list[CheckedSource]:
    """Opens each run in ``root`` that the evidence of ``run`` cites, and compares its bytes with what was cited.

    ``seals`` are the digests that somebody kept of them, ``invalid`` the runs found invalid, with the reasons. What is
    cited of some of a run's seeds, where it has more, has failed; so has a row that is chosen by its result. Numbers
    are told apart by the column ``arm`` and by those that the claims of ``run`` select by.
    """
    sources: dict[str, Run | tuple[str, str]] = {}
    found = []
    for table in evidence_tables(run):
        checked = []
        for number, record in enumerate(table.records()):
            name = str(record["run"])
            if name not in sources:
                sources[name] = _source(name, Path(root), seals or {}, invalid or {})
            source = sources[name]
            verdict, reason = source if isinstance(source, tuple) else _compare(source, record)
            checked.append(CheckedSource(table.name, number, name, verdict, reason))
        found += _chosen(table, checked, sources, _telling(run, table))
    return found


def _telling(run: Run, table: Table) -> list[str]:
    """The columns that tell numbers of evidence apart: other words beside a number, such as its seed's, do not."""
    about = [name for name in table.columns if name not in CITED]
    try:
        claims = run.claims()
    except UnweaveError:
        return about
    told = {"arm"}
    for claim in claims:
        told |= set(claim.row) if claim.table == table.name else set()
        if claim.over is not None and claim.over.table == table.name:
            told |= {*claim.over.where, *(claim.over.minus or {})}
    return [name for name in about if name in told]


def _chosen(
    table: Table, checked: list[CheckedSource], sources: Mapping[str, Run | tuple[str, str]], about: list[str]
) -> Iterator[CheckedSource]:
    """``checked``, with those failed that hold but were chosen among others, or of which that cannot be told."""
    records, amiss = table.records(), {}
    for name, source in sources.items():
        held = [one.row for one in checked if one.run == name and one.verdict == "held"]
        if not isinstance(source, tuple):
            try:
                told = cited_amiss(source, [records[row] for row in held], about)
                amiss |= {held[place]: ("failed", reason) for place, reason in told.items()}
            except (UnweaveError, LookupError, ValueError, TypeError, ArithmeticError) as error:
                reason = f"which seeds run {name!r} has of it cannot be told: {first_line(error)}"
                amiss |= dict.fromkeys(held, ("not checkable", reason))
    for one in checked:
        verdict, reason = amiss.get(one.row, (one.verdict, one.reason))
        yield replace(one, verdict=verdict, reason=reason)


def _rows_of(run: Run, table: str, row: Mapping[str, Any], seed: str | None) -> Iterator[dict[str, Any]]:
    if table.startswith(PREFIX):
        yield dict(row)
        return
    loaded = run.load_table(table)
    numbers = loaded.find(row)
    if not numbers:
        raise UnweaveError(f"no row of {table!r} in run {run.id!r} matches {dict(row)}: nothing to cite")
    if seed is None or seed not in loaded.columns:
        yield dict(row)
        return
    index = loaded.index(seed)
    yield from ({**row, seed: loaded.rows[number][index]} for number in numbers)


def _cell(run: Run, table: str, column: str, row: Mapping[str, Any] | int) -> tuple[Value, str]:
    if table.startswith(PREFIX):
        lengths = metric_lengths(run.path)
        chosen = row if isinstance(row, dict) else {}
        value = read_metric(metric_rows(run.path, lengths), column, table.removeprefix(PREFIX), chosen)
        return value, metric_digest(run.path, lengths)
    loaded = run.load_table(table)
    if isinstance(row, int):
        return loaded.rows[row][loaded.index(column)], loaded.sha256
    return claimed_cell(loaded, row, column), loaded.sha256


def _source(name: str, root: Path, seals: Mapping[str, str], invalid: Mapping[str, str]) -> Run | tuple[str, str]:
    """The run, or a verdict and its reason where nothing can be read from it."""
    try:
        check_name(name, "run")
        if (root / name).is_symlink() or not (root / name / "run.json").is_file():
            return "not checkable", f"there is no run {name!r} here"
        source = Run.open(root / name)
    except UnweaveError as error:
        return "not checkable", str(error)
    if name in invalid:
        return "failed", f"run {name!r} is invalid: {invalid[name]}"
    if source.status != "finished":
        return "not checkable", f"run {name!r} is {source.status}, so its numbers may still change"
    differs = check_seal(source.path, seals.get(name))
    return ("failed", f"the seal of run {name!r} is broken: {differs[0]}") if differs else source


def _compare(source: Run, record: Mapping[str, Value]) -> tuple[str, str]:
    try:
        table = str(record["table"] or f"{PREFIX}last")
        row = json.loads(str(record["row"] if record["row"] is not None else "{}"))
        value, sha256 = _cell(source, table, str(record["column"]), row)
    except (ValueError, AttributeError, IndexError, TypeError):
        return "failed", f"{record['row']!r} selects no row of {record['table']!r}"
    except UnweaveError as error:
        return "failed", str(error)
    # A metric without a hash is bound by the seal of the run that logged it.
    if sha256 != record["sha256"] and (record["table"] is not None or record["sha256"] is not None):
        return "failed", f"{record['table']!r} of run {source.id!r} has other bytes than were cited"
    if value != record["value"] or isinstance(value, bool) is not isinstance(record["value"], bool):
        return "failed", f"run {source.id!r} holds {value!r} there, the evidence says {record['value']!r}"
    return "held", f"{record['column']} = {value!r} in {table!r} of run {source.id!r}"
