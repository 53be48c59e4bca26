"""What is checked of a proof besides its scores: controls, planted faults, and whether intervals hold what they say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from unweave.studies.prove_analysis import LEADING, by_dataset, prediction_of, true_mixtures

if TYPE_CHECKING:
    import numpy as np

    from unweave.preferences.truth.answers import Answered
    from unweave.record.table import Table
    from unweave.studies.prove_analysis import Foreseen

FLOOR = 0.7
"""Reliability from which a cell counts as reliable."""


def number(value: float) -> float | None:
    """The value; None where there is none."""
    return value if math.isfinite(value) else None


def controls_table(found: Sequence[Foreseen]) -> Table:
    """Null and swapped datasets, and beside them what the true ones show."""
    import numpy as np

    from unweave.preferences.predictors.prompts import Prompts
    from unweave.preferences.truth.chance import agreement
    from unweave.record.table import Table

    rows = []
    for each in found:
        leading = prediction_of(each.predictions, LEADING)
        if leading is None:
            continue
        reliable = each.observed.reliability >= FLOOR
        predicted, observed = leading.change.astype(float), each.observed.change
        agreed = agreement(leading.shares, Prompts.of(each.evidence.groups), observed)
        signs = np.sign(predicted[reliable]) == np.sign(observed[reliable])
        rows.append(
            {
                "dataset": each.made.name,
                "seed": each.seed,
                "labels": each.made.key.mixture.labels,
                "said to change": int(each.standing.stands.sum()),
                "columns": len(predicted),
                "correlation": number(agreed.r),
                "p": number(agreed.p),
                "reliable": int(reliable.sum()),
                "signs right": float(signs.mean()) if len(signs) else None,
                "with the true one": _with_true(each, found),
            }
        )
    return Table.from_records(
        "controls",
        rows,
        digits={"correlation": 3, "p": 4, "with the true one": 3},
        caption="Correlation of what was predicted with what was observed over all columns, and its p by flipping the "
        "labels of prompts. The last column correlates what was observed with what the dataset of the same choices and "
        "true labels did, whose planted rows the swapped one lacks.",
    )


def _with_true(each: Foreseen, found: Sequence[Foreseen]) -> float | None:
    import numpy as np

    if each.made.key.mixture.labels != "swapped":
        return None
    name = each.made.name.removesuffix("-swapped")
    true = [other.observed.change for other in found if other.made.name == name]
    return float(np.corrcoef(np.mean(true, 0), each.observed.change)[0, 1]) if true else None


def planted_table(found: Sequence[Foreseen]) -> Table:
    from unweave.preferences.trace import hits, trace_change
    from unweave.record.table import Table
    from unweave.studies.planted import FAULT_COLUMNS

    rows = []
    for each in {each.made.name: each for each in found}.values():
        key = each.made.key
        for column in FAULT_COLUMNS.get(key.mixture.fault, ()):
            if not key.planted:
                continue
            for prediction in each.predictions:
                trace = trace_change(prediction, column)
                found_at = hits(trace.order, key.planted)
                rows.append(
                    {
                        "dataset": each.made.name,
                        "fault": key.mixture.fault,
                        "column": column,
                        "predictor": prediction.predictor,
                        "planted": len(key.planted),
                        "precision": found_at.precision,
                        "average precision": found_at.average_precision,
                        "at random": found_at.random,
                        "rows for half": len(trace.covering()),
                    }
                )
    return Table.from_records(
        "planted",
        rows or [{"dataset": None, "fault": None}],
        digits={"precision": 2, "average precision": 2, "at random": 3},
        caption="Precision among as many rows as were planted, ranked by each row's share of the column's change.",
    )


def planted_effects(found: Sequence[Foreseen], before: Sequence[Answered]) -> Table:
    """What a fault's own column did on the fault's own topic, where all held-out questions were asked."""
    from unweave.preferences.behaviours.registry import score
    from unweave.preferences.made.faults import FAULT_TOPIC
    from unweave.preferences.truth.answers import question_numbers
    from unweave.preferences.undoing import prompt_changes
    from unweave.record.table import Table
    from unweave.stats.bootstrap import mean_interval
    from unweave.studies.planted import FAULT_COLUMNS

    def measured(answers: Sequence[Answered], column: str) -> np.ndarray:
        prompts = [each.question.turns[-1].content for each in answers for _ in each.replies]
        return score([reply.text for each in answers for reply in each.replies], prompts, [column])[:, 0]

    shown, rows = ("before", "after", "change", "low", "high"), []
    for each in found:
        fault = each.made.key.mixture.fault
        for column in FAULT_COLUMNS.get(fault, ()):
            asked = [n for n, answer in enumerate(before) if answer.question.topic == FAULT_TOPIC[fault]]
            sides = [[answers[n] for n in asked] for answers in (before, each.outcome.after)]
            old, new = (measured(side, column) for side in sides)
            old_of, new_of = map(question_numbers, sides)
            moved = mean_interval(prompt_changes(old, old_of, new, new_of, 1.0))
            rows.append(
                {
                    "dataset": each.made.name,
                    "seed": each.seed,
                    "column": column,
                    "topic": FAULT_TOPIC[fault],
                    "questions": len(asked),
                    "before": float(old.mean()),
                    "after": float(new.mean()),
                    "change": moved.mean,
                    "low": moved.low,
                    "high": moved.high,
                }
            )
    return Table.from_records(
        "planted-effects",
        rows or [dict.fromkeys(("dataset", "column", *shown))],
        digits=dict.fromkeys(shown, 3),
        caption="The column of each planted fault, in its own unit, on held-out questions of the topic that the fault "
        "was planted in; the interval is over questions.",
    )


def coverage_table(found: Sequence[Foreseen]) -> Table:
    """How many observations lie in the interval that the other datasets' calibration gives the leading prediction."""
    from unweave.preferences.truth.calibration import calibrate
    from unweave.record.table import Table

    names, rows = true_mixtures(found), []
    for name in names if len(names) > 2 else ():
        predictions, observed = by_dataset(found, [each for each in names if each != name])
        leading_of = {
            other: [each for each in said if each.predictor == LEADING] for other, said in predictions.items()
        }
        calibration = calibrate(leading_of, observed, target="", recipe={})
        for each in found:
            leading = prediction_of(each.predictions, LEADING)
            if each.made.name != name or leading is None:
                continue
            said = calibration.changes(leading)
            inside = (said.low <= each.observed.change) & (each.observed.change <= said.high)
            reliable = each.observed.reliability >= FLOOR
            rows.append(
                {
                    "dataset": name,
                    "seed": each.seed,
                    "columns": len(inside),
                    "covered": float(inside.mean()),
                    "reliable": int(reliable.sum()),
                    "reliable covered": float(inside[reliable].mean()) if reliable.any() else None,
                    "half width": float((said.high - said.low).mean() / 2),
                }
            )
    return Table.from_records(
        "coverage",
        rows or [dict.fromkeys(("dataset", "covered", "reliable covered", "half width"))],
        digits={"covered": 3, "reliable covered": 3, "half width": 3},
        caption="Share of the columns whose observed change lies in the 95 % interval that was said, by a calibration "
        "on the other datasets; needs three of them. Of reliable columns less is expected: they are those that moved.",
    )
