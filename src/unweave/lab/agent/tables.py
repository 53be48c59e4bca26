"""The tables of a session's report: every number with where it was read, what it came to, and what was tried."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from unweave.base.errors import UnweaveError
from unweave.lab.agent.answer import answer_sentence, answer_word, digits_of, observed
from unweave.lab.agent.looks import looked_at
from unweave.lab.agent.plan import Plan
from unweave.record.evidence import Evidence, cite
from unweave.record.table import Table

if TYPE_CHECKING:
    from unweave.lab.agent.planner import Measured, Results
    from unweave.lab.agent.verdicts import Judgement
    from unweave.record.run import Run

UNFINISHED = "unfinished"
"""In the place of a stage: seeds of a block that was not run to its end, which no number is taken over."""


def evidence_table(plan: Plan, results: Results, open_run: Callable[[str], Run]) -> Table | None:
    """Every value that was read off a run, with the run, the table's hash and the cell; None where there is none."""
    records = []
    counted = {(one.run, seed) for one in looked_at(plan, results).measured for seed in one.seeds}
    for one in results.measured:
        if not one.values:
            continue
        run = open_run(one.run)
        for outcome in plan.outcomes():
            for seed, row in outcome.cells(run, one.seeds[0]).items():
                if seed in one.values.get(outcome.name, {}):
                    stage = one.stage if (one.run, seed) in counted else UNFINISHED
                    about = {"arm": one.arm, "on": one.on or "", "stage": stage, "outcome": outcome.name}
                    records.append(cite(run, outcome.table, outcome.column, row, **about, seed=seed))
    if not records:
        return None
    return Evidence(tuple(records)).table(caption="Every value, and the run, table and cell that it was read from")


def runs_table(results: Results) -> Table:
    """Every run of the session, those that failed or were refused among them."""
    rows = [
        {
            "run": one.run,
            "arm": one.arm,
            "on": one.on or "",
            "stage": one.stage,
            "seeds": ", ".join(map(str, one.seeds)),
            "result": _result(one),
            "seconds": one.seconds or None,
        }
        for one in results.measured
    ]
    columns = ("run", "arm", "on", "stage", "seeds", "result", "seconds")
    return Table.from_records(
        "runs", rows, columns, {"seconds": "s"}, "Every run, in the order in which it was started", {"seconds": 1}
    )


def arms_table(plan: Plan, found: Judgement) -> Table:
    """What every confirmed arm, null and control came to, over fresh seeds."""
    bars = {outcome.name: outcome for outcome in plan.outcomes()}
    rows = [
        {
            "arm": one.arm,
            "on": one.on or "",
            "role": plan.arm(one.arm).role,
            "outcome": one.outcome,
            "seeds": one.noisy.n,
            "mean": one.noisy.mean,
            "error": _finite(one.noisy.error),
            "low": _finite(one.noisy.low),
            "high": _finite(one.noisy.high),
            "bar": bars[one.outcome].bar,
            "better": bars[one.outcome].better,
            "unit": bars[one.outcome].unit,
            "verdict": one.verdict,
        }
        for one in found.tested
    ]
    digits = max((digits_of(one.noisy.error) for one in found.tested), default=3)
    columns = (
        "arm", "on", "role", "outcome", "seeds", "mean", "error", "low", "high", "bar", "better", "unit", "verdict"
    )  # fmt: skip
    caption = "Mean over fresh seeds with its standard error and 95 % t interval, against the plan's bars"
    return Table.from_records(
        "arms", rows, columns, caption=caption, digits=dict.fromkeys(("mean", "error", "low", "high"), digits)
    )


def comparisons_table(plan: Plan, found: Judgement) -> Table:
    """Differences seed by seed between arms that were compared."""
    units = {outcome.name: outcome.unit for outcome in plan.outcomes()}
    rows = [
        {
            "first": one.first,
            "second": one.second,
            "outcome": one.outcome,
            "pairs": one.noisy.n,
            "difference": one.noisy.mean,
            "error": _finite(one.noisy.error),
            "low": _finite(one.noisy.low),
            "high": _finite(one.noisy.high),
            "floor": _floor(one.noisy.low, one.noisy.high),
            "p": one.p,
            "p by sign flips": one.flips,
            "unit": units[one.outcome],
            "verdict": one.verdict,
        }
        for one in found.compared
    ]
    digits = max((digits_of(one.noisy.error) for one in found.compared), default=3)
    shown = dict.fromkeys(("difference", "error", "low", "high", "floor"), digits)
    caption = (
        "First less second on the same seeds; floor: how large a difference must be to pass the noise before any "
        "correction; p by Student's t, adjusted by Holm's method over all rows; by sign flips exact and not adjusted"
    )
    return Table.from_records("comparisons", rows, caption=caption, digits={**shown, "p": 4, "p by sign flips": 4})


