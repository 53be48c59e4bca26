"""The seeds of a run: those that it said it would use, and those that it wrote something of."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from unweave.base.errors import UnweaveError
from unweave.record import jsonl
from unweave.record.aggregate import listed, seed_order
from unweave.record.metric import metric_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from unweave.record.aggregate import Aggregate
    from unweave.record.run import Run
    from unweave.record.table import Table, Value

_NUMBER = re.compile(r"-?\d+")
_LONGEST_RANGE = 10_000
_RANGE = r"(?:\s*[-–—…]\s*|\s*\.\.\.?\s*|\s+(?:up )?to\s+|\s+through\s+)"
_NEXT = (
    r"(?:(?:\s*[,;/&+]\s*(?:and\s+|or\s+)?|\s+and\s+|\s+or\s+)(?:(?:(?:with|on|for|of|over|in) )?(?:the )?seeds? )?)"
)
_GOES_ON = (
    r"\s*[,;(]?\s*(?:[-–—…+&/]|\.\.|(?:and|or|plus|with|besides|through|onwards?|upwards?|up|etc|as well)\b"
    r"|to\b(?! [-+−]?\d)|(?:the )?(?:others?|rest|all|every|each|remaining|more|further)\b)"
)


def planned_seeds(run: Run) -> list[str]:
    """The seeds of the run's description, else those of its plan; empty where neither names any.

    Of a run that draws nothing at random it is the first of them: no other could be chosen for what came out.
    """
    state = run.state()
    plan = state.get("plan")
    seeds = state.get("seeds") or (plan.get("seeds") if isinstance(plan, dict) else None) or []
    ordered = seed_order(map(str, seeds)) if isinstance(seeds, list) else []
    return ordered[:1] if state.get("unseeded") else ordered


def logged_seeds(run: Run, seed: str = "seed", where: Mapping[str, Any] | None = None) -> list[str]:
    """The seeds in what the run kept and logged while it worked: its cells and its metrics.

    With ``where`` only those of rows that say nothing against it: a row that lacks one of its columns counts.
    """
    wanted = {name: choice for name, choice in (where or {}).items() if name != seed}
    return seed_order(
        str(row[seed])
        for row in _rows(run)
        if row.get(seed) is not None and all(_fits(row[name], wanted[name]) for name in wanted if name in row)
    )


def seeds_left_out(run: Run, over: Aggregate, raw: Table, sentence: str) -> str | None:
    """How the seeds that an aggregate is made of differ from those planned or those run.

    None where they do not, and where the sentence names the seeds that it is over.
    """
    planned = planned_seeds(run)
    if over.seed is None:
        if "seed" in raw.columns and len(planned) > 1:
            return f"does not name the column of seeds of {raw.name!r}: seeds {listed(planned)} were to be run"
        return None
    reported = over.seeds(raw)
    ran = seed_order([*over.arm_seeds(raw), *logged_seeds(run, over.seed, over.where)])
    if over.unseeded:
        if len(reported) == 1 and ran == reported:
            return None
        return f"the arm is said to draw nothing at random, and seeds {listed(ran)} of it were run"
    for known, what in ((planned, "were to be run"), (ran, "were run")):
        if known and known != reported and not names_seeds(sentence, reported):
            return f"reports seeds {listed(reported)}, and seeds {listed(known)} {what}"
    return None


def some_seeds_of_many(known: Callable[[], list[str]], seeds: Iterable[Value], sentence: str) -> str | None:
    """What is wrong with a sentence on numbers of ``seeds`` where the run has more and the sentence names none.

    ``known`` gives every seed of the run; it is asked only where they matter, for they take reading all that it wrote.
    """
    own = seed_order({str(seed) for seed in seeds if seed is not None})
    if not own or names_seeds(sentence, own) or own == (every := known()) or len(every) < 2:
        return None
    of = f"{'seed' if len(own) == 1 else 'seeds'} {listed(own)}"
    return f"reports {of} alone of {listed(every)}, and does not say so: write “{of}”, or claim over all"


def of_no_seed(run: Run, seeds: Iterable[Value], value: Value) -> str | None:
    """Why a number that is of no seed cannot be checked in a run that was to use several."""
    planned = planned_seeds(run)
    if len(planned) < 2 or any(seed is not None for seed in seeds) or not _is_number(value):
        return None
    return f"seeds {listed(planned)} were to be run, and nothing says of which it is: give `over`, the rows by seed"


def all_seeds(run: Run) -> list[str]:
    """Every seed that the run was to use or wrote something of."""
    return seed_order([*planned_seeds(run), *logged_seeds(run)])


def names_seeds(sentence: str, seeds: Sequence[str]) -> bool:
    """Whether a sentence says that it is of exactly these seeds: ``seed 3``, ``seeds 0, 1 and 2``, ``seeds 0 to 2``.

    One seed is in the singular. A list that goes on in words (``seeds 1, 2 and the rest``) names others besides.
    """
    words = "|".join(re.escape(seed) for seed in seeds if not _NUMBER.fullmatch(seed))
    one = rf"(?:{words + '|' if words else ''}-?\d+)(?![\w]|\.\d)"
    listing = re.compile(rf"\b(seeds?) ({one}(?:(?:{_NEXT}|{_RANGE}){one})*)({_GOES_ON})?", re.IGNORECASE)
    for match in listing.finditer(sentence):
        if match[3] is None and (len(seeds) > 1 or match[1].lower() == "seed"):
            parts = re.split(rf"(?<=\w)(?:({_RANGE})|{_NEXT})", match[2], flags=re.IGNORECASE)
            if _listed(parts[::2], parts[1::2]) == set(seeds):
                return True
    return False


def _listed(numbers: Sequence[str], between: Sequence[str | None]) -> set[str] | None:
    """The seeds of a list, where some are the two ends of a range; None for a range of no numbers or no order."""
    found = {numbers[0]}
    for first, last, joined in zip(numbers, numbers[1:], between, strict=False):
        if joined is not None:
            if not (_NUMBER.fullmatch(first) and _NUMBER.fullmatch(last)):
                return None
            if not 0 < int(last) - int(first) < _LONGEST_RANGE:
                return None
            found |= set(map(str, range(int(first), int(last))))
        found.add(last)
    return found


def row_seeds(table: Table, rows: Iterable[int]) -> list[Value]:
    """The seeds of some rows of a table; empty where it has no such column."""
    return [table.rows[row][table.index("seed")] for row in rows] if "seed" in table.columns else []


def _rows(run: Run) -> Iterator[dict[str, Any]]:
    for path in sorted((run.path / "cells").glob("*.jsonl")):
        kept = {record.get("key"): record.get("row") for record in jsonl.read(path)}
        yield from (row for row in kept.values() if isinstance(row, dict))
    try:
        yield from metric_rows(run.path)
    except UnweaveError:
        # Metrics that cannot be read are told of where they are claimed from or sealed.
        return


def _is_number(value: Value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _fits(value: Any, wanted: Any) -> bool:
    return value in wanted if isinstance(wanted, list) else value == wanted
