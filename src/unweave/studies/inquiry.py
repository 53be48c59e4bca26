"""How a study may be asked by somebody who plans: what its words mean, what may vary, what counts as an answer."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from unweave.base.errors import UnweaveError

if TYPE_CHECKING:
    from unweave.record.run import Run


@dataclass(frozen=True)
class Outcome:
    """One number a run answers with, for each seed: ``column`` of the rows of ``table`` that ``where`` selects.

    ``{field}`` in a value of ``where`` stands for the config's field. ``bar`` is what the number must reach to count as
    an effect (``better="higher"``: at least, ``"lower"``: at most).
    """

    name: str
    table: str
    column: str
    where: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    better: Literal["higher", "lower"] = "higher"
    bar: float | None = None
    unit: str = ""
    seed: str | None = "seed"
    """The column that holds the row's seed; None where a run has one row, whose seed is the config's."""

    def read(self, run: Run, seed: int = 0) -> dict[int, float]:
        """The number by seed. Raises ``UnweaveError`` when the run has no such table or no such row."""
        table = run.load_table(self.table)
        index = table.index(self.column)
        found = {}
        for number, row in self.cells(run, seed).items():
            value = table.rows[table.find(row)[0]][index]
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                found[number] = float(value)
        if not found:
            raise UnweaveError(f"run {run.id!r} has no {self.column!r} in {self.table!r} for {self.selector(run)}")
        return found

    def cells(self, run: Run, seed: int = 0) -> dict[int, dict[str, Any]]:
        """What selects the row of each seed in the table. Raises ``UnweaveError`` where a seed has several rows."""
        wanted = self.selector(run)
        table = run.load_table(self.table)
        found: dict[int, dict[str, Any]] = {}
        for index in table.find(wanted):
            value = table.rows[index][table.index(self.seed)] if self.seed else None
            number = int(str(value)) if self.seed else seed
            if number in found:
                raise UnweaveError(f"run {run.id!r} has several rows in {self.table!r} for {wanted} and seed {number}")
            found[number] = {**wanted, self.seed: value} if self.seed else wanted
        return found

    def selector(self, run: Run) -> dict[str, Any]:
        """``where`` with the run's config filled in."""
        config = run.config
        return {name: value.format(**config) if isinstance(value, str) else value for name, value in self.where.items()}

    def reached(self, value: float) -> bool:
        """Whether ``value`` reaches the bar; without a bar nothing does."""
        if self.bar is None:
            return False
        return value >= self.bar if self.better == "higher" else value <= self.bar


@dataclass(frozen=True)
class Several:
    """What a word stands for when that is more than one value: ``"lora"`` in one matrix, and in all of them."""

    values: tuple[Any, ...]


@dataclass(frozen=True)
class Knob:
    """A field that a planner may vary, its candidate values, and the words that name each value in a question."""

    field: str
    values: tuple[Any, ...] = ()
    words: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """``{"spanish": "es"}``: words of the question, in lower case, and the value (or ``Several``) they stand for."""
    refused: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Words of values that no plan can answer with, and why: a question with one is refused."""
    searched: bool = False
    """Tried out over ``values`` where the question names none; else the field's default is taken."""
    required: bool = False
    """A question that names no value is refused: the default would answer another question."""
    after: tuple[str, ...] = ()
    """Words that introduce a value, such as ``from``: an unknown word after one is refused, and a path is taken."""
    ordered: bool = False
    """Neighbours in ``values`` do alike, so a few tell about the others."""
    joint: bool = False
    """The field takes several values at once, and together they do at least what each does alone: half of them can be
    ruled out with one run. A candidate's setting is then a tuple of one."""


@dataclass(frozen=True)
class Inquiry:
    """What a planner needs to know of a study. ``topics`` are words that a question about it is likely to use."""

    topics: tuple[str, ...]
    effect: Outcome
    knobs: tuple[Knob, ...] = ()
    harms: tuple[Outcome, ...] = ()
    """What must stay small; each with its bar."""
    null: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Settings under which there is nothing to be found."""
    control: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Settings that must fail at what the question asks."""
    first_seed: str = "first_seed"
    seeds: str | None = "seeds"
    """Field for the number of seeds in one run, counted from ``first_seed``; None where a run has one."""
    cheap: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Settings that make a run cheaper and noisier, for screening."""
    equal: tuple[Outcome, ...] = ()
    """What two settings spend, which must be equal where they are compared at equal cost."""
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Settings of every run that a planner starts."""
    examples: tuple[str, ...] = ()
    """Questions that can be asked, shown to somebody whose question was not understood."""
