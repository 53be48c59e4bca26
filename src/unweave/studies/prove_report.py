"""What ``prove-predictions`` writes: tables, figures drawn from them, claims and the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from unweave.studies.prove_analysis import LEADING, by_dataset, prediction_of, recipe, true_mixtures
from unweave.studies.prove_checks import (
    FLOOR,
    controls_table,
    coverage_table,
    number,
    planted_effects,
    planted_table,
)

if TYPE_CHECKING:
    from pathlib import Path

    from unweave.preferences.truth.bench import TruthBench
    from unweave.record.run import Run
    from unweave.record.table import Table
    from unweave.studies.prove_analysis import Foreseen

SPREAD = "spread of the untrained target's replies"


def write_proof(run: Run, bench: TruthBench, found: Sequence[Foreseen], scores: Sequence[dict[str, Any]]) -> Path:
    """Saves everything, with what ``score_rows`` gave; returns the report's path."""
    from unweave.preferences.truth.calibration import calibrate
    from unweave.record.report import Headline, Section, write_report

    run.save_table(_trainings(found))
    run.save_table(_changes(found))
    run.save_table(_scores(scores))
    for table in _seed_scores(found):
        run.save_table(table)
    run.save_table(_comparisons(found))
    run.save_table(coverage_table(found))
    run.save_table(controls_table(found))
    run.save_table(planted_table(found))
    run.save_table(planted_effects(found, bench.before))
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
        Section(
            "Foreseen and observed",
            figures=figures,
            tables=["scores", "seed-scores", "seed-means", "comparisons", "coverage"],
        ),
        Section(
            "Controls",
            paragraphs=[
                "A dataset whose labels were dealt at random must teach nothing that was foreseen; one whose labels "
                "were swapped must turn every sign."
            ],
            tables=["controls"],
        ),
        Section("Planted faults", tables=["planted", "planted-effects"]),
        Section("Every change", tables=["changes"]),
    ]
    seeds = len({each.seed for each in found})
    few = " Fewer than three seeds: no more than a look." if seeds < 3 else ""
    lead = (
        f"{len(mixtures)} datasets with true labels, each predicted before training and then trained on with "
        f"{seeds} seed{'s' * (seeds != 1)}.{few}"
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
        observed = each.observed
        for column, name in enumerate(observed.names):
            row: dict[str, Any] = {"dataset": each.made.name, "seed": each.seed, "column": name}
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
        caption="Predicted in each predictor's own units; 'low' and 'high' are of the leading one.",
    )


def _score_rows(
    found: Sequence[Foreseen], what: str, mixtures: Sequence[str], planted: bool = True, **draws: int
) -> list[dict[str, Any]]:
    from unweave.preferences.truth.scoring import score_predictions

    predictions, observed = by_dataset(found, mixtures, planted)
    if len(predictions) < 2:
        return []
    rows = []
    for score in score_predictions(predictions, observed, FLOOR, **draws):
        row = {"set": what, **asdict(score)}
        for name in ("r2", "r2_in_sample", "spearman", "sign_accuracy"):
            value, low, high = getattr(score, name)
            row |= {name: number(value), f"{name} low": number(low), f"{name} high": number(high)}
        rows.append({name: number(value) if isinstance(value, float) else value for name, value in row.items()})
    return rows


def _scores(rows: Sequence[dict[str, Any]]) -> Table:
    from unweave.record.table import Table

    columns = {"set": None, "predictor": None}
    return Table.from_records(
        "scores",
        rows or [columns],
        digits={name: 3 for name in (rows[0] if rows else {}) if name.startswith(("r2", "spearman", "sign_acc"))},
        caption="R² with a slope through the origin that was fitted on the other datasets; 'r2_in_sample' is the "
        f"squared correlation, as published. Reliable cells have a reliability of {FLOOR} or more; those of all "
        "trainings share one sample before training, so their errors hang together. 'without planted rows' predicts "
        "from the other rows what trainings on all of them did.",
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


def _draw(run: Run) -> list[str]:
    from unweave.record.bar_chart import bars
    from unweave.record.curves import scatter

    changes, means = run.load_table("changes"), run.load_table("seed-means")
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
                x_label=f"predicted by {LEADING}, in spreads",
                y_label="observed change, in spreads",
            ),
        )
        names.append("foreseen")
    if means.column("r2") != (None,):
        run.draw(
            "predictors",
            bars(
                means,
                "predictor",
                "r2",
                low="lowest",
                high="highest",
                title="R² of each predictor, slope from other datasets: mean, lowest and highest seed",
                digits=2,
                signed=True,
            ),
        )
        names.append("predictors")
    return names


def _claim(run: Run, mixtures: Sequence[str]) -> None:
    from unweave.record.aggregate import Aggregate

    if len(mixtures) < 2:
        return
    for row in run.load_table("seed-means").records():
        if row["r2"] is None or row["predictor"] not in (LEADING, "length-only"):
            continue
        where = {"predictor": row["predictor"]}
        run.claim(
            f"With a slope from other datasets, {row['predictor']} foresees what {len(mixtures)} datasets teach with "
            "an R squared of {value} on the cells of a seed that can be relied on, on average over seeds",
            "seed-means",
            where,
            "r2",
            digits=2,
            over=Aggregate("seed-scores", "r2", where, "mean"),
        )


def _seed_scores(found: Sequence[Foreseen]) -> tuple[Table, Table]:
    """Each predictor's R squared on the trainings of one seed, and the means of these over seeds."""
    from unweave.record.table import Table

    rows: list[dict[str, Any]] = []
    for seed in dict.fromkeys(each.seed for each in found):
        of_seed = [each for each in found if each.seed == seed]
        # No interval is asked for: as few draws as there may be.
        r2, cells = pooled_r2(_score_rows(of_seed, "all", true_mixtures(of_seed), resamples=2, shuffles=1))
        rows += [{"seed": seed, "predictor": name, "r2": value, "cells": cells} for name, value in r2.items()]
    means = []
    for name in dict.fromkeys(row["predictor"] for row in rows):
        of_name = [row["r2"] for row in rows if row["predictor"] == name and row["r2"] is not None]
        if len(of_name) == len({row["seed"] for row in rows}):
            mean = sum(of_name) / len(of_name)
            means.append({"predictor": name, "r2": mean, "lowest": min(of_name), "highest": max(of_name)})
    return (
        Table.from_records(
            "seed-scores",
            rows or [dict.fromkeys(("seed", "predictor", "r2", "cells"))],
            digits={"r2": 3},
            caption="R² of all columns on reliable cells, slopes from the other datasets, each seed's trainings by "
            "themselves.",
        ),
        Table.from_records(
            "seed-means",
            means or [dict.fromkeys(("predictor", "r2", "lowest", "highest"))],
            digits=dict.fromkeys(("r2", "lowest", "highest"), 3),
            caption="The mean of these over seeds, with the lowest and the highest seed.",
        ),
    )
