"""Leaving rows out: those that the trace names, or those that a pattern or a function finds."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Literal

from unweave.base.errors import UnweaveError
from unweave.corpora.pairs.value import PreferencePair
from unweave.preferences.shaping.registry import shaping
from unweave.preferences.shaping.setting import Setting, Shaped


@shaping(
    "row-filter",
    "Leaves out the rows that add most to the change by the trace.",
    dose="share of all rows, those with the largest shares first; none that works against the change",
)
def row_filter(setting: Setting, dose: float) -> Shaped:
    towards = setting.towards * setting.shares
    named = setting.leading(dose, by=towards)
    verb = "raises" if setting.towards > 0 else "lowers"
    reasons = {
        row: f"{verb} {setting.behaviour}: number {rank} by the trace, share {setting.shares[row]:.4g}"
        for rank, row in enumerate(named, 1)
    }
    return _without(setting, reasons, f"{len(named)} rows out by the trace of {setting.behaviour}")


def drop_matching(setting: Setting, matches: Callable[[PreferencePair], bool], reason: str) -> Shaped:
    """Leaves out the pairs that ``matches`` is true of, for ``reason``; ``matching`` makes one from a pattern.

    Raises ``UnweaveError`` where it is true of all.
    """
    reasons = {row: reason for row, pair in enumerate(setting.pairs) if matches(pair)}
    if len(reasons) == len(setting.pairs):
        raise UnweaveError(f"all {len(reasons)} pairs match ({reason}), and none would be left: narrow it down")
    return _without(setting, reasons, f"{len(reasons)} rows out: {reason}")


def matching(
    pattern: str, side: Literal["chosen", "rejected", "either", "chosen alone"] = "chosen"
) -> Callable[[PreferencePair], bool]:
    """Whether a regular expression occurs in a pair's reply; ``chosen alone``: in the chosen one and not in the other.

    Raises ``UnweaveError`` for a pattern that is none.
    """
    try:
        found = re.compile(pattern)
    except re.error as error:
        raise UnweaveError(f"{pattern!r} is not a regular expression: {error}") from error

    def matches(pair: PreferencePair) -> bool:
        chosen, rejected = (found.search(text) is not None for text in (pair.chosen, pair.rejected))
        return {
            "chosen": chosen,
            "rejected": rejected,
            "either": chosen or rejected,
            "chosen alone": chosen and not rejected,
        }[side]

    return matches


def _without(setting: Setting, reasons: Mapping[int, str], note: str) -> Shaped:
    removed = tuple(sorted(reasons))
    kept = [row for number, row in enumerate(setting.rows) if number not in reasons]
    return Shaped(kept, removed=removed, reasons=tuple(reasons[row] for row in removed), note=note)
