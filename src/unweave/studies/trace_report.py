"""Tables, figures, claims and the report of ``trace-preferences``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unweave.studies.preference_tables import SHOWN, plain_text
from unweave.studies.trace_retraining import ALL, RANDOM, TOP

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from unweave.preferences.trace import Trace
    from unweave.record.run import Run
    from unweave.record.table import Table
    from unweave.studies.preference_forecast import Forecast
    from unweave.studies.preference_reading import PreferenceReading
    from unweave.studies.trace_preferences import TracePreferences
    from unweave.studies.trace_retraining import Retrained

AT = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
"""Shares of rows at which the concentration is given."""
STRONGEST = 20
"""Rows that the report shows."""


def write_trace(
    run: Run,
    config: TracePreferences,
    reading: PreferenceReading,
    forecast: Forecast,
    column: str,
    kept: np.ndarray,
    trained: Retrained | None,
) -> Path:
    """Saves everything; ``kept`` are the traced rows. Returns the report's path."""
    from unweave.record.report import Headline, Section, write_report

    trace = forecast.trace(column)
    run.save_table(_summary(forecast, trace, len(kept)))
    run.save_table(shares_table(reading, forecast, trace, kept))
    run.save_table(_strongest(run.load_table("shares")))
    run.save_table(concentration_table(trace))
    run.save_table(leave_out_table(reading, forecast, trace, kept))
    if trained is not None:
        run.save_table(trained.retrainings)
        run.save_table(trained.undoing)
    figures = _draw(run, column, config)
    only = {"column": column}
    headlines = [
        Headline("predicted change", "summary", only, "change", 3, True),
        Headline(
            "rows that hold half of all pushes with it", "summary", only, "rows for half", 0, note=f"of {len(kept)}"
        ),
    ]
    sections = [
        Section(
            "Where it comes from",
            paragraphs=[_of(reading, forecast, column)],
            figures=["concentration"],
            tables=["strongest", "concentration", "leave-out"],
        )
    ]
    if trained is None:
        _claim(run, column, len(kept))
    else:
        _claim_undone(run, column, config, trained)
        name = _top_name(trained)
        headlines.append(
            Headline("of the change undone", "undoing", {"training": name}, "undone", 2, note=f"training {name}")
        )
        sections.append(
            Section(
                "What leaving rows out undoes",
                paragraphs=[
                    f"Trained on {trained.training_pairs} pairs; the change is seen on {trained.questions} held-out "
                    "prompts, of which no pair was traced or trained on."
                ],
                figures=[each for each in figures if each != "concentration"],
                tables=["undoing", "retrainings"],
            )
        )
    lead = (
        f"What {forecast.leading.predictor} says {column} will change by, as a sum over {len(kept)} of "
        f"{len(reading)} pairs, read by {reading.target.name}."
    )
    return write_report(run, f"Which rows teach {column}?", lead, sections, headlines)


def shares_table(reading: PreferenceReading, forecast: Forecast, trace: Trace, kept: np.ndarray) -> Table:
    """Every traced row from the strongest push to the strongest counter-push; shares add up to the change."""
    from unweave.record.table import Table

    ids, held = reading.store.ids, trace.concentration()
    rows = [
        {
            "rank": rank,
            "id": plain_text(ids[kept[row]]),
            "row": int(kept[row]),
            "share": float(trace.pushes[row] * trace.direction),
            "cumulative": float(held[rank - 1]),
            "topic": reading.topic_name(int(reading.labels[kept[row]])),
            "prompt": plain_text(reading.skim.prompts[kept[row]][:SHOWN]),
        }
        for rank, row in enumerate(trace.order, start=1)
    ]
    return Table.from_records(
        "shares",
        rows,
        units={"share": forecast.unit},
        digits={"cumulative": 3},
        caption=f"What each row adds to the predicted change of {trace.name}: the shares add up to it. 'cumulative' is "
        "the share of all pushes with the change that the rows up to here hold.",
    )


def concentration_table(trace: Trace) -> Table:
    """The share of all pushes that the strongest rows hold, beside what as many rows at random would."""
    from unweave.record.table import Table

    held, count = trace.concentration(), len(trace.order)
    rows: list[dict[str, Any]] = []
    for share in AT:
        taken = max(1, round(share * count))
        if not rows or rows[-1]["rows"] != taken:
            rows.append({"order": "strongest first", "removed": taken / count, "rows": taken, "held": held[taken - 1]})
    rows += [{**row, "order": "at random", "held": row["removed"]} for row in rows]
    return Table.from_records(
        "concentration",
        rows,
        digits={"removed": 3, "held": 3},
        caption=f"Share of all pushes with the change of {trace.name} that so many of the rows hold.",
    )


