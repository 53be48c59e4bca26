"""What ``shape-preferences`` writes: tables, the figure of the sweep, claims and the report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from unweave.preferences.shaping.sweep import Sweep
    from unweave.record.run import Run
    from unweave.studies.shape_bench import ShapeBench, ShapeTraining
    from unweave.studies.shape_preferences import ShapePreferences

SPREAD = "spread of the untrained target's replies"


def write_shaping(
    run: Run, config: ShapePreferences, bench: ShapeBench, trainings: Sequence[ShapeTraining], sweep: Sweep
) -> Path:
    """Saves everything; returns the report's path."""
    from unweave.preferences.shaping.registry import find_shaping
    from unweave.record.report import Headline, Section, write_report

    doses = _doses(trainings, sweep)
    _save_tables(run, config, bench, trainings, doses)
    figures = _draw(run, config)
    _claim(run, config)
    best = most_undone(doses)
    dose = {"dose": best["dose"]}
    headlines = [
        Headline(f"undone at {best['dose']:g}", "doses", dose, "undone", 2, note="1 is all of the change"),
        Headline("mean change of other behaviours there", "doses", dose, "others", 3),
        Headline("held-out accuracy there", "doses", dose, "accuracy", 3),
    ]
    enough = (
        f"The smallest dose whose trainings are all back within their interval of no change is {sweep.enough:g}."
        if sweep.enough is not None
        else "No dose brought every training back within its interval of no change."
    )
    known = [f"{name}: {value:.3f}." for name, value in bench.facts.items()]
    sections = [
        Section("What was done", paragraphs=[find_shaping(config.method).meaning, *known, enough]),
        Section("The sweep", figures=figures, tables=["doses", "trainings"]),
        Section("Every behaviour", tables=["changes"]),
    ]
    if "removed" in run.tables():
        sections.append(Section("Rows left out", tables=["removed"]))
    few = " Fewer than three seeds: no more than a look." if config.seeds < 3 else ""
    lead = (
        f"{len(bench.setting.rows)} pairs trained on as they are and at {len(config.doses)} doses of {config.method}, "
        f"{config.seeds} seeds each; {config.behaviour} is what is shaped.{few}"
    )
    return write_report(run, f"Shaping {config.behaviour} by {config.method}", lead, sections, headlines)


def most_undone(doses: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The row of the dose that leaves the smallest change; one that turns it round undoes no more."""
    return min((row for row in doses if row["dose"] != 0), key=lambda row: abs(row["change"]))


def _doses(trainings: Sequence[ShapeTraining], sweep: Sweep) -> list[dict[str, Any]]:
    """A row a dose: means over seeds, with the range of the change."""
    import numpy as np

    rows = []
    for dose in sorted({row.dose for row in sweep.rows}):
        here = [row for row in sweep.rows if row.dose == dose]
        changes = [row.change for row in here]
        rows.append(
            {
                "dose": dose,
                "seeds": len(here),
                "change": float(np.mean(changes)),
                "lowest seed": min(changes),
                "highest seed": max(changes),
                "undone": float(np.mean([row.undone for row in here])),
                "others": float(np.mean([row.others for row in here])),
                "accuracy": float(np.mean([row.accuracy for row in here])),
                "perplexity": float(np.mean([row.perplexity for row in here])),
                "rows": next(each.rows for each in trainings if each.outcome.dose == dose),
            }
        )
    return rows


def _save_tables(
    run: Run,
    config: ShapePreferences,
    bench: ShapeBench,
    trainings: Sequence[ShapeTraining],
    doses: list[dict[str, Any]],
) -> None:
    from unweave.record.table import Table

    caption = (
        f"Change of {config.behaviour} in the {SPREAD}. Undone: 1 less the change over that of the unshaped trainings. "
        "Others: mean size of the other behaviours' changes, noise included. Accuracy: held-out pairs whose chosen "
        "reply became likelier. Perplexity: of English prose that has nothing to do with it."
    )
    digits = {"change": 3, "undone": 2, "others": 3, "accuracy": 3, "perplexity": 2}
    run.save_table(Table.from_records("doses", doses, digits=digits, caption=caption))
    column = bench.names.index(config.behaviour)
    run.save_table(
        Table.from_records(
            "trainings",
            [
                {
                    "dose": each.outcome.dose,
                    "seed": each.seed,
                    "change": float(each.outcome.change[column]),
                    "low": float(each.outcome.low[column]),
                    "high": float(each.outcome.high[column]),
                    "accuracy": each.outcome.accuracy.mean,
                    "accuracy low": each.outcome.accuracy.low,
                    "accuracy high": each.outcome.accuracy.high,
                    "perplexity": each.outcome.perplexity,
                    "rows": each.rows,
                    "tokens": each.tokens,
                    "seconds": each.seconds,
                    "what": each.note or "as it is",
                }
                for each in trainings
            ],
            units={"seconds": "s"},
            digits={"change": 3, "accuracy": 3, "perplexity": 2},
        )
    )
    run.save_table(
        Table.from_records(
            "changes",
            [
                {
                    "dose": each.outcome.dose,
                    "seed": each.seed,
                    "behaviour": name,
                    "change": float(each.outcome.change[number]),
                    "low": float(each.outcome.low[number]),
                    "high": float(each.outcome.high[number]),
                }
                for each in trainings
                for number, name in enumerate(bench.names)
            ],
            units={"change": SPREAD},
            digits={"change": 3},
        )
    )
    removed = [
        {"dose": each.outcome.dose, "row": row, "id": bench.setting.pairs[row].id, "why": reason}
        for each in trainings
        if each.seed == config.first_seed
        for row, reason in zip(each.removed, each.reasons, strict=True)
    ]
    if removed:
        run.save_table(Table.from_records("removed", removed, caption="The same for every seed."))


def _draw(run: Run, config: ShapePreferences) -> list[str]:
    from unweave.record.curves import lines

    doses = run.load_table("doses").records()
    reference = next(row for row in doses if row["dose"] == 0)
    panel = []
    for row in doses:
        for what, name in (
            ("undone", "share undone"),
            ("others", "others' mean change"),
            ("accuracy", "held-out accuracy"),
            ("perplexity", "perplexity, of the unshaped one's"),
        ):
            value = float(row[what])  # type: ignore[arg-type]
            if what == "perplexity":
                value /= float(reference["perplexity"])  # type: ignore[arg-type]
            panel.append({"dose": row["dose"], "measure": name, "value": value})
    from unweave.record.table import Table

    table = Table.from_records("sweep", panel, digits={"value": 3})
    run.save_table(table)
    run.draw(
        "sweep",
        lines(
            table,
            "dose",
            "value",
            group="measure",
            title=f"What {config.method} does to {config.behaviour}, and to all else",
            caption="Means over seeds.",
            x_label=f"dose of {config.method}",
            y_label="share, or ratio",
        ),
    )
    return ["sweep"]


def _claim(run: Run, config: ShapePreferences) -> None:
    from unweave.record.aggregate import Aggregate

    for dose in config.doses:
        over = Aggregate(table="trainings", column="change", where={"dose": dose}, how="mean", seed="seed")
        run.claim(
            f"With {config.method} at {dose:g} the mean change of {config.behaviour} is " + "{value:+} spreads",
            "doses",
            {"dose": dose},
            "change",
            over=over,
        )
