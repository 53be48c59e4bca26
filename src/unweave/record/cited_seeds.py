"""Whether evidence cites every seed that a run has of what it cites, and not the ones that came out well."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

from unweave.record.aggregate import listed, seed_order
from unweave.record.choosing import chosen_by_result, metric_by_result, settings
from unweave.record.metric import PREFIX, metric_rows, rows_read, rows_with

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from unweave.record.run import Run
    from unweave.record.table import Table, Value


_Read = tuple[str | None, dict[str, Any], set[str], set[str]]
"""What is wrong with a record's selector, the selector without its seed, the seeds read and those there are."""


def cited_amiss(source: Run, records: Iterable[Mapping[str, Value]], about: Iterable[str]) -> dict[int, str]:
    """What is wrong with how ``records``, which read ``source``, choose their rows, by the place of the record.

    Records with the same values in the columns ``about``, by which they are told apart, and the same selector but for
    its seed are of one number: they must cite each of its seeds.

    Raises ``UnweaveError``, ``LookupError`` or ``ValueError`` where a record leads nowhere.
    """
    table, logged = cache(source.load_table), cache(lambda: metric_rows(source.path))
    columns = [name for name in about if name != "seed"]
    found: dict[int, str] = {}
    groups: dict[str, tuple[set[str], set[str], list[int]]] = {}
    for number, record in enumerate(records):
        told, selector, cited, there = _seeds(source.config, record, table, logged)
        if told:
            found[number] = told
        key = json.dumps(
            [[record[name] for name in columns], record["table"], record["column"], selector],
            sort_keys=True,
            default=str,
        )
        own, known, numbers = groups.setdefault(key, (set(), set(), []))
        own |= cited
        known |= there
        numbers.append(number)
    for own, known, numbers in groups.values():
        if own and known - own:
            told = f"cites seeds {listed(own)}, and run {source.id!r} has seeds {listed(known)} of it"
            found = {**dict.fromkeys(numbers, told), **found}
    return found


def _seeds(
    config: Mapping[str, Any],
    record: Mapping[str, Value],
    load: Callable[[str], Table],
    logged: Callable[[], list[dict[str, Any]]],
) -> _Read:
    name, column = str(record["table"] or f"{PREFIX}last"), str(record["column"])
    row = json.loads(str(record["row"] if record["row"] is not None else "{}"))
    if name.startswith(PREFIX):
        where = row if isinstance(row, dict) else {}
        return _logged(logged(), name.removeprefix(PREFIX), column, where, config)
    table = load(name)
    told = chosen_by_result(table, row, column, config) if isinstance(row, dict) else None
    arm = _arm(table, column, row, config) if isinstance(row, int) else {key: row[key] for key in row if key != "seed"}
    rows = [row] if isinstance(row, int) else table.find(row)
    return told, arm, _of_rows(table, rows), _of_rows(table, table.find(arm))


def _logged(
    rows: list[dict[str, Any]], how: str, metric: str, row: Mapping[str, Any], config: Mapping[str, Any]
) -> _Read:
    arm = {key: row[key] for key in row if key != "seed"}
    cited = {str(one["seed"]) for one in rows_read(rows, metric, how, row) if one.get("seed") is not None}
    # A row whose value is no number is of a seed all the same.
    there = {str(one["seed"]) for one in rows_with(rows, metric, arm) if one.get("seed") is not None}
    return metric_by_result(row, metric, config), arm, cited, there


def _arm(table: Table, column: str, row: int, config: Mapping[str, Any]) -> dict[str, Any]:
    """What tells the arm of a row that is cited by its number: its words, which seldom are a result, and settings."""
    known = settings(config)
    return {
        name: cell
        for name, kind, cell in zip(table.columns, table.kinds, table.rows[row], strict=True)
        if name not in ("seed", column)
        and (kind in ("text", "boolean") or (kind == "integer" and settings(table.column(name)) <= known))
    }


def _of_rows(table: Table, rows: Iterable[int]) -> set[str]:
    if "seed" not in table.columns:
        return set()
    index = table.index("seed")
    return set(seed_order(str(table.rows[row][index]) for row in rows if table.rows[row][index] is not None))