def leave_out_table(reading: PreferenceReading, forecast: Forecast, trace: Trace, kept: np.ndarray) -> Table:
    """The predicted change when all rows of a topic are left out, the topic that takes most away first."""
    import numpy as np

    from unweave.record.table import Table

    labels = reading.labels[kept]
    without = trace.without(labels.tolist())
    rows = [
        {
            "topic": topic,
            "words": reading.topic_name(topic),
            "rows": int((labels == topic).sum()),
            "share": float(trace.pushes[labels == topic].sum() * trace.direction),
            "change without": without[topic],
        }
        for topic in np.unique(labels).tolist()
    ]
    rows.sort(key=lambda row: float(row["share"]) * -trace.direction)
    return Table.from_records(
        "leave-out",
        rows,
        units={"share": forecast.unit, "change without": forecast.unit},
        caption=f"What each topic's rows add to the predicted change of {trace.name}, {trace.change:+.4g}, and what is "
        "predicted without them.",
    )


def _summary(forecast: Forecast, trace: Trace, rows: int) -> Table:
    from unweave.record.table import Table

    at = forecast.column(trace.name)
    return Table.from_records(
        "summary",
        [
            {
                "column": trace.name,
                "predictor": trace.predictor,
                "change": float(forecast.leading.change[at]),
                "low": float(forecast.leading.low[at]),
                "high": float(forecast.leading.high[at]),
                "stands": bool(forecast.standing.stands[at]),
                "p": float(forecast.standing.adjusted[at]),
                "rows": rows,
                "rows for half": len(trace.covering()),
            }
        ],
        units={"change": forecast.unit},
        digits={"change": 3, "p": 4},
    )


def _strongest(shares: Table) -> Table:
    from unweave.record.table import Table

    return Table.from_records(
        "strongest",
        shares.records()[:STRONGEST],
        shares.columns,
        units=shares.units,
        digits=shares.digits,
        caption=f"The first {STRONGEST} of the table of shares.",
    )


def _of(reading: PreferenceReading, forecast: Forecast, column: str) -> str:
    stands = forecast.standing.stands[forecast.column(column)]
    said = "It stands" if stands else "It does not stand: labels dealt at random would show as much"
    return f"`{column}`: {reading.meanings[column]} {said}."


def _top_name(trained: Retrained) -> str:
    return next(str(row["training"]) for row in trained.undoing.records() if row["order"] == TOP)


def _draw(run: Run, column: str, config: TracePreferences) -> list[str]:
    from unweave.record.bar_chart import bars
    from unweave.record.curves import lines

    run.draw(
        "concentration",
        lines(
            run.load_table("concentration"),
            "removed",
            "held",
            group="order",
            title=f"How few rows push {column}",
            x_label="share of the rows",
            y_label="share of all pushes",
        ),
    )
    if "undoing" not in run.tables():
        return ["concentration"]
    undoing = run.load_table("undoing")
    run.draw(
        "changes",
        bars(
            undoing,
            "training",
            "change",
            low="low",
            high="high",
            title=f"Observed change of {column}",
            digits=2,
            signed=True,
        ),
    )
    named = ["concentration", "changes"]
    if len(config.fractions) > 1 and any(value is not None for value in undoing.column("undone")):
        run.draw(
            "undone",
            lines(
                undoing,
                "removed",
                "undone",
                "undone low",
                "undone high",
                group="order",
                where={"order": [TOP, RANDOM]},
                title=f"Share of the change of {column} that is undone",
                x_label="share of the rows left out",
                y_label="share undone",
            ),
        )
        named.append("undone")
    return named


def _claim(run: Run, column: str, rows: int) -> None:
    run.claim(
        f"Half of all pushes on {column} is held by {{value}} of {rows} rows",
        "summary",
        {"column": column},
        "rows for half",
        digits=0,
    )


def _claim_undone(run: Run, column: str, config: TracePreferences, trained: Retrained) -> None:
    from unweave.record.aggregate import Aggregate

    seeds = f"{config.seeds} seed{'s' * (config.seeds != 1)}"
    for row in trained.undoing.records():
        what = str(row["training"])
        where = {"training": what}
        if row["order"] == ALL:
            run.claim(
                f"Training on {what} changes {column} by {{value:+}} spreads on held-out prompts, on average over "
                + seeds,
                "undoing",
                where,
                "change",
                digits=3,
                over=Aggregate("retrainings", "change", where, "mean"),
            )
        elif row["undone"] is not None:
            run.claim(
                f"Training {what} of the rows undoes {{value}} of the change of {column}, on average over " + seeds,
                "undoing",
                where,
                "undone",
                digits=2,
                over=Aggregate("retrainings", "undone", where, "mean"),
            )
