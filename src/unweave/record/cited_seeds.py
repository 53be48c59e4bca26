"""Whether evidence cites every seed that a run has of what it cites, and not the ones that came out well."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from unweave.record.aggregate import listed, seed_order
from unweave.record.choosing import chosen_by_result, metric_by_result
from unweave.record.metric import PREFIX, metric_rows, rows_read

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from unweave.record.run import Run
    from unweave.record.table import Table, Value


def cited_amiss(source: Run, records: Iterable[Mapping[str, Value]], about: Iterable[str]) -> dict[int, str]:
    """What is wrong with how ``records``, which read ``source``, choose their rows, by the place of the record.

    Records with the same text in the columns ``about`` and the same selector but for its seed are of one number: they
    must cite each of its seeds.

    Raises ``UnweaveError``, ``LookupError`` or ``ValueError`` where a record leads nowhere.
    """
    columns = [name for name in about if name != "seed"]
    found: dict[int, str] = {}
    groups: dict[str, tuple[set[str], set[str], list[int]]] = {}
    for number, record in enumerate(records):
        told, selector, cited, there = _seeds(source, record)
        if told:
            found[number] = told
        texts = [record[name] if isinstance(record[name], str) else None for name in columns]
        key = json.dumps([texts, record["table"], record["column"], selector], sort_keys=True, default=str)
        own, known, numbers = groups.setdefault(key, (set(), set(), []))
        own |= cited
        known |= there
        numbers.append(number)
    for own, known, numbers in groups.values():
        if own and known - own:
            told = f"cites seeds {listed(own)}, and run {source.id!r} has seeds {listed(known)} of it"
            found = {**dict.fromkeys(numbers, told), **found}
    return found


def _seeds(source: Run, record: Mapping[str, Value]) -> tuple[str | None, dict[str, Any], set[str], set[str]]:
    """What is wrong with a record's selector, the selector without its seed, the seeds read and those there are."""
    name, column = str(record["table"] or f"{PREFIX}last"), str(record["column"])
    row = json.loads(str(record["row"] if record["row"] is not None else "{}"))
    if name.startswith(PREFIX):
        return _logged(source, name.removeprefix(PREFIX), column, row if isinstance(row, dict) else {})
    table = source.load_table(name)
    told = chosen_by_result(table, row, column, source.config) if isinstance(row, dict) else None
    arm = _arm(table, column, row) if isinstance(row, int) else {key: row[key] for key in row if key != "seed"}
    rows = [row] if isinstance(row, int) else table.find(row)
    return told, arm, _of_rows(table, rows), _of_rows(table, table.find(arm))


def _logged(
    source: Run, how: str, metric: str, row: Mapping[str, Any]
) -> tuple[str | None, dict[str, Any], set[str], set[str]]:
    rows, arm = metric_rows(source.path), {key: row[key] for key in row if key != "seed"}
    cited = {str(one["seed"]) for one in rows_read(rows, metric, how, row) if one.get("seed") is not None}
    # The mean is over every row that fits, whatever it is read by.
    there = {str(one["seed"]) for one in rows_read(rows, metric, "mean", arm) if one.get("seed") is not None}
    return metric_by_result(row, metric, source.config), arm, cited, there


def _arm(table: Table, column: str, row: int) -> dict[str, Any]:
    """What tells the arm of a row that is cited by its number: its words, which seldom are a result."""
    kinds = dict(zip(table.columns, table.kinds, strict=True))
    cells = dict(zip(table.columns, table.rows[row], strict=True))
    return {name: cells[name] for name in cells if kinds[name] in ("text", "boolean") and name not in ("seed", column)}


def _of_rows(table: Table, rows: Iterable[int]) -> set[str]:
    if "seed" not in table.columns:
        return set()
    index = table.index("seed")
    return set(seed_order(str(table.rows[row][index]) for row in rows if table.rows[row][index] is not None))
