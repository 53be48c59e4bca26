"""Rows to leave out, so that what nobody wants is not taught, and the dataset without them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np

    from unweave.corpora.pairs.value import PreferencePair
    from unweave.record.table import Table
    from unweave.studies.preference_forecast import Forecast
    from unweave.studies.preference_reading import PreferenceReading

UNWANTED = (
    "flattery",
    "urls",
    "has-url",
    "email-addresses",
    "phone-numbers",
    "repeated-bigrams",
    "repeated-trigrams",
    "repeated-sentence",
    "doubled-words",
    "leaves-prompts-language",
    "crude-humour",
    "unfinished",
)
"""Behaviours that hardly anybody wants more of: praise of the person, addresses that are made up, repetition, another
language than the prompt's, replies that break off. Whether refusals or length are wanted is for a person to say."""


@dataclass(frozen=True)
class Removed:
    """Rows to leave out, the strongest push first, and the columns that they push."""

    rows: np.ndarray
    """(k,) places among the pairs that could be read."""
    columns: tuple[str, ...]
    share: np.ndarray
    """(k,) what each adds to those columns' changes, in spreads."""
    strongest: tuple[str, ...]
    """The column that each pushes most."""


def choose_removed(forecast: Forecast, undo: tuple[str, ...], fraction: float) -> Removed:
    """The ``fraction`` of rows that pushes ``undo`` most, each the way that its change goes.

    By default those of ``UNWANTED`` that stand and would grow; where there are none, no row. Raises ``UnweaveError``
    with the nearest for an unknown column.
    """
    import numpy as np

    from unweave.preferences.trace import rows_to_remove

    leading = forecast.leading
    names = undo or tuple(
        name for name in forecast.standing_names() if name in UNWANTED and leading.change[forecast.column(name)] > 0
    )
    columns = [forecast.column(name) for name in names]
    rows = rows_to_remove(leading, names, fraction) if names else np.zeros(0, np.int64)
    if len(rows) == len(leading.shares):
        rows = rows[:-1]  # a dataset of none is none
    pushes = leading.shares[rows][:, columns].astype(np.float64) * np.where(leading.change[columns] < 0, -1, 1)
    pushes /= len(leading.shares)
    strongest = tuple(names[at] for at in pushes.argmax(1)) if len(rows) else ()
    return Removed(rows, names, pushes.sum(1), strongest)


def removed_table(reading: PreferenceReading, forecast: Forecast, removed: Removed) -> Table:
    """Each removed row and why."""
    from unweave.record.table import Table

    ids, rows = reading.store.ids, []
    for row, share, name in zip(removed.rows, removed.share, removed.strongest, strict=True):
        column = forecast.column(name)
        chosen, rejected = (side.values[row, column] for side in (reading.evidence.chosen, reading.evidence.rejected))
        rows.append(
            {
                "row": int(row),
                "id": ids[row].encode("utf-8", "replace").decode("utf-8"),
                "column": name,
                "share": float(share),
                "why": f"teaches {'less' if forecast.leading.change[column] < 0 else 'more'} {name}: "
                f"{chosen:.3g} in the chosen reply and {rejected:.3g} in the rejected one",
            }
        )
    what = ", ".join(removed.columns) or "none, as no unwanted behaviour stands that would grow"
    return Table.from_records(
        "removed",
        rows,
        ("row", "id", "column", "share", "why"),
        units={"share": forecast.unit},
        caption=f"Rows left out of 'cleaned.jsonl'. Columns that are undone: {what}. 'share' is what a row adds to "
        "their changes together.",
    )


def write_cleaned(reading: PreferenceReading, removed: Removed, path: Path) -> int:
    """Writes the pairs that are left in TRL's conversational form, in the data's order; returns how many."""
    from unweave.corpora.pairs.writing import write_pairs

    gone = set(removed.rows.tolist())

    def left() -> Iterator[PreferencePair]:
        return (pair for row, pair in enumerate(reading.source) if row not in gone)

    return write_pairs(left(), path)
