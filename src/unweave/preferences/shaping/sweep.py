"""A sweep over doses: what each did to the behaviour, to the others, to held-out pairs and to unrelated text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from unweave.base.errors import UnweaveError, nearest
from unweave.stats.bootstrap import Interval
from unweave.stats.rank_correlation import RankCorrelation, rank_correlation


@dataclass(frozen=True)
class DoseOutcome:
    """One training's changes, a column a behaviour, each with the ends of its interval; and what else it did."""

    dose: float
    change: Float[np.ndarray, " m"]
    low: Float[np.ndarray, " m"]
    high: Float[np.ndarray, " m"]
    accuracy: Interval
    perplexity: float


@dataclass(frozen=True)
class SweepRow:
    """One training of a sweep. Changes are in the units that they were given in."""

    dose: float
    change: float
    low: float
    high: float
    undone: float
    """1 less the change as a share of the unshaped one: 0 is no help, 1 is all of it, below 0 is worse."""
    others: float
    """Mean size of the other behaviours' changes, noise included: compare it with the unshaped row's."""
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    perplexity: float


@dataclass(frozen=True)
class Sweep:
    """A sweep's rows by dose, the unshaped trainings among them at dose 0, and what they say together."""

    behaviour: str
    rows: tuple[SweepRow, ...]
    trend: RankCorrelation
    """Of the dose with the change in its unshaped direction: -1 where every higher dose leaves less of it."""
    enough: float | None
    """The smallest dose, from 0 on, at which the intervals of all trainings' changes hold 0; None where there is none.
    0: the unshaped change is not told apart from 0 itself."""

    def table(self) -> list[dict[str, Any]]:
        """Plain rows."""
        return [asdict(row) for row in self.rows]


def assemble_sweep(names: Sequence[str], behaviour: str, outcomes: Sequence[DoseOutcome], seed: int = 0) -> Sweep:
    """A sweep of one shaping on one behaviour, from one or more trainings at each dose; those at 0 are unshaped.

    Several trainings of one dose (its seeds) are a row each; what is undone is of the unshaped ones' mean change. Doses
    below 0 amplify, and are in the rows and the trend but never ``enough``; nor is a dose one of whose trainings is not
    back. Raises ``UnweaveError`` where the behaviour is no column, an outcome has other columns, and where there is no
    unshaped training or none but those.
    """
    if behaviour not in names:
        raise UnweaveError(f"behaviour {behaviour!r} is no column of the sweep; {nearest(behaviour, names)}")
    unshaped = [each for each in outcomes if each.dose == 0]
    if not unshaped or len(unshaped) == len(outcomes):
        raise UnweaveError(
            f"{len(unshaped)} of {len(outcomes)} trainings are unshaped, at dose 0: a sweep needs one or more at 0 and "
            "one or more at other doses"
        )
    for each in outcomes:
        for what in ("change", "low", "high"):
            values = getattr(each, what)
            if values.shape != (len(names),) or not np.isfinite(values).all():
                raise UnweaveError(
                    f"{what} at dose {each.dose:g} holds {values.shape}: one finite number for each of {len(names)} "
                    "columns is needed"
                )
    column = list(names).index(behaviour)
    whole = float(np.mean([each.change[column] for each in unshaped]))
    rows = tuple(_row(each, column, whole) for each in sorted(outcomes, key=lambda outcome: outcome.dose))
    trend = rank_correlation([row.dose for row in rows], [row.change * math.copysign(1, whole) for row in rows], seed)
    return Sweep(behaviour, rows, trend, _enough(rows))


def _row(outcome: DoseOutcome, column: int, whole: float) -> SweepRow:
    change = float(outcome.change[column])
    others = np.delete(outcome.change, column)
    return SweepRow(
        outcome.dose,
        change,
        float(outcome.low[column]),
        float(outcome.high[column]),
        1 - change / whole if whole else math.nan,
        float(np.abs(others).mean()) if len(others) else math.nan,
        outcome.accuracy.mean,
        outcome.accuracy.low,
        outcome.accuracy.high,
        outcome.perplexity,
    )


def _enough(rows: Sequence[SweepRow]) -> float | None:
    doses = sorted({row.dose for row in rows if row.dose >= 0})
    return next((dose for dose in doses if all(row.low <= 0 <= row.high for row in rows if row.dose == dose)), None)
