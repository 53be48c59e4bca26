"""Numbers that were chosen by what they came to: by their rows, by the best of several, or by how they are rounded."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unweave.record.table import Table, Value

_EITHER = "best|worst|extreme|record"
_WORDS = {
    "max": rf"highest|largest|greatest|biggest|longest|most|max(?:im\w+)?|up to|top|peak|{_EITHER}",
    "min": rf"lowest|smallest|shortest|fewest|least|min(?:im\w+)?|down to|bottom|{_EITHER}",
}
_DECIMALS_THAT_TELL = 2
"""Zero with as many decimals says how small a number is; ``0`` and ``0.0`` do not."""


def extreme_unsaid(how: str, sentence: str) -> str | None:
    """What is wrong with a sentence on the largest or smallest of several numbers that does not say so."""
    if how not in _WORDS or re.search(rf"\b(?:{_WORDS[how]})\b", sentence, re.IGNORECASE):
        return None
    word = {"max": "highest", "min": "lowest"}[how]
    return f"states the {how} of several numbers, and does not say so: write “{word}”, or claim the median or mean"


def chosen_by_result(table: Table, where: Mapping[str, Any], column: str, config: Mapping[str, Any]) -> str | None:
    """What is wrong with a selector that picks rows by the number that is claimed, or by another number that came out.

    A column of floats may tell settings apart, such as learning rates: then its values are in the run's config.
    """
    for name, choice in where.items():
        if name == column and table.kinds[table.index(name)] in ("integer", "number"):
            return f"selects rows of {table.name!r} by {name!r}, the number that is claimed"
        if table.kinds[table.index(name)] == "number" and not _settings(choice) <= _settings(config):
            return f"selects rows of {table.name!r} by {name!r}, a number that the run's config does not have"
    return None


def metric_by_result(where: Mapping[str, Any], metric: str, config: Mapping[str, Any]) -> str | None:
    """As ``chosen_by_result``, for logged rows."""
    for name, choice in where.items():
        if name == metric:
            return f"selects rows by {name!r}, the number that is claimed"
        if isinstance(choice, float) and not _settings(choice) <= _settings(config):
            return f"selects rows by {name!r}, a number that the run's config does not have"
    return None


def misleads(value: Value, shown: str) -> bool:
    """Whether ``shown``, the rounding of a number, is off by more than half of it."""
    if not isinstance(value, float):
        return False
    rounded = float(shown)
    if not rounded and len(shown.partition(".")[2]) >= _DECIMALS_THAT_TELL:
        return False
    return abs(rounded - value) > abs(value) / 2


def _settings(values: Any) -> set[float]:
    """The numbers at any depth of a config or a choice."""
    if isinstance(values, Mapping):
        values = list(values.values())
    if isinstance(values, (list, tuple, set, frozenset)):
        return {number for one in values for number in _settings(one)}
    return {float(values)} if isinstance(values, (int, float)) and not isinstance(values, bool) else set()
