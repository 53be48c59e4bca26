"""The operation on what a run logged: its metrics as curves."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from unweave.lab.operations.finding import open_run
from unweave.lab.operations.registry import operation
from unweave.lab.operations.run_models import MetricsAnswer, MetricsRequest, Series

if TYPE_CHECKING:
    from unweave.lab.lab import Lab
    from unweave.lab.people import Person


@operation("metrics", "what a run logged, as curves", MetricsRequest, MetricsAnswer, "read", agent=True)
def metrics(lab: Lab, person: Person, request: MetricsRequest) -> MetricsAnswer:
    logged, curves = lab.curves.of(open_run(lab, request.run), request.names, request.points)
    series = [
        Series(
            name=one.name,
            rows=one.rows,
            at=one.at,
            **{each: _finite(getattr(one, each)) for each in ("seconds", "value", "low", "high")},
        )
        for one in curves
    ]
    return MetricsAnswer(
        run=request.run, rows=len(logged.steps), names=list(logged.columns), steps=logged.stepped, series=series
    )


def _finite(values: list[float]) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in values]