def verdicts_table(plan: Plan, found: Judgement) -> Table:
    """The answer, how each arm stands, and how compared arms stand to each other."""
    rows = [{"what": "answer", "verdict": answer_word(plan, found), "why": answer_sentence(plan, found)}]
    rows += [{"what": one.arm, "verdict": one.verdict, "why": _why(one.why, one.lacking)} for one in found.standings]
    rows += [
        {"what": f"{one.first} against {one.second}", "verdict": one.relation, "why": _why(one.why, one.lacking)}
        for one in found.contrasts
    ]
    return Table.from_records("verdicts", rows, ("what", "verdict", "why"), caption="By the plan's own criterion")


def predictions_table(plan: Plan, found: Judgement, results: Results) -> Table:
    """What was expected before anything ran, and what was seen."""
    rows = []
    for hypothesis in plan.hypotheses:
        for one in hypothesis.predictions:
            seen = observed(plan, found, results, one)
            # A control that must do worse, and is found to be no better, is as it should be.
            held = seen == one.expected or (one.expected, seen) == ("worse", "not reached")
            rows.append(
                {
                    "hypothesis": hypothesis.name,
                    "statement": hypothesis.statement,
                    "arm": one.arm,
                    "outcome": one.outcome,
                    "expected": one.expected,
                    "than": one.than or "",
                    "observed": seen,
                    "as expected": "not tested" if seen == "not tested" else "yes" if held else "no",
                }
            )
    return Table.from_records("predictions", rows, caption="What was predicted before any run, and what was observed")


def tried_table(plan: Plan, found: Judgement, results: Results) -> Table:
    """Every candidate that is not the answer, with what screening showed, or why it was not run."""
    rows = []
    winners = {found.best, *found.tied, *(name for pair in plan.contrasts for name in pair)}
    for arm in plan.of_role("candidate", "baseline"):
        runs = results.of(arm.name)
        if arm.name in winners:
            continue
        standing = found.standing(arm.name)
        row: dict[str, Any] = {"arm": arm.name, "runs": len(runs)}
        for outcome in (plan.criterion.effect, *plan.criterion.harms):
            values = results.values(arm.name, outcome.name, "screen")
            row[outcome.name] = float(np.mean(list(values.values()))) if values else None
        row["result"] = standing.why if standing else _screened(plan, results, arm.name, runs)
        rows.append(row)
    columns = ("arm", "runs", plan.criterion.effect.name, *(one.name for one in plan.criterion.harms), "result")
    return Table.from_records(
        "tried",
        rows,
        columns,
        caption="What was tried and is not the answer; means over screening seeds, which prove nothing",
        digits=dict.fromkeys(columns[2:-1], 3),
    )


def _screened(plan: Plan, results: Results, arm: str, runs: list[Measured]) -> str:
    if not runs:
        inside = any(arm in group.covers and results.of(group.name) for group in plan.of_role("group"))
        return "not run: ruled out with its group" if inside else "not run: no longer able to win"
    faults = [one.fault for one in runs if one.fault]
    if faults:
        return f"could not be measured: {faults[0]}"
    if any(one.nothing for one in runs):
        return "the study itself found nothing"
    missed = []
    for outcome in (plan.criterion.effect, *(plan.criterion.harms if plan.criterion.harmless else ())):
        values = list(results.values(arm, outcome.name, "screen").values())
        if values and outcome.bar is not None and not outcome.reached(float(np.mean(values))):
            missed.append(outcome.name)
    return f"screened: misses the bar of {', '.join(missed)}" if missed else "screened: others looked better"


def _result(one: Measured) -> str:
    return one.fault or ("the study found nothing" if one.nothing else "measured")


def _why(why: str, lacking: tuple[str, ...]) -> str:
    return f"{why}; not run: {', '.join(lacking)}" if lacking else why


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _floor(low: float, high: float) -> float | None:
    return (high - low) / 2 if math.isfinite(low) and math.isfinite(high) else None


def open_in(root: Any) -> Callable[[str], Run]:
    """Opens the runs of a folder by their ids."""
    from unweave.record.run import Run
    from unweave.record.table import check_name

    def opened(name: str) -> Run:
        check_name(name, "run")
        if not (root / name / "run.json").is_file():
            raise UnweaveError(f"there is no run {name!r} in {root}")
        return Run.open(root / name)

    return opened
