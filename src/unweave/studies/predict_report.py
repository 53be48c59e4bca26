"""Figures, claims, the cleaned data and the report of ``predict-preferences``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unweave.studies.preference_cleaning import write_cleaned

if TYPE_CHECKING:
    from pathlib import Path

    from unweave.record.run import Run
    from unweave.studies.predict_preferences import PredictPreferences
    from unweave.studies.preference_cleaning import Removed
    from unweave.studies.preference_forecast import Forecast
    from unweave.studies.preference_reading import PreferenceReading

BARS = 20
"""Columns that the figure of predictions shows."""
CLEANED = "cleaned.jsonl"


def write_prediction(
    run: Run, config: PredictPreferences, reading: PreferenceReading, forecast: Forecast, removed: Removed
) -> Path:
    """Saves what is drawn, claimed and cleaned from the saved tables; returns the report's path."""
    from unweave.record.report import Headline, Section, write_report
    from unweave.record.table import Table

    standing = forecast.standing_names()
    summary = {
        "predictor": forecast.leading.predictor,
        "pairs": len(reading),
        "columns": len(forecast.leading.names),
        "stand": len(standing),
        "left out": len(removed.rows),
        "agreement of halves": forecast.standing.agreement,
    }
    run.save_table(Table.from_records("summary", [summary]))
    kept = write_cleaned(reading, removed, run.path / CLEANED)
    _claim(run, forecast, standing)
    figures = _draw(run)
    only = {"predictor": forecast.leading.predictor}
    headlines = [
        Headline("columns that stand", "summary", only, "stand", 0, note=f"of {summary['columns']}"),
        Headline("pairs", "summary", only, "pairs", 0),
        Headline("rows left out", "summary", only, "left out", 0, note=f"{kept} are in {CLEANED}"),
    ]
    if standing:
        headlines.insert(
            1, Headline(standing[0], "predictions", {"column": standing[0]}, "change", 2, True, "predicted change")
        )
    sections = [
        Section(
            "What it will teach",
            paragraphs=[*_meaning_of_size(forecast, len(reading)), *_nothing(forecast, standing)],
            figures=[name for name in ("predicted",) if name in figures],
            tables=["predictions"],
        ),
        Section(
            "Which rows teach it",
            figures=[name for name in ("row-map",) if name in figures],
            tables=["topics"],
        ),
        Section(
            "What topics and prompts push",
            paragraphs=[
                "What these views show is beyond chance: the last table says how much a dataset with flipped labels "
                "would show."
            ],
            tables=["views", "hypotheses", "chance"],
        ),
        Section("Features", figures=[name for name in ("feature-map",) if name in figures]),
        Section(
            "What was left out of the cleaned data",
            paragraphs=[_cleaning(config, removed, kept)],
            tables=["removed"],
        ),
        Section("The data", paragraphs=_facts(reading), tables=["problems"]),
        Section("How it was predicted", tables=["predictors", "left-out"]),
    ]
    lead = (
        f"{len(reading)} pairs, read by {reading.target.name} before any training on them, against "
        f"{len(reading.evidence.reference)} of its own replies to {len(reading.skim.questions)} of their prompts."
    )
    return write_report(run, "What will this dataset teach?", lead, sections, headlines)


def _meaning_of_size(forecast: Forecast, pairs: int) -> list[str]:
    if forecast.calibrated and forecast.calibration is not None:
        recipe = ", ".join(f"{name} {value}" for name, value in forecast.calibration.recipe.items())
        slope = forecast.calibration.slopes[forecast.leading.predictor]
        fewest, most = forecast.calibration.pairs
        sizes = f"{fewest}" if fewest == most else f"{fewest} to {most}"
        return [
            f"A change is in spreads of the untrained target's own replies, as trainings of it on "
            f"{slope.datasets} other datasets have shown it. It holds for a training like theirs: {recipe}, on {sizes} "
            f"pairs. These are {pairs}: more pairs are more steps, which change more."
        ]
    return [
        f"Changes are relative: nothing was trained to say how much of what {forecast.leading.predictor} says this "
        "target will show, so that order and sign count, not size. `unweave run prove-predictions` on this target "
        "makes a calibration."
    ]


def _nothing(forecast: Forecast, standing: list[str]) -> list[str]:
    if standing:
        return []
    return [
        "Nothing stands: what chosen and rejected replies differ in is no more than labels dealt at random would show. "
        "The order below is an order of noise."
    ]


def _cleaning(config: PredictPreferences, removed: Removed, kept: int) -> str:
    if not len(removed.rows):
        return f"No row was left out; `{CLEANED}` holds all {kept}. Name columns with `undo` to choose what to undo."
    return (
        f"{len(removed.rows)} rows, at most {config.clean:.1%}, that push {', '.join(removed.columns)} most; "
        f"`{CLEANED}` holds the other {kept}. Leaving rows out undoes as much as they push, which is more than chance "
        "where few rows carry a change: `unweave run trace-preferences` with `retrain` measures it."
    )


def _facts(reading: PreferenceReading) -> list[str]:
    checked = reading.checked
    share = checked.longer_chosen
    longer = (
        [f"The longer reply was chosen in {share.mean:.1%} of the pairs ({share.low:.1%} to {share.high:.1%})."]
        if share is not None
        else []
    )
    return [f"{checked.rows} pairs of {checked.prompts} prompts could be read.", *longer]


def _draw(run: Run) -> list[str]:
    from unweave.record.bar_chart import bars
    from unweave.record.curves import scatter

    predictions = run.load_table("predictions")
    names = list(predictions.column("column"))[:BARS]
    run.draw(
        "predicted",
        bars(
            predictions,
            "column",
            "change",
            low="low",
            high="high",
            group="stands",
            where={"column": names},
            title="Predicted change (yes: it stands)",
            caption=f"The first {len(names)} columns with their 95 % intervals, by whether they stand.",
            digits=2,
            signed=True,
        ),
    )
    found = ["predicted"]
    for name, title in (("row-map", "Rows by their replies"), ("feature-map", "Features by the replies they fire in")):
        if name in run.tables():
            table = run.load_table(name)
            run.draw(name, scatter(table, "x", "y", group="colour", title=title, x_label="", y_label=""))
            found.append(name)
    return found


def _claim(run: Run, forecast: Forecast, standing: list[str]) -> None:
    run.claim(
        f"Of {len(forecast.leading.names)} columns, {{value}} can be said to change by this dataset, at a family-wise "
        f"error of {forecast.standing.level:g}",
        "summary",
        {"predictor": forecast.leading.predictor},
        "stand",
        digits=0,
    )
    if standing:
        kind = "in spreads of its own replies" if forecast.calibrated else "by the relative measure"
        run.claim(
            f"Of those that stand, {standing[0]} is predicted to change by {{value:+}} {kind}",
            "predictions",
            {"column": standing[0]},
            "change",
            digits=2,
        )
