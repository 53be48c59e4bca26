"""Numbers that were chosen by what they came to: by their rows, by the best of several, or by how they are rounded."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unweave.record.table import Table, Value

_NO_SUPERLATIVE = (
    r"(?:con|pro|pre|re)?test|rest|arrest|crest|request|quest|conquest|guest|interest|forest|harvest|honest|modest"
    r"|digest|suggest|manifest|invest|nest|chest|west|latest|newest|oldest|earliest"
)
"""Words in *-est* that say nothing of size."""
_EITHER = rf"(?!(?:{_NO_SUPERLATIVE})\b)\w+est|worst|extreme|record|never|exceed\w*"
_MORE, _LESS = "highest|largest|greatest|biggest|longest", "lowest|smallest|shortest|fewest"
_WORDS = {
    "max": rf"most|max(?:im\w+)?|up to|top|peak|below|no (?:more|higher|greater|larger) than|not above"
    rf"|(?!(?:{_LESS})\b)(?:{_EITHER})",
    "min": rf"least|min(?:im\w+)?|down to|bottom|above|no (?:less|fewer|lower|smaller) than|not below"
    rf"|(?!(?:{_MORE})\b)(?:{_EITHER})",
}
_DECIMALS_THAT_TELL = 2
"""Zero with as many decimals says how small a number is; ``0`` and ``0.0`` do not."""
_UNKNOWN = (
    "a number that the run's config does not have: if it is a setting, put it into the config when the run is made, "
    "else select by text or by whole numbers"
)


def extreme_unsaid(how: str, sentence: str, values: int) -> str | None:
    """What is wrong with a sentence on the largest or smallest of several numbers that does not say so."""
    if values < 2 or how not in _WORDS or re.search(rf"\b(?:{_WORDS[how]})\b", sentence, re.IGNORECASE):
        return None
    word = {"max": "highest", "min": "lowest"}[how]
    return f"states the {how} of several numbers, and does not say so: write “{word}”, or claim the median or mean"


def chosen_by_result(table: Table, where: Mapping[str, Any], column: str, config: Mapping[str, Any]) -> str | None:
    """What is wrong with a selector that picks rows by the number that is claimed, or by fractions that came out.

    A column of floats may tell settings apart, such as learning rates: then its fractions are in the run's config.
    Whole numbers are taken for settings (steps, epochs, tokens), so a count that came out passes in another column.
    """
    for name, choice in where.items():
        if name == column and table.kinds[table.index(name)] in ("integer", "number"):
            return f"selects rows of {table.name!r} by {name!r}, the number that is claimed"
        if table.kinds[table.index(name)] == "number" and not _fractions(choice) <= settings(config):
            return f"selects rows of {table.name!r} by {name!r}, {_UNKNOWN}"
    return None


def metric_by_result(where: Mapping[str, Any], metric: str, config: Mapping[str, Any]) -> str | None:
    """As ``chosen_by_result``, for logged rows."""
    for name, choice in where.items():
        if name == metric:
            return f"selects rows by {name!r}, the number that is claimed"
        if not _fractions(choice) <= settings(config):
            return f"selects rows by {name!r}, {_UNKNOWN}"
    return None


def misleads(value: Value, shown: str) -> bool:
    """Whether ``shown``, the rounding of a number, is off by more than half of it."""
    if not isinstance(value, float):
        return False
    rounded = float(shown)
    if not rounded and len(shown.partition(".")[2]) >= _DECIMALS_THAT_TELL:
        return False
    return abs(rounded - value) > abs(value) / 2


def settings(values: Any) -> set[float]:
    """The numbers at any depth of a config or a choice."""
    if isinstance(values, Mapping):
        values = list(values.values())
    if isinstance(values, (list, tuple, set, frozenset)):
        return {number for one in values for number in settings(one)}
    return {float(values)} if isinstance(values, (int, float)) and not isinstance(values, bool) else set()


def _fractions(values: Any) -> set[float]:
    return {number for number in settings(values) if not number.is_integer()}
