"""A paper as what it states: rows with a number, the study that tests each, and what cannot be known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from unweave.base.errors import UnweaveError, nearest
from unweave.base.files import read_json
from unweave.lab.threads.events import content_hash
from unweave.record.aggregate import Aggregate
from unweave.record.table import check_name, number_text

SCHEMA = 1
KNOWN = ("published", "derived", "qualitative", "not recovered")
"""How a row's number is known: stated in the paper; following from what it states; our reading of words; not at all."""
TOLERANCES = ("absolute", "relative", ">=", "<=")
AUDITED = ("figure", "claim", "table", "report")


@dataclass(frozen=True)
class Tolerance:
    """How near our number must come: within ``by`` of theirs (``relative``: times theirs), or on one side of it."""

    kind: str
    by: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in TOLERANCES or not _number(self.by) or self.by < 0:
            raise UnweaveError(f"tolerance {self.kind!r} by {self.by!r}: give one of {', '.join(TOLERANCES)}")

    @property
    def one_sided(self) -> bool:
        """Whether it is a bound on one side."""
        return self.kind in (">=", "<=")

    def allows(self, ours: float, theirs: float) -> bool:
        """Whether ``ours`` reproduces ``theirs``."""
        if self.one_sided:
            return ours >= theirs if self.kind == ">=" else ours <= theirs
        allowed = self.by * abs(theirs) if self.kind == "relative" else self.by
        # A difference of decimals misses by its rounding.
        return abs(ours - theirs) <= allowed + 1e-12

    def words(self, theirs: float) -> str:
        """The bound as a reader sees it: ``1.00 ± 0.05`` or ``≥ 0.5``."""
        if self.one_sided:
            return f"{'≥' if self.kind == '>=' else '≤'} {number_text(theirs, None)}"
        by = f"{self.by:.0%}" if self.kind == "relative" else number_text(self.by, None)
        return f"{number_text(theirs, None)} ± {by}"


@dataclass(frozen=True)
class Cell:
    """Where our number stands: an aggregate over the rows of a run's table, or what the auditor finds of one kind.

    ``by`` is the column that tells the rows of an aggregate apart, seeds usually.
    """

    table: str = ""
    column: str = ""
    where: Mapping[str, Any] = field(default_factory=dict)
    minus: Mapping[str, Any] | None = None
    how: str = "median"
    by: str = "seed"
    unseeded: bool = False
    digits: int = 3
    audit: str = ""

    def __post_init__(self) -> None:
        if self.audit:
            if self.audit not in AUDITED or self.table:
                raise UnweaveError(f"a number of the audit is of {', '.join(AUDITED)}, not of {self.audit!r}")
            return
        check_name(self.table, "table")
        if not self.column or not isinstance(self.digits, int):
            raise UnweaveError(f"the cell in table {self.table!r} names no column, or digits that are none")
        if any(self.by in selector for selector in (self.where, self.minus or {})):
            raise UnweaveError(f"a number is of every {self.by} that was run: leave it out of what selects the rows")
        self.aggregate("")

    def aggregate(self, item: str) -> Aggregate:
        """The aggregate over the evidence that cites the cell's rows for ``item``."""
        less = None if self.minus is None else {"item": item, "arm": "less"}
        return Aggregate("evidence", "value", {"item": item, "arm": "ours"}, self.how, "seed", less, self.unseeded)


@dataclass(frozen=True)
class Row:
    """One statement of the paper. Without ``study`` nothing here tests it; ``unknowable`` says why no verdict can be.

    ``reading`` says what we take words without a number to mean; ``settings`` are those of the study in which it is
    tested, beside the paper's own.
    """

    id: str
    statement: str
    where: str
    known: str
    number: float | None = None
    unit: str = ""
    tolerance: Tolerance | None = None
    reading: str = ""
    study: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    cell: Cell | None = None
    unknowable: str = ""
    notes: str = ""

    def __post_init__(self) -> None:
        check_name(self.id, "row")
        for name in ("statement", "where"):
            _text(getattr(self, name), f"{name} of row {self.id!r}", empty=False)
        for name in ("unit", "reading", "study", "unknowable", "notes"):
            _text(getattr(self, name), f"{name} of row {self.id!r}")
        if self.known not in KNOWN:
            raise UnweaveError(f"row {self.id!r} is known as {self.known!r}; {nearest(str(self.known), KNOWN, 4)}")
        if self.number is not None and not _number(self.number):
            raise UnweaveError(f"row {self.id!r} has the number {self.number!r}: give a finite number, or null")
        if bool(self.study) != (self.cell is not None):
            raise UnweaveError(f"row {self.id!r} names a study without a cell of its result, or a cell without a study")
        if (self.number is None) != (self.tolerance is None):
            raise UnweaveError(f"row {self.id!r} has a number without a tolerance, or a tolerance without a number")
        if not self.unknowable and (self.number is None or not self.study):
            raise UnweaveError(f"row {self.id!r} lacks a number or a study: say in 'unknowable' why it has no verdict")
        if self.known == "qualitative" and not self.reading:
            raise UnweaveError(f"row {self.id!r} is told in words: say in 'reading' what number we take them to mean")

    @property
    def testable(self) -> bool:
        """Whether a verdict can come of it."""
        return not self.unknowable

    @property
    def directional(self) -> bool:
        """Whether it says which of two arms has more: then the seeds must tell them apart, or equal arms would do."""
        return (
            self.cell is not None
            and self.cell.minus is not None
            and self.tolerance is not None
            and self.tolerance.one_sided
        )

    @property
    def allowed(self) -> str:
        """What our number must be, as a reader sees it; nothing where there is no number."""
        if self.tolerance is None or self.number is None:
            return ""
        words = f"{self.tolerance.words(self.number)} {self.unit}".strip()
        return f"{words}, by a paired test over the seeds" if self.directional else words


