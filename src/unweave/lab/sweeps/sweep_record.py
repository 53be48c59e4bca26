"""What a sweep leaves: a table of its runs, failures among them, a table of its configs, and the comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from unweave.lab.sweeps.arms import shown
from unweave.lab.sweeps.comparison import NO_SPREAD, TOO_FEW
from unweave.lab.sweeps.comparison_record import alike_text, comparison_digits, comparison_lines, keep_comparison
from unweave.record.table import Table

if TYPE_CHECKING:
    from unweave.lab.queue.job import Job
    from unweave.lab.sweeps.comparison import Comparison, Row
    from unweave.lab.sweeps.measure import Reading
    from unweave.lab.sweeps.plan import SweepPlan
    from unweave.record.run import Run


def keep_sweep(
    run: Run,
    plan: SweepPlan,
    jobs: Mapping[str, Job],
    reached: Mapping[int, int],
    readings: Mapping[int, Sequence[Reading]],
    failures: Mapping[str, str],
    compared: Comparison | None,
) -> None:
    """Saves the tables in the sweep's run, and claims what was found best, with everything that was compared."""
    run.save_table(_trials(jobs, failures))
    run.save_table(_arms(plan, reached, readings, compared))
    if compared is not None:
        keep_comparison(compared, run, _best_claim(plan, compared))
    elif failures:
        run.save_table(Table("left-out", ("run", "reason"), tuple(failures.items()), caption="Runs without a result"))


def sweep_lines(run: Run, compared: Comparison | None) -> list[str]:
    """What there is to say of a sweep that has ended."""
    states = run.load_table("trials").column("state")
    counted = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    return [f"{len(states)} runs: {counted}", *(comparison_lines(compared) if compared is not None else [])]


def _trials(jobs: Mapping[str, Job], failures: Mapping[str, str]) -> Table:
    rows = []
    for key, job in jobs.items():
        rung, arm, seeds = key.split("/")
        rows.append(
            {
                "run": job.id,
                "rung": int(rung),
                "arm": int(arm),
                "seeds": seeds,
                "state": job.state,
                "seconds": job.usage.get("seconds"),
                "left out": failures.get(job.id),
            }
        )
    units = {"seconds": "s"}
    return Table.from_records(
        "trials", rows, units=units, caption="Every run of the sweep, in order", digits={"seconds": 1}
    )


def _arms(
    plan: SweepPlan,
    reached: Mapping[int, int],
    readings: Mapping[int, Sequence[Reading]],
    compared: Comparison | None,
) -> Table:
    verdicts = {} if compared is None else {row.arm.name: row for row in compared.rows}
    rows: list[dict[str, Any]] = []
    for number in range(len(plan.arms)):
        settings = plan.settings(number)
        name = ", ".join(f"{field}={shown(value)}" for field, value in settings.items())
        found = verdicts.get(name) if number in readings else None
        fields = {_column(field): _cell(value) for field, value in settings.items()}
        rows.append(
            {
                "arm": number,
                **fields,
                "rung": reached.get(number),
                "mean": None if found is None else found.mean.mean,
                "verdict": None if found is None else found.verdict,
            }
        )
    digits = 3 if compared is None else comparison_digits(compared)
    return Table.from_records(
        "arms", rows, caption="Every config, and the last rung that it was run on", digits={"mean": digits}
    )


def _best_claim(plan: SweepPlan, compared: Comparison) -> tuple[str, Row]:
    """How the sentence on what came out begins, with the row whose mean it states."""
    best = compared.best
    if best is not compared.baseline:
        start = f"{best.arm.name} is better than {compared.baseline.arm.name}"
        start += f", and not told from {alike_text(best)}" if best.alike else ""
        # Of two arms there is nothing more to say, and what halving dropped was never run in full.
        start += ", and than every other that was compared" if len(compared.rows) > 2 and not best.alike else ""
    elif any(row.verdict in (NO_SPREAD, TOO_FEW) for row in compared.rows):
        start = f"No verdict is given of the other configs; {best.arm.name}"
    elif len(plan.arms) > 1:
        start = f"No other config was seen to be better than {best.arm.name}"
    else:
        start = best.arm.name
    return start, best


def _column(field: str) -> str:
    return f"{field} (field)" if field in ("arm", "rung", "mean", "verdict") else field


def _cell(value: Any) -> Any:
    return shown(value) if isinstance(value, (list, tuple, dict)) else value
