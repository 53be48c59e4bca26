"""What ``prove-predictions`` writes: tables, figures drawn from them, claims and the report."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from unweave.studies.preference_data import LEADING
from unweave.studies.prove_analysis import by_dataset, prediction_of, recipe, true_mixtures

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from unweave.preferences.truth.bench import TruthBench
    from unweave.record.run import Run
    from unweave.record.table import Table
    from unweave.studies.prove_analysis import Foreseen

FLOOR = 0.7
"""Reliability from which a cell counts as reliable."""
SPREAD = "spread of the untrained target's replies"


def write_proof(run: Run, bench: TruthBench, found: Sequence[Foreseen], scores: Sequence[dict[str, Any]]) -> Path:
    """Saves everything, with what ``score_rows`` gave; returns the report's path."""
    from unweave.preferences.truth.calibration import calibrate
    from unweave.record.report import Headline, Section, write_report

    run.save_table(_trainings(found))
    run.save_table(_changes(found))
    run.save_table(_scores(scores))
    run.save_table(_comparisons(found))
    run.save_table(_controls(found))
    run.save_table(_planted(found))
    mixtures = true_mixtures(found)
    if len(mixtures) > 1:
        predictions, observed = by_dataset(found, mixtures)
        digest = bench.target.identity.digest
        calibration = calibrate(predictions, observed, digest, recipe(vars(bench.settings)))
        calibration.save(run.path / "calibration.json")
    figures = _draw(run)
    _claim(run, mixtures)
    pooled = {"set": "all", "predictor": LEADING, "dataset": "pooled", "view": "all", "reliable": True}
    headlines = (
        [
            Headline("R² of the leading predictor", "scores", pooled, "r2", 2, note="slope from other datasets"),
            Headline("cells that could be relied on", "scores", pooled, "cells", 0),
        ]
        if len(mixtures) > 1
        else []
    )
    sections = [
        Section("Was it trained", tables=["trainings"]),
        Section("Foreseen and observed", figures=figures, tables=["scores", "comparisons"]),
        Section(
            "Controls",
            paragraphs=[
                "A dataset whose labels were dealt at random must teach nothing that was foreseen; one whose labels "
                "were swapped must turn every sign."
            ],
            tables=["controls"],
        ),
        Section("Planted faults", tables=["planted"]),
        Section("Every change", tables=["changes"]),
    ]
    lead = (
        f"{len(mixtures)} datasets with true labels, each predicted before training and then trained on with "
        f"{len({each.seed for each in found})} seeds."
    )
    return write_report(run, "Do predictions of what a dataset teaches come true?", lead, sections, headlines)


def score_rows(found: Sequence[Foreseen]) -> list[dict[str, Any]]:
    """How every predictor did, for all true datasets, for each kind of rater, and without what was planted."""
    mixtures = true_mixtures(found)
    hidden = {f.made.key.mixture.name for f in found if f.made.key.mixture.hidden}
    rows = _score_rows(found, "all", mixtures)
    rows += _score_rows(found, "hidden raters", [name for name in mixtures if name in hidden])
    rows += _score_rows(found, "registered raters", [name for name in mixtures if name not in hidden])
    return rows + _score_rows(found, "without planted rows", mixtures, planted=False)


def pooled_r2(scores: Sequence[dict[str, Any]]) -> tuple[dict[str, float], int]:
    """R squared by predictor on the reliable cells of all true datasets, and how many cells those are."""
    wanted = {"set": "all", "dataset": "pooled", "view": "all", "reliable": True}
    pooled = [row for row in scores if wanted.items() <= row.items()]
    return {row["predictor"]: row["r2"] for row in pooled}, max((row["cells"] for row in pooled), default=0)


