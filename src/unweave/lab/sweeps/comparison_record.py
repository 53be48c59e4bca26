"""A comparison as a person reads it, and as tables and claims of a run, each number with where it was read."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from unweave.base.errors import UnweaveError
from unweave.lab.sweeps.alike import runs_alike
from unweave.lab.sweeps.comparison import BASELINE, TOO_FEW, Comparison, Row
from unweave.record.aggregate import Aggregate, listed, seed_order
from unweave.record.run import Run
from unweave.record.seeds import planned_seeds
from unweave.record.table import Table

if TYPE_CHECKING:
    from unweave.lab.lab import Lab

COMPARISON = "comparison"
_DIGITS = ("mean", "low", "high", "median", "difference", "from", "to", "floor", "detectable")


def comparison_table(comparison: Comparison) -> Table:
    """One row an arm, the baseline first."""
    rows = [_record(row, comparison.baseline.arm.name) for row in comparison.rows]
    caption = (
        f"{comparison.measure.text} of {comparison.study} ({comparison.measure.better} is better). Mean with Student's "
        f"95 % interval over seeds; difference to {comparison.baseline.arm.name} over shared seeds, with p by Holm. "
        "Floor: what equal arms stay within, by the baseline's spread over seeds; detectable: the true difference that "
        "passes it four times in five."
    )
    digits = comparison_digits(comparison)
    return Table.from_records(
        "comparison", rows, caption=caption, digits={**dict.fromkeys(_DIGITS, digits), "p": 4, "adjusted": 4}
    )


def values_table(comparison: Comparison) -> Table:
    """Every number that is compared, with the run and the bytes that it was read from."""
    records = [
        {
            "arm": row.arm.name,
            "seed": reading.seed,
            "value": reading.value,
            "run": reading.run,
            "table": reading.table,
            "sha256": reading.sha256,
            "row": reading.row,
            "column": reading.column,
            "step": reading.step,
        }
        for row in comparison.rows
        for reading in row.arm.readings
    ]
    return Table.from_records("values", records, caption="Every number compared, and where it was read")


def left_out_table(comparison: Comparison) -> Table:
    """The runs that are not compared, each with the reason."""
    rows = tuple(comparison.left_out.items())
    return Table("left-out", ("run", "reason"), rows, caption="Runs that are not compared")


def comparison_digits(comparison: Comparison) -> int:
    """Decimals that show two digits of the widest uncertainty: more would be noise, and fewer would hide it."""
    widths = [
        (interval.high - interval.low) / 2
        for row in comparison.rows
        for interval in (row.mean, row.difference)
        if interval is not None and math.isfinite(interval.high)
    ]
    widest = max(widths, default=0.0)
    return 3 if widest <= 0 else min(max(1 - math.floor(math.log10(widest)), 0), 10)


def alike_text(row: Row) -> str | None:
    """The arms that are not told from the best one, on its row."""
    return " or ".join(row.alike) or None


def comparison_lines(comparison: Comparison) -> list[str]:
    """What there is to say beside the table: verdicts, who is left out, and what else differs."""
    said = []
    for row in comparison.rows[1:]:
        text = f"{row.arm.name}: {row.verdict}"
        said.append(f"{text}; {row.note}" if row.note else text)
    if not comparison.rows[1:]:
        said.append(f"one arm alone, {comparison.baseline.arm.name}: there is nothing to compare it with")
    said += [f"left out: {run}: {reason}" for run, reason in comparison.left_out.items()]
    return [*said, *comparison.notes]


def keep_comparison(comparison: Comparison, run: Run, first: tuple[str, Row] | None = None) -> None:
    """Saves the tables in ``run`` and claims every arm's verdict, and its difference where it was tested.

    ``first`` is a claim to make before: how the sentence begins, and the row of the comparison whose mean it states.
    """
    run.save_table(values_table(comparison))
    run.save_table(comparison_table(comparison))
    if comparison.left_out:
        run.save_table(left_out_table(comparison))
    digits, base = comparison_digits(comparison), comparison.baseline.arm
    planned = planned_seeds(run)

    def of(seeds: Iterable[int]) -> str:
        """How many seeds, or which where they are not those that were planned: a claim must name them then."""
        own = seed_order(map(str, seeds))
        if not planned or own == planned:
            return f"{len(own)} seeds"
        return f"{'seed' if len(own) == 1 else 'seeds'} {listed(own)}"

    if first is not None:
        start, chosen = first
        where = {"arm": chosen.arm.name}
        sentence = f"{start}: {comparison.measure.text} {{value}} over {of(chosen.arm.values)}."
        over = Aggregate("values", "value", where, "mean")
        run.claim(sentence, "comparison", where, "mean", digits=digits, over=over)
    for row in comparison.rows[1:]:
        arm, where = row.arm.name, {"arm": row.arm.name}
        if row.difference is not None and row.verdict != TOO_FEW:
            shared = sorted(row.arm.values.keys() & base.values.keys())
            sides = ({"arm": name, "seed": shared} for name in (arm, base.name))
            over = Aggregate("values", "value", next(sides), "mean", minus=next(sides))
            sentence = f"{comparison.measure.text}: {arm} less {base.name} is {{value:+}} over {of(shared)}."
            run.claim(sentence, "comparison", where, "difference", digits=digits, over=over)
        run.claim(f"{arm} against {base.name}: {{value}}.", "comparison", where, "verdict")


def save_comparison(lab: Lab, comparison: Comparison, about: Mapping[str, Any] | None = None, because: str = "") -> Run:
    """The comparison as a run of its own in ``lab``.

    Other finished runs of the same configs are named as left out, with ``because``; ``UnweaveError`` without a reason.
    """
    looked_at = {reading.run for row in comparison.rows for reading in row.arm.readings} | set(comparison.left_out)
    configs = [lab.runs.open(run).config for run in looked_at]
    others = runs_alike(lab, comparison.study, configs, looked_at, comparison.seed_field)
    if others and not because:
        raise UnweaveError(
            f"{', '.join(others)} {'has' if len(others) == 1 else 'have'} the same config as runs that are compared: "
            "give all of them, or say with --because why some are left out"
        )
    comparison = replace(comparison, left_out={**comparison.left_out, **dict.fromkeys(others, because)})
    config = {
        "study": comparison.study,
        "measure": comparison.measure.text,
        "better": comparison.measure.better,
        "by": list(comparison.by),
        "baseline": dict(comparison.baseline.arm.settings),
    }
    parents = list(dict.fromkeys(reading.run for row in comparison.rows for reading in row.arm.readings))
    with Run.create(COMPARISON, config, lab.root, about={"parents": parents, **(about or {})}) as run:
        keep_comparison(comparison, run)
    return run


def _record(row: Row, base: str) -> dict[str, Any]:
    difference = row.difference
    return {
        "arm": row.arm.name,
        "seeds": row.mean.n,
        "mean": row.mean.mean,
        "low": row.mean.low,
        "high": row.mean.high,
        "median": row.median,
        "against": base if row.verdict != BASELINE else None,
        "shared": row.pairs if row.verdict != BASELINE else None,
        "difference": None if difference is None else difference.mean,
        "from": None if difference is None else difference.low,
        "to": None if difference is None else difference.high,
        "floor": row.floor,
        "detectable": row.detectable,
        "p": row.p,
        "adjusted": row.adjusted,
        "test": row.test or None,
        "verdict": row.verdict,
        "not told from": alike_text(row),
        "note": row.note or None,
    }
