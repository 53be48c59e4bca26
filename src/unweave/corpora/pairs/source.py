"""Preference pairs from a file or folder, read anew each time they are gone through."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Literal, get_args

from unweave.base.errors import UnweaveError
from unweave.corpora.pairs.folder import choose_files
from unweave.corpora.pairs.layout import Layout, recognise
from unweave.corpora.pairs.rows import BrokenRow, DataFile, count_rows, read_rows, suffix_of
from unweave.corpora.pairs.value import PreferencePair

Broken = Literal["raise", "skip"]
LOOKED_AT = 100
"""So many rows are tried for one that shows the layout."""
EXAMPLES = 5


@dataclass(frozen=True)
class SourceDescription:
    """What was recognised of a dataset."""

    path: str
    split: str
    format: str
    """The files' endings: ``.parquet``."""
    layout: str
    """The form of prompt and replies, in TRL's words where it has one."""
    columns: Mapping[str, str]
    """Which column is read as what."""
    files: tuple[str, ...]
    rows: int | None
    """How many rows there are, where the files say so without being read."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def lines(self) -> list[str]:
        rows = f"{self.rows} rows" if self.rows is not None else "rows not counted"
        files = self.files[0] if len(self.files) == 1 else f"{len(self.files)} files, {self.files[0]} first"
        columns = ", ".join(role if role == name else f"{role} from {name}" for role, name in self.columns.items())
        return [
            f"{self.path}, split {self.split}: {rows} in {files} ({self.format})",
            f"layout: {self.layout}; columns: {columns}",
        ]


@dataclass
class BrokenRows:
    """Rows that one reading left out: how many, and what is wrong with the first few."""

    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, line: str) -> None:
        self.count += 1
        if self.count <= EXAMPLES:
            self.examples.append(line)


class PairSource:
    """Pairs of one split, in the files' order; each ``iter`` reads them from the start and holds a few rows.

    ``broken`` is what the last reading has left out, where broken rows are to be skipped.
    """

    def __init__(
        self, path: Path, split: str, files: tuple[DataFile, ...], layout: Layout, on_broken: Broken = "raise"
    ) -> None:
        self.path = path
        self.split = split
        self.files = files
        self.layout = layout
        self.on_broken = on_broken
        self.broken = BrokenRows()
        counts = [count_rows(file) for file in files]
        self.rows: int | None = None if None in counts else sum(count or 0 for count in counts)
        """How many rows there are, where the files say so without being read; broken ones are among them."""

    def __iter__(self) -> Iterator[PreferencePair]:
        """Raises ``UnweaveError`` with file, row, column and value at a broken row, unless those are skipped."""
        self.broken = broken = BrokenRows()
        for file in self.files:
            for number, row in read_rows(file):
                try:
                    if isinstance(row, BrokenRow):
                        raise row
                    yield self.layout.pair(row, f"{file.name}:{number}")
                except BrokenRow as fault:
                    line = f"{file.name} row {number} {fault}"
                    if self.on_broken == "raise":
                        raise UnweaveError(
                            f'{line}; mend it, or leave such rows out with broken="skip" or --skip-broken'
                        ) from fault
                    broken.add(line)

    def describe(self) -> SourceDescription:
        """The format, layout, columns and files that were recognised."""
        return SourceDescription(
            str(self.path),
            self.split,
            ", ".join(sorted({suffix_of(file.path) for file in self.files})),
            self.layout.name,
            dict(self.layout.columns),
            tuple(file.name for file in self.files),
            self.rows,
        )


def open_pairs(
    path: str | os.PathLike[str],
    split: str | None = None,
    columns: Mapping[str, str] | None = None,
    broken: Broken = "raise",
) -> PairSource:
    """Preference pairs from JSON lines, a JSON array, Parquet, or a folder of them or of ``datasets.save_to_disk``.

    The layout is recognised from the first rows (``PairSource.describe`` says which): TRL's standard and conversational
    forms, with the prompt in a column or implicit; UltraFeedback's, where replies repeat a prompt given as text too;
    HH's transcripts; question or instruction with its input, and a system column. ``columns`` says where else something
    is found: ``{"prompt": "question"}``. Other columns are kept in each pair's ``extra``; of messages only role and
    content are.

    ``broken`` rows are refused, or skipped and counted. Raises ``UnweaveError`` for a path without data, a choice of
    several splits that is not made, and columns that are not there. No network is used and nothing is executed.
    """
    if broken not in get_args(Broken):
        raise UnweaveError(f"broken is {broken!r}: give 'raise' or 'skip'")
    root = Path(path).expanduser()
    split, files = choose_files(root, split)
    return PairSource(root, split, files, _layout(root, files, columns), broken)


def _layout(root: Path, files: tuple[DataFile, ...], columns: Mapping[str, str] | None) -> Layout:
    first: UnweaveError | None = None
    rows = ((file, number, row) for file in files for number, row in read_rows(file))
    for file, number, row in islice(rows, LOOKED_AT):
        try:
            if isinstance(row, BrokenRow):
                raise row
            return recognise(row, columns)
        except BrokenRow as fault:
            first = first or UnweaveError(f"{file.name} row {number} {fault}")
        except UnweaveError as refusal:
            first = first or UnweaveError(f"{file.name} row {number}: {refusal}")
    raise first or UnweaveError(f"{root} has no rows: give a file that has some")