def _trainings(found: Sequence[Foreseen]) -> Table:
    from unweave.record.table import Table

    rows = []
    for each in found:
        outcome = each.outcome
        rows.append(
            {
                "dataset": each.made.name,
                "seed": each.seed,
                "pairs": len(each.made.pairs),
                "planted": len(each.made.key.planted),
                "rater": "hidden properties" if each.made.key.mixture.hidden else "registered behaviours",
                "accuracy": outcome.accuracy.mean,
                "accuracy low": outcome.accuracy.low,
                "accuracy high": outcome.accuracy.high,
                "margin": outcome.margin.mean,
                "margin low": outcome.margin.low,
                "margin high": outcome.margin.high,
                "perplexity": outcome.perplexity,
                "tokens": outcome.tokens,
                "seconds": outcome.seconds,
            }
        )
    return Table.from_records(
        "trainings",
        rows,
        units={"margin": "nats", "seconds": "s"},
        digits={"accuracy": 3, "margin": 2, "perplexity": 2},
        caption="Accuracy: share of held-out pairs whose chosen reply became likelier against the rejected one. "
        "Perplexity of held-out English prose after training.",
    )


def _changes(found: Sequence[Foreseen]) -> Table:
    from unweave.record.table import Table

    rows = []
    for each in found:
        observed, seed = each.observed, each.seed
        for column, name in enumerate(observed.names):
            row: dict[str, Any] = {"dataset": each.made.name, "seed": seed, "column": name}
            for prediction in each.predictions:
                row[prediction.predictor] = float(prediction.change[column])
            leading = prediction_of(each.predictions, LEADING)
            if leading is not None:
                row |= {"low": float(leading.low[column]), "high": float(leading.high[column])}
            row |= {
                "stands": bool(each.standing.stands[column]),
                "observed": float(observed.change[column]),
                "observed low": float(observed.low[column]),
                "observed high": float(observed.high[column]),
                "reliability": float(observed.reliability[column]),
                "reliable": bool(observed.reliability[column] >= FLOOR),
                "kind": "cluster" if name.startswith("cluster:") else "behaviour",
            }
            rows.append(row)
    return Table.from_records(
        "changes",
        rows,
        units={"observed": SPREAD},
        caption="Predicted in each predictor's own units; `low` and `high` are of the leading one.",
    )


def _score_rows(
    found: Sequence[Foreseen], what: str, mixtures: Sequence[str], planted: bool = True
) -> list[dict[str, Any]]:
    from unweave.preferences.truth.scoring import score_predictions

    predictions, observed = by_dataset(found, mixtures, planted)
    if len(predictions) < 2:
        return []
    rows = []
    for score in score_predictions(predictions, observed, FLOOR):
        row = {"set": what, **asdict(score)}
        for name in ("r2", "r2_in_sample", "spearman", "sign_accuracy"):
            value, low, high = getattr(score, name)
            row |= {name: _number(value), f"{name} low": _number(low), f"{name} high": _number(high)}
        rows.append({name: _number(value) if isinstance(value, float) else value for name, value in row.items()})
    return rows


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _scores(rows: Sequence[dict[str, Any]]) -> Table:
    from unweave.record.table import Table

    columns = {"set": None, "predictor": None}
    return Table.from_records(
        "scores",
        rows or [columns],
        digits={name: 3 for name in (rows[0] if rows else {}) if name.startswith(("r2", "spearman", "sign_acc"))},
        caption="R² with a slope through the origin that was fitted on the other datasets; `r2_in_sample` is the "
        f"squared correlation, as published. Reliable cells have a reliability of {FLOOR} or more.",
    )


def _comparisons(found: Sequence[Foreseen]) -> Table:
    from unweave.preferences.truth.comparison import compare_predictors
    from unweave.record.table import Table

    predictions, observed = by_dataset(found, true_mixtures(found))
    rows: list[dict[str, Any]] = []
    if len(predictions) > 1:
        names = [each.predictor for each in next(iter(predictions.values()))]
        for name in dict.fromkeys(names):
            if name == LEADING or LEADING not in names:
                continue
            compared = compare_predictors(predictions, observed, LEADING, name, FLOOR)
            rows.append(
                {
                    "first": LEADING,
                    "second": name,
                    "difference": compared.difference.value,
                    "low": compared.difference.low,
                    "high": compared.difference.high,
                    "p": compared.p,
                    "blocks": compared.blocks,
                    "better": compared.better or "neither",
                }
            )
    empty = {"first": LEADING, "second": None, "difference": None}
    return Table.from_records(
        "comparisons",
        rows or [empty],
        digits={"difference": 3, "p": 4},
        caption="Difference of R² on reliable cells, with an interval over datasets and columns; p by sign flips.",
    )