@dataclass(frozen=True)
class Deviation:
    """Where our experiment differs from theirs."""

    what: str
    theirs: str
    ours: str


@dataclass(frozen=True)
class Correction:
    """What the authors corrected after they had published, and what it means for the rows."""

    what: str
    where: str
    effect: str


@dataclass(frozen=True)
class Paper:
    """A paper's claims. ``content`` is the file as it was read, whose ``sha256`` names this version of it."""

    id: str
    title: str
    authors: str
    published: str
    sources: tuple[str, ...]
    question: str
    known: str
    """How much of the paper could be read."""
    rows: tuple[Row, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    deviations: tuple[Deviation, ...] = ()
    corrections: tuple[Correction, ...] = ()
    source: str = ""
    """A Python file beside the paper's that registers its studies."""
    content: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def sha256(self) -> str:
        """The hash of the paper's content."""
        return content_hash(self.content)

    def row(self, id: str) -> Row:
        """The row of that id."""
        found = {row.id: row for row in self.rows}
        if id not in found:
            raise UnweaveError(f"paper {self.id!r} has no row {id!r}; {nearest(id, found)}")
        return found[id]


def read_paper(paper: str | Path) -> Paper:
    """The paper of that id among those that come with unweave, or the one in a ``.json`` file."""
    from unweave.studies.papers import papers

    path = Path(paper)
    if path.suffix == ".json":
        return paper_of(read_json(path), str(path))
    known = papers()
    if str(paper) not in known:
        raise UnweaveError(
            f"there is no paper {str(paper)!r}: give a .json file, or one of these; {_near(paper, known)}"
        )
    return paper_of(read_json(known[str(paper)]), str(paper))


def paper_of(content: Any, where: str = "the paper") -> Paper:
    """A paper from its JSON. Raises ``UnweaveError`` that names the row and what is wrong with it."""
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise UnweaveError(f"{where} is not a paper of schema {SCHEMA}: see docs/lab-threads.md for the form")
    given = {name: value for name, value in content.items() if name != "schema"}
    for name, kind in (("deviations", Deviation), ("corrections", Correction), ("rows", Row)):
        entries = given.get(name, [])
        if not isinstance(entries, list):
            raise UnweaveError(f"{where} has {name} that are no list")
        given[name] = tuple(_row(entry) if kind is Row else _made(kind, entry, name) for entry in entries)
    made = _made(Paper, {**given, "content": content}, where)
    check_name(made.id, "paper")
    for name in ("title", "authors", "published", "question", "known"):
        _text(getattr(made, name), f"{name} of paper {made.id!r}", empty=False)
    object.__setattr__(made, "sources", tuple(made.sources))
    doubled = [row.id for row in made.rows if sum(other.id == row.id for other in made.rows) > 1]
    if doubled or not made.rows:
        raise UnweaveError(f"paper {made.id!r} has {'row ' + repr(doubled[0]) + ' twice' if doubled else 'no rows'}")
    return made


def _row(entry: Any) -> Row:
    if not isinstance(entry, dict):
        raise UnweaveError(f"a row of the paper is {entry!r}: give an object")
    made = dict(entry)
    for name, kind in (("tolerance", Tolerance), ("cell", Cell)):
        if made.get(name) is not None:
            made[name] = _made(kind, made[name], f"{name} of row {entry.get('id')!r}")
    return _made(Row, made, f"row {entry.get('id')!r}")


def _made(kind: Any, entry: Any, where: str) -> Any:
    if not isinstance(entry, dict):
        raise UnweaveError(f"{where} is {entry!r}: give an object")
    known = [one.name for one in fields(kind)]
    strange = next((name for name in entry if name not in known), None)
    if strange is not None:
        raise UnweaveError(f"{where} has {strange!r}, which nothing reads; {nearest(str(strange), known)}")
    try:
        return kind(**entry)
    except TypeError as error:
        raise UnweaveError(f"{where} is not complete: {str(error).partition('() ')[2] or error}") from error


def _text(value: Any, what: str, empty: bool = True) -> None:
    if not isinstance(value, str) or not (empty or value.strip()):
        raise UnweaveError(f"the {what} is {value!r}: give text")


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < float("inf")


def _near(paper: object, known: Mapping[str, Path]) -> str:
    return nearest(str(paper), known)
