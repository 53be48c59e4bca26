"""The seeds of a run: those that it said it would use, and those that it wrote something of."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from unweave.base.errors import UnweaveError
from unweave.record import jsonl
from unweave.record.aggregate import listed, seed_order
from unweave.record.metric import metric_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from unweave.record.aggregate import Aggregate
    from unweave.record.run import Run
    from unweave.record.table import Table, Value


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


def some_seeds_of_many(run: Run, seeds: Iterable[Value], sentence: str) -> str | None:
    """What is wrong with a sentence on numbers of ``seeds`` where the run has more and the sentence names none."""
    own, known = seed_order({str(seed) for seed in seeds if seed is not None}), all_seeds(run)
    if len(known) < 2 or not own or own == known or names_seeds(sentence, own):
        return None
    of = f"{'seed' if len(own) == 1 else 'seeds'} {listed(own)}"
    return f"reports {of} alone of {listed(known)}, and does not say so: write “{of}”, or claim over all"


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
    """Whether a sentence says that it is of exactly these seeds: ``seed 3``, ``seeds 0, 1 and 2``."""
    numbers = r"(?:, and |, | and )".join(map(re.escape, seeds))
    more = r"(?!\w|\.\d|(?:, and |, | and )\d)" if len(seeds) > 1 else r"\b"
    return re.search(rf"\bseeds? {numbers}{more}", sentence, re.IGNORECASE) is not None


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