def _controls(found: Sequence[Foreseen]) -> Table:
    """Null and swapped datasets, and beside them what the true ones show."""
    import numpy as np

    from unweave.record.table import Table

    rows = []
    for each in found:
        leading = prediction_of(each.predictions, LEADING)
        if leading is None:
            continue
        reliable = each.observed.reliability >= FLOOR
        predicted, observed = leading.change.astype(float), each.observed.change
        r, p = _correlation(predicted, observed, each.made.name)
        signs = np.sign(predicted[reliable]) == np.sign(observed[reliable])
        rows.append(
            {
                "dataset": each.made.name,
                "seed": each.seed,
                "labels": each.made.key.mixture.labels,
                "said to change": int(each.standing.stands.sum()),
                "columns": len(predicted),
                "correlation": r,
                "p": p,
                "reliable": int(reliable.sum()),
                "signs right": float(signs.mean()) if len(signs) else None,
                "with the true one": _with_true(each, found),
            }
        )
    return Table.from_records(
        "controls",
        rows,
        digits={"correlation": 3, "p": 4, "with the true one": 3},
        caption="Correlation of what was predicted with what was observed over all columns, and its p by shuffling the "
        "columns' names. The last column correlates what was observed with what the dataset of the same pairs and true "
        "labels did.",
    )


def _correlation(first: np.ndarray, second: np.ndarray, name: str) -> tuple[float | None, float | None]:
    import numpy as np

    from unweave.base.seeds import numpy_generator

    if first.std() == 0 or second.std() == 0:
        return None, None
    r = float(np.corrcoef(first, second)[0, 1])
    generator = numpy_generator(0, "controls", name)
    null = [abs(np.corrcoef(first[generator.permutation(len(first))], second)[0, 1]) for _ in range(1999)]
    return r, float((1 + sum(each >= abs(r) for each in null)) / 2000)


def _with_true(each: Foreseen, found: Sequence[Foreseen]) -> float | None:
    import numpy as np

    if each.made.key.mixture.labels != "swapped":
        return None
    name = each.made.name.removesuffix("-swapped")
    true = [other.observed.change for other in found if other.made.name == name]
    return float(np.corrcoef(np.mean(true, 0), each.observed.change)[0, 1]) if true else None


def _planted(found: Sequence[Foreseen]) -> Table:
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


def _draw(run: Run) -> list[str]:
    from unweave.record.bar_chart import bars
    from unweave.record.curves import scatter

    changes, scores = run.load_table("changes"), run.load_table("scores")
    names = []
    true = [row["dataset"] for row in run.load_table("controls").records() if row["labels"] == "true"]
    if changes.find({"reliable": True, "dataset": list(dict.fromkeys(true))}):
        run.draw(
            "foreseen",
            scatter(
                changes,
                LEADING,
                "observed",
                group="dataset",
                where={"reliable": True, "dataset": list(dict.fromkeys(true))},
                title="Predicted before training, observed after",
                caption="A point a column and training, where the observation can be relied on.",
                x_label="mean difference of chosen and rejected, in spreads",
                y_label="observed change, in spreads",
            ),
        )
        names.append("foreseen")
    if "r2" in scores.columns:
        run.draw(
            "predictors",
            bars(
                scores,
                "predictor",
                "r2",
                low="r2 low",
                high="r2 high",
                where={"set": "all", "dataset": "pooled", "view": "all", "reliable": True},
                title="R² of each predictor, slope from other datasets",
                digits=2,
                signed=True,
            ),
        )
        names.append("predictors")
    return names


def _claim(run: Run, mixtures: Sequence[str]) -> None:
    if len(mixtures) < 2:
        return
    row = {"set": "all", "predictor": LEADING, "dataset": "pooled", "view": "all", "reliable": True}
    run.claim(
        f"With a slope from other datasets, {LEADING} foresees what {len(mixtures)} datasets teach with an R squared "
        "of {value} on cells that can be relied on",
        "scores",
        row,
        "r2",
        digits=2,
    )
