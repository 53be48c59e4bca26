"""The operation that compares runs by one number, over seeds, with the noise floor stated."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from unweave.base.configs import parse_settings
from unweave.base.errors import UnweaveError
from unweave.lab.operations.compare_models import ArmEntry, CompareAnswer, CompareRequest, LeftOut
from unweave.lab.operations.finding import open_run
from unweave.lab.operations.registry import operation
from unweave.lab.sweeps.comparison import Comparison, compare
from unweave.lab.sweeps.comparison_record import comparison_digits, comparison_lines
from unweave.lab.sweeps.measure import Better, Measure
from unweave.lab.sweeps.plan import SweepPlan
from unweave.lab.sweeps.sweep import SWEEP, runs_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unweave.lab.lab import Lab
    from unweave.lab.people import Person
    from unweave.lab.sweeps.comparison import Row


@operation(
    "compare", "compares runs by one number, over their seeds", CompareRequest, CompareAnswer, "read", agent=True
)
def compare_runs(lab: Lab, person: Person, request: CompareRequest) -> CompareAnswer:
    found = comparison_of(lab, request.runs, request.measure, request.better, request.by, request.baseline)
    return CompareAnswer(
        study=found.study,
        measure=found.measure.text,
        better=found.measure.better,
        by=list(found.by),
        arms=[_arm(row) for row in found.rows],
        left_out=[LeftOut(run=run, reason=reason) for run, reason in found.left_out.items()],
        said=comparison_lines(found),
        digits=comparison_digits(found),
    )


def comparison_of(
    lab: Lab,
    runs: Sequence[str],
    measure: str | None,
    better: Better | None,
    by: Sequence[str],
    baseline: Sequence[str],
) -> Comparison:
    """The comparison of runs by their ids, with what is left out as their study says it.

    A sweep stands for the runs of its last rung, and for the measure that it was planned with.
    """
    opened = [open_run(lab, run) for run in dict.fromkeys(runs)]
    ids: list[str] = []
    planned: Measure | None = None
    for run in opened:
        if run.study == SWEEP:
            ids += runs_of(run)
            planned = planned or SweepPlan.from_json(run.config).measure
        else:
            ids.append(run.id)
    if not ids:
        raise UnweaveError(f"sweep {opened[0].id!r} has no runs yet: wait until some have ended")
    if measure is None and planned is not None:
        chosen = planned if better is None else replace(planned, better=better)
    else:
        chosen = measure_of(open_run(lab, ids[0]).study, measure, better)
    return compare(lab, ids, chosen, list(by) or None, parse_settings(baseline) or None)


def measure_of(study: str, measure: str | None, better: Better | None) -> Measure:
    """The number to compare by: as given, else what the study answers with."""
    from unweave.studies.registry import all_studies

    found = all_studies().get(study)
    effect = found.inquiry.effect if found is not None and found.inquiry is not None else None
    if measure is None:
        if effect is None:
            raise UnweaveError(f"study {study!r} does not say what it answers with: give a measure, TABLE.COLUMN")
        own = Measure.of(effect)
        return own if better is None else Measure(own.column, own.table, own.where, better)
    return Measure.parse(measure, better or (effect.better if effect is not None else "higher"))


def _arm(row: Row) -> ArmEntry:
    difference = row.difference
    return ArmEntry(
        name=row.arm.name,
        settings=dict(row.arm.settings),
        runs=list(dict.fromkeys(reading.run for reading in row.arm.readings)),
        seeds=[reading.seed for reading in row.arm.readings],
        values=[reading.value for reading in row.arm.readings],
        mean=row.mean.mean,
        low=_finite(row.mean.low),
        high=_finite(row.mean.high),
        median=row.median,
        verdict=row.verdict,
        pairs=row.pairs,
        difference=_finite(difference.mean) if difference else None,
        difference_low=_finite(difference.low) if difference else None,
        difference_high=_finite(difference.high) if difference else None,
        floor=_finite(row.floor),
        detectable=_finite(row.detectable),
        p=_finite(row.p),
        adjusted=_finite(row.adjusted),
        test=row.test,
        note=row.note,
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
